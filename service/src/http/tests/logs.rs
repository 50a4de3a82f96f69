//! What is logged of a request, and what is not.

use std::{
    io,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use super::*;
use crate::{config::LogFormat, logs};

/// Keeps what is logged.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
    }
}

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Kept {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// On one thread, where the subscriber is.
#[tokio::test]
async fn logs_are_objects_with_the_request_and_without_secrets() {
    let kept = Kept::default();
    let _here = tracing::subscriber::set_default(logs::to(EnvFilter::new("trace"), LogFormat::Json, kept.clone()));
    let server = Server::start(Limits::default()).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let (secret, ticket) = (format!("gl_{}", "s3cr3t".repeat(8)), "t1ck3tt1ck3tt1ck3t");
    for line in [format!("authorization: Bearer {secret}"), "x-nothing: y".to_owned()] {
        let asked = format!(
            "GET /v1/events?ticket={ticket} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-request-id: r-1\r\n\
             traceparent: 00-{trace}-b7ad6b7169203331-01\r\n{line}\r\n\r\n"
        );
        assert_eq!(status(&server.exchange(&asked).await), 401);
        assert_eq!(status(&server.exchange(asked.replace("/v1/events", "/v1/status")).await) / 100, 4);
    }
    let command = r#"{"id":"c-1","gift":{"user":"u1","item":"rose","to":[{"streamer":"s1"}]}}"#;
    let answer = server
        .exchange(post("/v1/commands/bulk", NDJSON, command).replace("host:", "connection: close\r\nhost:"))
        .await;
    assert!(answer.contains("\"line\":1"), "{answer}");
    server.end().await;

    let text = kept.text();
    assert!(!text.contains(&secret) && !text.contains(ticket), "no secret is logged");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let span = |line: &Value, name: &str| {
        line["spans"].as_array().and_then(|spans| spans.iter().find(|span| span["name"] == name).cloned())
    };
    let of_ours: Vec<Value> =
        lines.iter().filter_map(|line| span(line, "request")).filter(|span| span["id"] == "r-1").collect();
    assert!(!of_ours.is_empty() && of_ours.iter().all(|span| span["trace_id"] == trace), "{text}");
    let command = lines.iter().find_map(|line| span(line, "command")).expect("a span of the command");
    assert_eq!(
        (&command["id"], &command["kind"], &command["state"]),
        (&"c-1".into(), &"gift".into(), &"refused".into())
    );
}
