//! The questions: the fields of the path and of the query are read by the app, which answers; here they only get their
//! place.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    asker::Asker,
    door::Door,
    extract::{Fields, Named},
    problem::{Code, Problem},
};
use crate::{
    access::roles::Right,
    app::{
        self, Ledger, asked,
        questions::{accounts, board, events, find, order, orders, record, reference, settlement, status, wallet, why},
    },
    feed::Position,
};

/// The most entries of a list.
const MOST_ENTRIES: u64 = 1_000;
/// The longest that a question waits for a record.
const WAIT: Duration = Duration::from_secs(5);

/// A question of the app, put with these fields.
struct Put {
    door: Door,
    asker: Asker,
    fields: Vec<(String, String)>,
}

impl Put {
    /// With a field that the path names.
    fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Waits for the record that the field `wait_for` names, so that whoever appended it reads it.
    async fn wait(&mut self) -> Result<(), Problem> {
        let Some(at) = self.fields.iter().position(|(name, _)| name == "wait_for") else { return Ok(()) };
        let (_, position) = self.fields.remove(at);
        Ok(self.door.feed.reached(position.parse::<Position>()?, WAIT).await?)
    }

    /// Answers it from memory and index where the ledger can.
    async fn ask<Q, A>(
        self,
        ask: impl FnOnce(&Q, &Ledger) -> app::Result<A> + Send + 'static,
    ) -> Result<Response, Problem>
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
    {
        self.answer(false, ask).await
    }

    /// Answers it by folding the log, in turn with others that do.
    async fn fold<Q, A>(
        self,
        ask: impl FnOnce(&Q, &Ledger) -> app::Result<A> + Send + 'static,
    ) -> Result<Response, Problem>
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
    {
        self.answer(true, ask).await
    }

    async fn answer<Q, A>(
        mut self,
        folds: bool,
        ask: impl FnOnce(&Q, &Ledger) -> app::Result<A> + Send + 'static,
    ) -> Result<Response, Problem>
    where
        Q: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
    {
        self.asker.has(&self.door, Right::Read)?;
        if let Some((_, limit)) = self.fields.iter().find(|(name, _)| name == "limit")
            && limit.parse::<u64>().is_ok_and(|limit| limit > MOST_ENTRIES)
        {
            let detail = format!("limit: found {limit}; allowed is a whole number up to {MOST_ENTRIES}");
            return Err(Problem::new(Code::BadQuery, detail));
        }
        self.wait().await?;
        let Self { door, fields, .. } = self;
        // What is asked about the past is a fold in any case.
        let folds = folds || fields.iter().any(|(name, _)| name == "as_of");
        let question: Q = asked::question(fields)?;
        let work = move |door: &Door| Ok(ask(&question, &door.ledger)?);
        let answer = if folds { door.folding(work).await? } else { door.blocking(work).await? };
        Ok(Json(answer).into_response())
    }
}

/// A user's wallet.
pub async fn user(
    State(door): State<Door>,
    asker: Asker,
    Named(user): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    Put { door, asker, fields }.with("user", &user).ask(wallet::Question::ask).await
}

/// A user's lots.
pub async fn lots(
    State(door): State<Door>,
    asker: Asker,
    Named(user): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    let lots = |question: &wallet::Question, ledger: &Ledger| Ok(question.ask(ledger)?.into_lots());
    Put { door, asker, fields }.with("user", &user).ask(lots).await
}

/// What has changed a user's balance.
pub async fn history(
    State(door): State<Door>,
    asker: Asker,
    Named(user): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    Put { door, asker, fields }.with("account", &format!("user:{user}")).fold(accounts::History::answer).await
}

/// Orders by what is known of them, or the one that a command placed.
pub async fn orders(State(door): State<Door>, asker: Asker, Fields(fields): Fields) -> Result<Response, Problem> {
    let named = |name: &str| fields.iter().any(|(field, _)| field == name);
    if !named("command") {
        return Put { door, asker, fields }.fold(orders::Question::ask).await;
    }
    if named("source") {
        return Put { door, asker, fields }.ask(order::Question::ask).await;
    }
    // Without a source it is the asker's own command, and where there is none that of the one service that has it.
    let own = asker.caller.source().clone();
    let either = move |question: &order::Question, ledger: &Ledger| match question.of(&own).ask(ledger) {
        Err(app::Error::NotFound(_)) => question.ask(ledger),
        answered => answered,
    };
    Put { door, asker, fields }.ask(either).await
}

/// One order.
pub async fn order(
    State(door): State<Door>,
    asker: Asker,
    Named(number): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    Put { door, asker, fields }.with("number", &number).ask(order::Question::ask).await
}

/// What several accounts hold, or all.
pub async fn accounts(State(door): State<Door>, asker: Asker, Fields(fields): Fields) -> Result<Response, Problem> {
    Put { door, asker, fields }.fold(accounts::Balances::ask).await
}

/// What an account holds.
pub async fn account(
    State(door): State<Door>,
    asker: Asker,
    Named(account): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    Put { door, asker, fields }.with("accounts", &account).fold(accounts::Balances::ask).await
}

/// Every change of an account.
pub async fn account_history(
    State(door): State<Door>,
    asker: Asker,
    Named(account): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    Put { door, asker, fields }.with("account", &account).fold(accounts::History::answer).await
}

/// Why an account holds what it holds.
pub async fn account_why(
    State(door): State<Door>,
    asker: Asker,
    Named(account): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    Put { door, asker, fields }.with("account", &account).fold(why::Question::ask).await
}

/// One record. It never changes.
pub async fn record(
    State(door): State<Door>,
    asker: Asker,
    headers: HeaderMap,
    Named(record): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    let tag = format!("\"{}-{record}\"", door.feed.lineage());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    if known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag) {
        asker.has(&door, Right::Read)?;
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut response = Put { door, asker, fields }.with("record", &record).ask(record::Question::ask).await?;
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    Ok(response)
}

/// Records, page by page.
pub async fn records(State(door): State<Door>, asker: Asker, Fields(fields): Fields) -> Result<Response, Problem> {
    Put { door, asker, fields }.fold(events::Question::ask).await
}

/// A leaderboard: of a month, or of all time, or of a campaign.
pub async fn board(
    State(door): State<Door>,
    asker: Asker,
    Named(window): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    let (field, value) = match window.as_str() {
        "all_time" => ("all_time", "true"),
        month if month.parse::<schemas::Month>().is_ok() => ("month", month),
        activity => ("activity", activity),
    };
    Put { door, asker, fields }.with(field, value).fold(board::Question::ask).await
}

/// What a month pays.
pub async fn settlement(
    State(door): State<Door>,
    asker: Asker,
    Named(month): Named,
    Fields(fields): Fields,
) -> Result<Response, Problem> {
    Put { door, asker, fields }.with("month", &month).fold(settlement::Question::ask).await
}

/// The reference data that holds.
pub async fn reference(State(door): State<Door>, asker: Asker, Fields(fields): Fields) -> Result<Response, Problem> {
    Put { door, asker, fields }.fold(reference::Question::ask).await
}

/// How an id is asked for: `id` by another name.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub struct Sought {
    /// The id.
    q: String,
}

/// Whatever has an id.
pub async fn find(State(door): State<Door>, asker: Asker, Fields(mut fields): Fields) -> Result<Response, Problem> {
    match fields.iter_mut().find(|(name, _)| name == "q") {
        Some((name, _)) => "id".clone_into(name),
        None => return Err(Problem::new(Code::BadQuery, "q is missing: the id that is to be found")),
    }
    Put { door, asker, fields }.fold(find::Question::ask).await
}

/// How the ledger is.
pub async fn status(State(door): State<Door>, asker: Asker, Fields(fields): Fields) -> Result<Response, Problem> {
    asker.has(&door, Right::Operate)?;
    Put { door, asker, fields }.fold(status::Question::ask).await
}
