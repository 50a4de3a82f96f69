//! What is asked.

use axum::http::Method;
use schemas::UserId;

use super::ANY;
use crate::{
    app::questions::{
        accounts, board, events, find, order, orders, record, reference, settlement, status, wallet, why,
    },
    http::{
        docs::{
            examples,
            shapes::{Waits, either},
        },
        operation::{Content, Operation, Tag},
        questions,
    },
};

/// The routes.
pub fn routes() -> Vec<Operation> {
    [users(), orders_and_records(), books()].into_iter().flatten().collect()
}

/// A question: it may wait for a record, and about the past it takes its turn among others.
fn asked(operation: Operation) -> Operation {
    operation.asks::<Waits>().problems(ANY).problems(&[404, 429])
}

fn users() -> Vec<Operation> {
    let data = Operation::new(
        (Method::GET, "/v1/reference", "reference"),
        questions::reference,
        (Tag::Reference, "The reference data that holds"),
        "Entity, catalogue, terms and memberships, now or as of a moment.",
    )
    .asks::<reference::Question>()
    .answers(200, "What holds.", Content::json::<reference::Answer>());
    let wallet = Operation::new(
        (Method::GET, "/v1/users/{user}", "user"),
        questions::user,
        (Tag::Users, "A user's wallet"),
        "What the user holds, owes and can spend, the lots in the order in which they burn, and the orders whose coins are \
         on hold. A user nobody has heard of holds nothing. Coins that have lapsed by now cannot be spent, whether that is \
         recorded yet or not.",
    )
    .asks::<wallet::Question>()
    .example("user", "u1")
    .answers(200, "The wallet.", Content::json::<wallet::Answer>().example("After a gift of 1,200", examples::wallet()));
    let lots = Operation::new(
        (Method::GET, "/v1/users/{user}/lots", "userLots"),
        questions::lots,
        (Tag::Users, "A user's lots"),
        "Where the user's coins come from, in the order in which they burn: bonus coins by soonest expiry, then paid \
         ones, the oldest first.",
    )
    .asks::<wallet::Question>()
    .example("user", "u1")
    .answers(200, "The lots.", Content::json::<wallet::LotsOf>());
    let history = Operation::new(
        (Method::GET, "/v1/users/{user}/history", "userHistory"),
        questions::history,
        (Tag::Users, "What has changed a user's balance"),
        "Every change of the user's account, in the order of recording.",
    )
    .asks::<accounts::History>()
    .filled(&["account"])
    .path::<UserId>("user", "Whose.")
    .example("user", "u1")
    .answers(200, "The changes.", Content::json::<accounts::Changes>());
    [data, wallet, lots, history].map(asked).into()
}

fn orders_and_records() -> Vec<Operation> {
    let orders = Operation::new(
        (Method::GET, "/v1/orders", "orders"),
        questions::orders,
        (Tag::Orders, "Find orders, or the one that a command placed"),
        "With `user` and `command` it answers the one order that this command placed, with its records: the asker's own \
         command unless `source` names another service. Else it lists orders, each condition narrowing the answer, the \
         newest first.",
    )
    .asks::<orders::Question>()
    .asks::<order::Fields>()
    .filled(&["number"])
    .answers_one_of(200, "The orders, or the order with its records.", vec![Content::as_is(
        "application/json",
        either::<orders::Answer, order::Answer>,
    )]);
    let one = Operation::new(
        (Method::GET, "/v1/orders/{order}", "order"),
        questions::order,
        (Tag::Orders, "One order, and everything that happened to it"),
        "The order as it is, what each recipient of a gift holds of it, and every record that touched it: who, from which \
         client, when.",
    )
    .asks::<order::Fields>()
    .filled(&["number", "user", "command", "source", "part"])
    .path::<schemas::OrderId>("order", "The order's number: the position of the record that placed it, and its part of a group.")
    .example("order", "3-17")
    .answers(200, "The order.", Content::json::<order::Answer>());
    let record = Operation::new(
        (Method::GET, "/v1/records/{record}", "record"),
        questions::record,
        (Tag::Records, "One record"),
        "What was recorded at a place. It never changes: the answer has an `ETag` and may be kept for ever.",
    )
    .asks::<record::Question>()
    .example("record", "3-17")
    .answers_one_of(304, "`If-None-Match` names it: it never changes.", Vec::new())
    .answers(200, "The record.", Content::json::<schemas::Record>());
    let records = Operation::new(
        (Method::GET, "/v1/records", "records"),
        questions::records,
        (Tag::Records, "Records, page by page"),
        "In the order of recording. To go on, ask for what is `after` the answer's `last`, as long as it says `more`. To \
         follow what comes, take the feed.",
    )
    .asks::<events::Question>()
    .example("limit", 100)
    .answers(200, "A page.", Content::json::<events::Answer>());
    let find = Operation::new(
        (Method::GET, "/v1/find", "find"),
        questions::find,
        (Tag::Records, "Whatever has an id"),
        "Every record that an id names, whatever it is the id of: a command, an order, a record, a channel's transaction \
         (also as `channel/transaction`) or a user. Ids are unique within (subject, source) only, so there may be several.",
    )
    .asks::<questions::Sought>()
    .asks::<find::Question>()
    .filled(&["id"])
    .example("q", "g-1")
    .answers(200, "What was found.", Content::json::<find::Answer>());
    [orders, one, records, record, find].map(asked).into()
}

fn books() -> Vec<Operation> {
    let several = Operation::new(
        (Method::GET, "/v1/accounts", "accounts"),
        questions::accounts,
        (Tag::Accounts, "What several accounts hold, or all"),
        "`accounts` with commas between them, or `all=true`, which leaves out those at zero unless `zeros=true`.",
    )
    .asks::<accounts::Balances>()
    .answers(200, "The balances.", Content::json::<accounts::Held>());
    let account = Operation::new(
        (Method::GET, "/v1/accounts/{account}", "account"),
        questions::account,
        (Tag::Accounts, "What an account holds"),
        "By asset, as decimal strings. Plus is what is owed to the account's holder, minus what the account has put in or \
         owes. Several accounts with commas between them.",
    )
    .asks::<accounts::Balances>()
    .filled(&["accounts", "all", "zeros"])
    .path::<String>("account", "user:u1, streamer:s1:turnover, channel:apple:receivable, platform:issued, …")
    .example("account", "user:u1")
    .answers(200, "The balances.", Content::json::<accounts::Held>());
    let history = Operation::new(
        (Method::GET, "/v1/accounts/{account}/history", "accountHistory"),
        questions::account_history,
        (Tag::Accounts, "Every change of an account"),
        "In the order of recording, with the balance from then on.",
    )
    .asks::<accounts::History>()
    .example("account", "user:u1")
    .answers(200, "The changes.", Content::json::<accounts::Changes>());
    let why = Operation::new(
        (Method::GET, "/v1/accounts/{account}/why", "accountWhy"),
        questions::account_why,
        (Tag::Accounts, "Why an account holds what it holds"),
        "The last changes: how much, which command of whom made them, what happened in words, and what was left.",
    )
    .asks::<why::Question>()
    .example("account", "user:u1")
    .answers(200, "The balances and the changes.", Content::json::<why::Answer>());
    let board = Operation::new(
        (Method::GET, "/v1/boards/{board}", "board"),
        questions::board,
        (Tag::Results, "A leaderboard"),
        "Of a month (`2026-11`), of all time (`all_time`), or of a campaign, by its id. Ties go to who reached the score \
         first; a refunded gift counts as never given.",
    )
    .asks::<board::Question>()
    .filled(&["month", "activity", "all_time"])
    .path::<schemas::ActivityId>("board", "A month, `all_time`, or the id of a campaign.")
    .example("board", "all_time")
    .answers(200, "The first ranks.", Content::json::<board::Answer>());
    let settlement = Operation::new(
        (Method::GET, "/v1/settlements/{month}", "settlement"),
        questions::settlement,
        (Tag::Results, "What a month pays"),
        "To each streamer and guild, by the terms of each day; nothing is recorded. Asked as of the same moment it comes \
         out the same, and has the same digest.",
    )
    .asks::<settlement::Question>()
    .example("month", "2026-11")
    .answers(200, "The payout, and what it was calculated from.", Content::json::<settlement::Answer>());
    let status = Operation::new(
        (Method::GET, "/v1/status", "status"),
        questions::status,
        (Tag::Server, "How the ledger is"),
        "How large, how far, and what hangs in it.",
    )
    .asks::<status::Question>()
    .answers(200, "How it is.", Content::json::<status::Answer>());
    [several, account, history, why, board, settlement, status].map(asked).into()
}
