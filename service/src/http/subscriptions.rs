//! Named subscriptions: made and changed, pulled from and acknowledged, what was parked and given again.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use schemas::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{json, value::RawValue};

use super::{
    asker::Asker,
    body,
    door::Door,
    extract::{Fields, Named},
    problem::{Code, Problem},
};
use crate::{
    access::roles::Right,
    app::asked,
    config::Limits,
    feed::Position,
    subscriptions::{self, Name, Outcome, Wanted},
};

/// The most bytes of a request.
const MAX_BYTES: usize = 1 << 20;
/// How many entries a pull takes where nobody says.
const USUAL_PULL: usize = 100;
/// How many parked entries are listed where nobody says.
const USUAL_PAGE: u32 = 50;

/// Makes a subscription, or changes its settings.
pub async fn put(
    State(door): State<Door>,
    asker: Asker,
    Named(name): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    asker.has(&door, Right::Subscribe)?;
    let name = named(&name)?;
    let wanted: Wanted = object(&door.limits, &headers, body).await?;
    let principal = asker.token.as_ref().map(|token| token.terms().principal.to_string());
    let put = door.subscriptions.put(&name, &wanted, principal.as_deref()).await?;
    let status = match put.outcome {
        Outcome::Created => StatusCode::CREATED,
        Outcome::Changed | Outcome::Unchanged => StatusCode::OK,
    };
    let mut shown = serde_json::to_value(&put.subscription).unwrap_or_default();
    if let (Some(secret), Some(fields)) = (&put.secret, shown.as_object_mut()) {
        fields.insert("secret".to_owned(), secret.expose().into());
    }
    Ok((status, Json(shown)).into_response())
}

/// All of them.
pub async fn list(State(door): State<Door>, asker: Asker, Fields(fields): Fields) -> Result<Response, Problem> {
    asker.has(&door, Right::Subscribe)?;
    let Nothing {} = asked::question(fields)?;
    Ok(Json(json!({ "subscriptions": door.subscriptions.list().await? })).into_response())
}

/// One, and how far it is.
pub async fn get(State(door): State<Door>, asker: Asker, Named(name): Named) -> Result<Response, Problem> {
    asker.has(&door, Right::Subscribe)?;
    Ok(Json(door.subscriptions.get(&named(&name)?).await?).into_response())
}

/// Ends one: what it had not delivered is not delivered.
pub async fn delete(State(door): State<Door>, asker: Asker, Named(name): Named) -> Result<Response, Problem> {
    asker.has(&door, Right::Subscribe)?;
    door.subscriptions.delete(&named(&name)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A question without fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// How entries are taken.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pull {
    #[serde(default)]
    max: Option<usize>,
    /// How long to wait for the first one.
    #[serde(default)]
    wait_s: Option<u64>,
}

/// Entries that were taken, or that are parked.
#[derive(Debug, Serialize)]
struct Entries<E> {
    entries: Vec<E>,
    /// From where to go on, if there may be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A parked entry.
#[derive(Debug, Serialize)]
struct ParkedEntry<'a> {
    position: String,
    tries: u32,
    reason: &'a str,
    parked_at: Timestamp,
    replaying: bool,
    /// Absent where the log has no such record any more.
    event: Option<&'a RawValue>,
}

/// An entry that was taken.
#[derive(Debug, Serialize)]
struct Taken<'a> {
    ack: &'a str,
    tries: u32,
    position: String,
    event: &'a RawValue,
}

/// Takes entries, which come again unless they are acknowledged in time.
pub async fn pull(
    State(door): State<Door>,
    asker: Asker,
    Named(name): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    asker.has(&door, Right::Subscribe)?;
    let Pull { max, wait_s } = object_or_nothing(&door.limits, &headers, body).await?;
    let wait = Duration::from_secs(wait_s.unwrap_or_default());
    let pulled = door.subscriptions.pull(&named(&name)?, max.unwrap_or(USUAL_PULL), wait).await?;
    let mut entries = Vec::with_capacity(pulled.len());
    for entry in &pulled {
        let event = serde_json::from_slice(&entry.json).map_err(|error| Problem::new(Code::Fault, error))?;
        let position = entry.position.to_string();
        entries.push(Taken { ack: &entry.ack, tries: entry.tries, position, event });
    }
    Ok(Json(Entries { entries, next: None }).into_response())
}

/// Entries that were worked on, by what they were taken with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    ids: Vec<String>,
}

/// Acknowledges entries: they do not come again.
pub async fn ack(
    State(door): State<Door>,
    asker: Asker,
    Named(name): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    asker.has(&door, Right::Subscribe)?;
    let Ids { ids } = object(&door.limits, &headers, body).await?;
    let answered = door.subscriptions.ack(&named(&name)?, &ids).await?;
    Ok(Json(json!({ "answers": answered })).into_response())
}

/// Entries that could not be worked on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Failed {
    ids: Vec<String>,
    #[serde(default)]
    delay_s: Option<u64>,
    #[serde(default)]
    reason: Option<String>,
}

/// Gives entries back: they come again, later.
pub async fn nack(
    State(door): State<Door>,
    asker: Asker,
    Named(name): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    asker.has(&door, Right::Subscribe)?;
    let Failed { ids, delay_s, reason } = object(&door.limits, &headers, body).await?;
    let delay = delay_s.map(Duration::from_secs);
    let answered = door.subscriptions.nack(&named(&name)?, &ids, delay, reason.as_deref()).await?;
    Ok(Json(json!({ "answers": answered })).into_response())
}

/// Which of the parked entries are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Page {
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<String>")]
    after: Option<Position>,
    #[serde(default, deserialize_with = "asked::optional")]
    limit: Option<u32>,
}

/// The entries that failed too often.
pub async fn parked(
    State(door): State<Door>,
    asker: Asker,
    Named(name): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    asker.has(&door, Right::Subscribe)?;
    let Page { after, limit } = asked::question(fields)?;
    let page = door.subscriptions.parked(&named(&name)?, after, limit.unwrap_or(USUAL_PAGE)).await?;
    let mut entries = Vec::with_capacity(page.entries.len());
    for parked in &page.entries {
        // None, where the log has no such record any more.
        let event: Option<&RawValue> = match &parked.json {
            Some(json) => Some(serde_json::from_slice(json).map_err(|error| Problem::new(Code::Fault, error))?),
            None => None,
        };
        entries.push(ParkedEntry {
            position: parked.position.to_string(),
            tries: parked.tries,
            reason: &parked.reason,
            parked_at: parked.time,
            replaying: parked.replaying,
            event,
        });
    }
    let next = page.next.map(|next| next.to_string());
    Ok(Json(Entries { entries, next }).into_response())
}

/// Which parked entries are given again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// All of them where absent.
    #[serde(default)]
    positions: Option<Vec<String>>,
}

/// Gives parked entries again.
pub async fn replay(
    State(door): State<Door>,
    asker: Asker,
    Named(name): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    asker.has(&door, Right::Subscribe)?;
    let Again { positions } = object_or_nothing(&door.limits, &headers, body).await?;
    let positions = positions.map(|all| all.iter().map(|text| text.parse::<Position>()).collect::<Result<Vec<_>, _>>());
    let positions = positions.transpose()?;
    let count = door.subscriptions.replay(&named(&name)?, positions.as_deref()).await?;
    Ok(Json(json!({ "replayed": count })).into_response())
}

fn named(name: &str) -> Result<Name, Problem> {
    name.parse().map_err(|error| Problem::new(Code::BadQuery, format!("the name of a subscription: {error}")))
}

/// A JSON object.
async fn object<T: DeserializeOwned>(limits: &Limits, headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    body::check_media_type(headers, &["application/json"])?;
    let body = body::read(headers, body, MAX_BYTES, limits).await?;
    read(&body)
}

/// The same, where an empty body says what an empty object says.
async fn object_or_nothing<T: DeserializeOwned + Default>(
    limits: &Limits,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let body = body::read(headers, body, MAX_BYTES, limits).await?;
    if body.is_empty() {
        return Ok(T::default());
    }
    body::check_media_type(headers, &["application/json"])?;
    read(&body)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    schemas::read_json(body::utf8(body)?).map_err(|malformed| {
        let problem = Problem::new(Code::Malformed, &malformed.message);
        match malformed.path {
            Some(path) => problem.and("path", path),
            None => problem,
        }
    })
}

impl From<subscriptions::Error> for Problem {
    fn from(error: subscriptions::Error) -> Self {
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let problem = Self::with(status, error.code(), &error);
        match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => problem.retry_after(1),
            _ => problem,
        }
    }
}
