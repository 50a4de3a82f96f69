//! The pages about codes, as HTML. All of their text is ours.

use std::fmt::Write;

use super::{
    super::problem::title,
    problems::{Row, groups},
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#222}\
code,pre{font:14px/1.4 ui-monospace,monospace;background:#f4f4f4;border-radius:4px}code{padding:.1em .3em}\
pre{padding:1rem;overflow-x:auto}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;\
padding:.3rem .6rem;border-bottom:1px solid #ddd}a{color:#0b5cad}h1 code{font-size:1.4rem}";

/// The list of all.
pub fn all() -> String {
    let mut text = String::from(
        "<h1>Every code</h1><p>Clients branch on <code>state</code>, then on <code>code</code>, never on the HTTP status or \
         on a text. New codes may come: treat one that you do not know by its <code>state</code>.</p>",
    );
    for (heading, rows) in groups() {
        let _ = write!(text, "<h2>{}</h2><table><tr><th>code<th>status<th>state<th>it means", escaped(heading));
        for Row { code, status, state, means, .. } in rows {
            let state = state.unwrap_or("–");
            let means = marked(means);
            let _ = write!(
                text,
                "<tr><td><a href=\"/docs/problems/{code}\"><code>{code}</code></a><td>{status}<td>{state}<td>{means}"
            );
        }
        text.push_str("</table>");
    }
    whole("Every code", &text)
}

/// The page of one.
pub fn one(row: &Row) -> String {
    let Row { code, status, state, retry, means, then, .. } = row;
    let state = state.map_or_else(
        || "<p>It says nothing of a command's outcome.</p>".to_owned(),
        |state| format!("<p>Of the command it says <code>{state}</code>: {}.</p>", said_by(state)),
    );
    let place = if *status >= 400 {
        format!("Comes with HTTP status {status}.")
    } else {
        "Stands in an answer or in a line of a stream; it is no HTTP error.".to_owned()
    };
    let example = serde_json::to_string_pretty(&row.example()).unwrap_or_default();
    let text = format!(
        "<p><a href=\"/docs/problems\">Every code</a> · <a href=\"/docs/\">API</a></p><h1>{} <code>{code}</code></h1>\
         <p>{}</p><p>{place}</p>{state}<h2>What to do</h2><p>{}</p><h2>Ask again?</h2><p>{}</p>\
         <h2>For instance</h2><pre>{}</pre>",
        escaped(&title(code)),
        marked(means),
        marked(then),
        escaped(retry.sentence()),
        escaped(&example),
    );
    whole(&title(code), &text)
}

fn said_by(state: &str) -> &'static str {
    match state {
        "refused" => "it was decided and recorded, and nothing else was done",
        "conflict" => "it was not done, another one has its id",
        "malformed" => "it could not be read, nothing was done, and its id is free",
        "pending" => "it is recorded, and not finished",
        "unknown" => "it may have been taken or not",
        _ => "nothing was decided, and nothing was recorded",
    }
}

fn whole(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{} – Giftledger</title><style>{STYLE}</style><body>{body}</body></html>\n",
        escaped(title)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// With what stands between backticks as code.
fn marked(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let show = |(nth, part): (usize, &str)| {
        if nth % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { escaped(part) }
    };
    parts.map(show).collect()
}
