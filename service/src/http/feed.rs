//! The feed: NDJSON or server-sent events, from a cursor on.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

use super::{
    asker::Asker,
    door::Door,
    extract::Fields,
    problem::{Code, Problem},
    tickets::LIFE,
};
use crate::{
    access::roles::Right,
    feed::{self, After, Batch, Cursor, Filter, Follower, Words},
};

/// How the entries are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Ndjson,
    ServerSent,
}

/// A ticket for one stream.
pub async fn ticket(State(door): State<Door>, asker: Asker) -> Result<Response, Problem> {
    asker.has(&door, Right::Follow)?;
    let Some(ticket) = door.tickets.give(asker.token) else {
        return Err(Problem::new(Code::Busy, "too many tickets wait to be used").retry_after(LIFE.as_secs()));
    };
    Ok(Json(json!({ "ticket": ticket, "expires_in_s": LIFE.as_secs() })).into_response())
}

/// The events behind a cursor.
pub async fn events(State(door): State<Door>, Fields(fields): Fields, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let asker = match fields.iter().find(|(name, _)| name == "ticket") {
        Some((_, ticket)) => {
            let ticket = door.tickets.take(ticket).ok_or_else(|| {
                let detail = "the ticket is unknown, used or older than a minute: ask for another one";
                Problem::with(StatusCode::UNAUTHORIZED, "ticket_unknown", detail)
            })?;
            Asker::with_ticket(&parts, ticket.token)
        }
        None => <Asker as axum::extract::FromRequestParts<Door>>::from_request_parts(&mut parts, &door).await?,
    };
    asker.has(&door, Right::Follow)?;
    let asked = Asked::read(fields, &parts.headers)?;
    let filter = Filter::parse(&asked.words, door.feed.shards())?;
    let follower = door.feed.follow(&asked.after, filter, asked.follow, asked.limit)?;
    let (sender, receiver) = mpsc::channel(1);
    let last = Arc::default();
    tokio::spawn(send(door, asker, follower, asked.form, sender, Arc::clone(&last)));
    let media_type = match asked.form {
        Form::Ndjson => "application/x-ndjson",
        Form::ServerSent => "text/event-stream",
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(Stream { receiver, last })).into_response())
}

/// What is asked for.
#[derive(Debug)]
struct Asked {
    after: After,
    words: Words,
    limit: Option<u64>,
    follow: bool,
    form: Form,
}

impl Asked {
    fn read(fields: Vec<(String, String)>, headers: &HeaderMap) -> Result<Self, Problem> {
        let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let form = if accepts.contains("text/event-stream") { Form::ServerSent } else { Form::Ndjson };
        let (mut after, mut words, mut limit) = (None, Words::default(), None);
        // Whoever asks for a stream of events stays for what comes.
        let mut follow = form == Form::ServerSent;
        for (name, value) in fields {
            match name.as_str() {
                "after" => after = Some(value),
                "kind" => words.kind.push(value),
                "account" => words.account.push(value),
                "user" => words.user.push(value),
                "subject" => words.subject.push(value),
                "shards" => words.shards.push(value),
                "limit" => limit = Some(whole("limit", &value)?),
                "follow" => follow = truth("follow", &value)?,
                "ticket" => {}
                other => {
                    let known = "after, kind, account, user, subject, shards, limit, follow, ticket";
                    return Err(Problem::new(
                        Code::BadQuery,
                        format!("{other}: there is no such field; known are {known}"),
                    ));
                }
            }
        }
        // A browser that lost its connection says where it was, and asks with the address that it had.
        let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
        let after = match resumed.map(str::to_owned).or(after) {
            Some(text) => text.parse()?,
            None => After::Start,
        };
        Ok(Self { after, words, limit, follow, form })
    }
}

fn whole(name: &str, text: &str) -> Result<u64, Problem> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| {
        Problem::new(Code::BadQuery, format!("{name}: found {text:?}; allowed is a whole number from 1 on"))
    })
}

/// A field that says yes or no.
pub fn truth(name: &str, text: &str) -> Result<bool, Problem> {
    match text {
        "true" | "" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::new(Code::BadQuery, format!("{name}: found {text:?}; allowed is true or false"))),
    }
}

/// Sends batches until the stream ends, the client goes, its token ends, or it takes nothing for too long.
async fn send(
    door: Door,
    asker: Asker,
    mut follower: Follower,
    form: Form,
    sender: mpsc::Sender<Bytes>,
    last: Arc<Mutex<Option<Bytes>>>,
) {
    door.metrics.followers.inc();
    let mut seen = follower.cursor().clone();
    let say = |said: Bytes| *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    loop {
        let batch = tokio::select! {
            batch = follower.next() => batch,
            () = sender.closed() => break,
        };
        let batch = match batch {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                say(end(form, &seen, None));
                break;
            }
            Err(error) => {
                say(end(form, &seen, Some((error_code(&error), &error.to_string()))));
                break;
            }
        };
        if let Some(token) = &asker.token
            && let Err(denied) = door.access.still(token).await
        {
            say(end(form, &seen, Some((denied.code(), &denied.to_string()))));
            break;
        }
        match timeout(Follower::STALLED, sender.send(written(form, &batch))).await {
            Ok(Ok(())) => seen = batch.cursor().clone(),
            Ok(Err(_)) => break,
            Err(_) => {
                let what = format!("nothing was read for {} s", Follower::STALLED.as_secs());
                say(end(form, &seen, Some(("stalled", &what))));
                break;
            }
        }
    }
    door.metrics.followers.dec();
}

/// A batch as it is sent: its entries, or a heartbeat with the cursor.
fn written(form: Form, batch: &Batch) -> Bytes {
    let bytes = batch.entries.iter().map(|entry| entry.json.len() + 96).sum::<usize>() + 128;
    let mut text = Vec::with_capacity(bytes);
    match form {
        Form::Ndjson => {
            for entry in &batch.entries {
                text.extend_from_slice(&entry.json);
                text.push(b'\n');
            }
            if batch.entries.is_empty() {
                text.extend_from_slice(
                    format!("{{\"heartbeat\":true,\"cursor\":\"{}\"}}\n", batch.cursor()).as_bytes(),
                );
            }
        }
        Form::ServerSent => {
            batch.each(|entry, cursor| {
                text.extend_from_slice(format!("id: {cursor}\ndata: ").as_bytes());
                text.extend_from_slice(&entry.json);
                text.extend_from_slice(b"\n\n");
            });
            if batch.entries.is_empty() {
                text.extend_from_slice(format!(": heartbeat\nid: {}\n\n", batch.cursor()).as_bytes());
            }
        }
    }
    text.into()
}

/// The last word: where to go on, and why it ends, if not because all was said.
fn end(form: Form, cursor: &Cursor, why: Option<(&str, &str)>) -> Bytes {
    let mut said = json!({ "end": true, "cursor": cursor.to_string() });
    if let (Some((code, message)), Some(fields)) = (why, said.as_object_mut()) {
        fields.insert("code".to_owned(), code.into());
        fields.insert("message".to_owned(), message.into());
    }
    match form {
        Form::Ndjson => format!("{said}\n"),
        Form::ServerSent => format!("id: {cursor}\nevent: end\ndata: {said}\n\n"),
    }
    .into()
}

/// What is sent, as the body of a response.
#[derive(Debug)]
struct Stream {
    receiver: mpsc::Receiver<Bytes>,
    last: Arc<Mutex<Option<Bytes>>>,
}

impl hyper::body::Body for Stream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.receiver.poll_recv(cx) {
            Poll::Ready(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Poll::Ready(None) => {
                let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
                Poll::Ready(last.map(|bytes| Ok(Frame::data(bytes))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

pub fn error_code(error: &feed::Error) -> &'static str {
    match error {
        feed::Error::NotACursor { .. } | feed::Error::OtherShards { .. } => "bad_cursor",
        feed::Error::OtherLineage { .. } => "other_lineage",
        feed::Error::AheadOfLog { .. } => "ahead_of_log",
        feed::Error::Filter { .. } => "bad_query",
        feed::Error::NotAPosition { .. } | feed::Error::NoShard { .. } => "bad_position",
        feed::Error::Behind { .. } => "view_behind",
        feed::Error::TooMany { .. } => "too_many_followers",
        feed::Error::Stopping => "closing",
        feed::Error::Log(_) => "fault",
    }
}

impl From<feed::Error> for Problem {
    fn from(error: feed::Error) -> Self {
        let status = match &error {
            feed::Error::NotACursor { .. }
            | feed::Error::OtherShards { .. }
            | feed::Error::Filter { .. }
            | feed::Error::NotAPosition { .. }
            | feed::Error::NoShard { .. } => StatusCode::BAD_REQUEST,
            feed::Error::OtherLineage { .. } | feed::Error::AheadOfLog { .. } => StatusCode::GONE,
            feed::Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            feed::Error::Behind { .. } | feed::Error::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            feed::Error::Log(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let problem = Self::with(status, error_code(&error), &error);
        match &error {
            feed::Error::OtherLineage { found, own, .. } => {
                problem.and("found_lineage", found.to_string()).and("lineage", own.to_string())
            }
            feed::Error::TooMany { .. } | feed::Error::Behind { .. } | feed::Error::Stopping => problem.retry_after(1),
            _ => problem,
        }
    }
}
