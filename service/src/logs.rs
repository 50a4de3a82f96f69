//! What the program says of its work, on standard error: lines for people, or objects for whoever collects them. Spans
//! name the request, never what was sent with it: no token, no ticket, no query.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter,
    filter::LevelFilter,
    fmt::{MakeWriter, Subscriber},
};

use crate::config::LogFormat;

/// Warnings and errors, unless `GIFTLEDGER_LOG` asks for more or less.
pub fn start() {
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).with_env_var("GIFTLEDGER_LOG");
    set(to(builder.from_env_lossy(), LogFormat::Text, io::stderr));
}

/// What a config asks for, which was found to be a filter.
pub fn start_as(level: &str, format: LogFormat) {
    set(to(EnvFilter::new(level), format, io::stderr));
}

fn set(subscriber: impl tracing::Subscriber + Send + Sync) {
    // Only a second call fails: what is said goes where the first one sent it.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Writes to somewhere. As objects, each with the fields of the spans that it lies in, the outermost first.
pub fn to<W>(filter: EnvFilter, format: LogFormat, writer: W) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(io::stderr().is_terminal())
        .log_internal_errors(false); // it would say them where it could not write
    match format {
        LogFormat::Text => Box::new(lines.finish()),
        LogFormat::Json => {
            Box::new(lines.json().flatten_event(true).with_current_span(false).with_span_list(true).finish())
        }
    }
}
