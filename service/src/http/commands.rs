//! One command: append it, check it, ask what became of it.

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use ledger::{Answer, Checked, Lines, Outcome, Unavailable};
use schemars::JsonSchema;
use schemas::{CommandId, Envelope, OrderId, Source, Subject, Unread};
use serde::Deserialize;
use serde_json::json;

use super::{
    asker::Asker,
    body,
    door::Door,
    extract::Fields,
    metrics::Tally,
    problem::{Code, Problem, respond},
};
use crate::{access::roles::Right, app::asked, config::size};

/// Appends one command, or an atomic group.
pub async fn append(
    State(door): State<Door>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let envelope = match command(&door, &headers, body).await? {
        Ok(envelope) => envelope,
        Err(unread) => return Ok(respond(unread.id.as_ref(), &Answer::Malformed(Box::new(unread.malformed)))),
    };
    let (id, kind) = (envelope.id.clone(), envelope.command.kind());
    let reserved = match asker.may_send(&door, &envelope.command).await {
        Ok(reserved) => reserved,
        Err(denied) => return Err(asker.deny(&door, &denied).and("id", id.as_str())),
    };
    let answer = match door.engine.submit(&asker.caller, vec![envelope], Lines::InOrder) {
        Ok(answers) => answers.await.ok().and_then(|mut answers| answers.pop()),
        Err((Unavailable::Stopped, _)) => {
            asker.give_back(&door, reserved).await;
            let detail = "the server ends; nothing was decided";
            return Err(Problem::new(Code::Closing, detail).state("undecided").and("id", id.as_str()).retry_after(2));
        }
        Err((why, _)) => Some(Answer::Unavailable(why)),
    };
    let answer = answer.unwrap_or(Answer::Unavailable(Unavailable::Stopped));
    if makes_nothing(&answer) {
        asker.give_back(&door, reserved).await;
    }
    let mut tally = Tally::default();
    tally.note(kind, &answer);
    told(&id, kind, &answer);
    door.metrics.add(tally);
    Ok(respond(Some(&id), &answer))
}

/// Logs what became of a command, under a span of its own, where that is asked for.
pub fn told(id: &CommandId, kind: &'static str, answer: &Answer) {
    let span = tracing::info_span!("command", id = id.as_str(), kind, state = answer.state(), code = answer.code());
    span.in_scope(|| tracing::info!("decided"));
}

/// Whether nothing came of a command, now: what was counted for it is given back. Not of one whose outcome is unknown.
pub fn makes_nothing(answer: &Answer) -> bool {
    match answer {
        Answer::Taken(taken) => taken.is_repeated,
        Answer::Refused(_) | Answer::Conflict(_) | Answer::Malformed(_) => true,
        Answer::Unavailable(why) => why.state() == "undecided",
    }
}

/// What would come of a command, without recording it.
pub async fn check(
    State(door): State<Door>,
    asker: Asker,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let envelope = match command(&door, &headers, body).await? {
        Ok(envelope) => envelope,
        Err(unread) => return Ok(respond(unread.id.as_ref(), &Answer::Malformed(Box::new(unread.malformed)))),
    };
    if let Some(denied) = asker.token.as_ref().and_then(|token| token.may(&envelope.command).err()) {
        return Err(asker.deny(&door, &denied).and("id", envelope.id.as_str()));
    }
    let id = envelope.id.clone();
    let checked = door.blocking(move |door| Ok(door.engine.check(&asker.caller, envelope)?)).await?;
    Ok(match checked {
        Checked::New(record) => {
            let would_be = if record.event().is_some() { "taken" } else { "refused" };
            Json(json!({ "id": id, "would_be": would_be, "record": &*record })).into_response()
        }
        Checked::Known(record) => Json(json!({ "id": id, "would_be": "replayed", "record": &*record })).into_response(),
        Checked::Nothing(answer) => respond(Some(&id), &answer),
    })
}

/// Which command is asked about.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Whose command it is: `user:u1`; of a top-up the transaction, `claim:transaction:apple/t1`.
    subject: Subject,
    /// The service that sent it; the one that asks where absent.
    #[serde(default)]
    source: Option<Source>,
    /// The command's id.
    id: CommandId,
}

/// What became of a command.
pub async fn outcome(State(door): State<Door>, asker: Asker, Fields(fields): Fields) -> Result<Response, Problem> {
    let Named { subject, source, id } = asked::question(fields)?;
    let source = source.unwrap_or_else(|| asker.caller.source().clone());
    // What became of its own commands anybody may ask.
    if source != *asker.caller.source() {
        asker.has(&door, Right::Read)?;
    }
    let asked = (subject.clone(), source.clone(), id.clone());
    let outcome = door.blocking(move |door| Ok(door.engine.outcome(&asked.0, &asked.1, &asked.2)?)).await?;
    Ok(match outcome {
        // That it was asked for before is why it is known.
        Outcome::Known(answer) => respond(Some(&id), &answer),
        Outcome::Pending { place } => {
            let position = format!("{}-{}", place.shard, place.sequence);
            let answer = json!({ "id": id, "state": "pending", "code": "unfinished", "position": position,
                "message": Unavailable::Unfinished.to_string() });
            (StatusCode::ACCEPTED, [("retry-after", "1")], Json(answer)).into_response()
        }
        Outcome::Unknown { shard, sequence } => {
            let detail = format!(
                "no command {id} of {source} for {subject} is known up to position {shard}-{sequence}; it may still come"
            );
            Problem::new(Code::NotFound, detail)
                .state("unknown")
                .and("as_of", OrderId { shard, sequence, part: 0 }.to_string())
                .into_response()
        }
    })
}

/// Reads the command of a request. What was wrong with the line is an answer, what was wrong with the request a problem.
async fn command(door: &Door, headers: &HeaderMap, body: Body) -> Result<Result<Envelope, Box<Unread>>, Problem> {
    body::check_media_type(headers, &["application/json"])?;
    let body = body::read(headers, body, size(door.limits.command_bytes), &door.limits).await?;
    let text = body::utf8(&body)?;
    let Some(key) = headers.get("idempotency-key") else { return Ok(Envelope::read(text)) };
    let key = key.to_str().map_err(|_| Problem::new(Code::BadRequest, "the Idempotency-Key is no visible ASCII"))?;
    // The draft writes it as a quoted string; most clients do not.
    let bare = key.trim().strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key.trim());
    let key: CommandId =
        bare.parse().map_err(|error| Problem::new(Code::BadRequest, format!("the Idempotency-Key: {error}")))?;
    match Envelope::read(text) {
        Ok(envelope) if envelope.id == key => Ok(Ok(envelope)),
        Ok(envelope) => {
            let detail = format!("the id is {:?} and the Idempotency-Key {bare:?}: say one of them", envelope.id);
            Err(Problem::new(Code::BadRequest, detail).state("undecided"))
        }
        Err(unread) if unread.id.is_none() && unread.malformed.path.as_deref() == Some("id") => Ok(with_id(text, &key)),
        Err(unread) => Ok(Err(unread)),
    }
}

/// The same command with an id that the body leaves out.
fn with_id(text: &[u8], id: &CommandId) -> Result<Envelope, Box<Unread>> {
    let Some(open) = text.iter().position(|byte| *byte == b'{') else { return Envelope::read(text) };
    let id = serde_json::to_string(id).unwrap_or_default();
    let (before, behind) = text.split_at(open + 1);
    Envelope::read(&[before, b"\"id\":", id.as_bytes(), b",", behind].concat())
}
