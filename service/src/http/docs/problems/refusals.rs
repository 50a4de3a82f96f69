//! Why a command was refused: [`schemas::Rejection`].

use super::{Retry::NewId, Row, row};

const fn refused(code: &'static str, means: &'static str, then: &'static str, says: &'static str) -> Row {
    row((code, 422, Some("refused")), NewId, means, then, says)
}

/// Every refusal.
pub const REFUSED: [Row; 22] = [
    refused(
        "insufficient_funds",
        "The wallet has fewer coins to spend than the command asks for. Coins that have lapsed, or are on hold for an open \
         order, cannot be spent.",
        "Let the user top up; then send it under a new id. `GET /v1/users/{user}` shows what can be spent.",
        "the wallet has 120 coins to spend",
    ),
    refused(
        "in_debt",
        "The user owes coins: a chargeback took more than was left. A debt stops all spending; the next top-up pays it \
         first.",
        "Let the user top up at least the debt; then send it under a new id.",
        "the user owes 300 coins, which stops spending",
    ),
    refused(
        "item_not_found",
        "The catalogue has no item of that name, in the version that was in force when the command happened.",
        "Look at `GET /v1/reference`; publish the item with `POST /v1/reference`, or correct the name.",
        "the catalogue has no such item",
    ),
    refused(
        "item_not_on_sale",
        "The item is in the catalogue, and is not on sale at the time at which the command happened.",
        "Look at its `from` and `until` in `GET /v1/reference`.",
        "the item is not on sale at this time",
    ),
    refused(
        "price_changed",
        "The command names the price that the user saw (`expected_price`), and the price in force is another one.",
        "Show the user the price that `rejection` names, and send it under a new id if they still want it.",
        "one costs 12 coins",
    ),
    refused(
        "combo_counted",
        "This step of the combo (its id and count) was charged before, by another command: a client has sent it twice.",
        "Nothing: the user was charged once. `rejection` names the order that counted it.",
        "this step of the combo was counted by order 3-17",
    ),
    refused(
        "order_not_found",
        "The user has no such order: no command with that id of that source, or no order of that number, placed one.",
        "Look for it with `GET /v1/orders?user=…`. An id alone means a command of your own source; name another \
         service's command with its source.",
        "the user has no such order",
    ),
    refused(
        "order_status",
        "The order has come to a status which does not allow this step: one that is fulfilled cannot be released.",
        "Read the order with `GET /v1/orders/{order}`; its status says what is still possible.",
        "the order is fulfilled, which does not allow this",
    ),
    refused(
        "refund_not_found",
        "The order has no refund by that command.",
        "`GET /v1/orders/{order}` lists the records of the order, its refunds among them.",
        "the order has no such refund",
    ),
    refused(
        "already_rolled_back",
        "The refund was rolled back before, by the command that `rejection` names: that happens once.",
        "Nothing: it is done.",
        "the refund was rolled back by command \"rb-1\"",
    ),
    refused(
        "dated_before",
        "The command's `occurred_at` is earlier than what it is about: a refund before its gift, a roll-back before its \
         refund.",
        "Correct `occurred_at`, and send it under a new id.",
        "it is dated before what it is about, which happened at 2026-11-21T08:30:00Z",
    ),
    refused(
        "deadline_passed",
        "The hold had to be sent to its provider before its deadline, which has passed: its coins come back.",
        "Place a new order, if the user still wants it.",
        "it had to happen before 2026-11-21T08:30:00Z",
    ),
    refused(
        "exceeds_left",
        "It asks for more coins than the order still has on hold, or has left to refund.",
        "Send it with at most as many coins as `rejection` names, under a new id.",
        "there are 400 coins left",
    ),
    refused(
        "transaction_claimed",
        "Another command has claimed this transaction of the channel: a payment is credited once, to one user.",
        "Nothing, if it is the same payment. If the other command named the wrong user, it takes a person.",
        "the transaction was claimed by command \"t-1\"",
    ),
    refused(
        "not_charged_back",
        "No chargeback of the transaction stands, so there is nothing to reinstate.",
        "Look for the transaction with `GET /v1/find?q=…`.",
        "no chargeback of the transaction stands",
    ),
    refused(
        "already_charged_back",
        "The transaction was charged back before, by the command that `rejection` names.",
        "Nothing: it is done. After a reinstatement it can be charged back once more.",
        "the transaction was charged back by command \"cb-1\"",
    ),
    refused(
        "version_not_next",
        "A part of the reference data came out of turn: somebody else has published meanwhile.",
        "Publish with `POST /v1/reference`, which numbers versions and parts itself and goes on where it was interrupted.",
        "the next part of the reference data is part 0 of version 7",
    ),
    refused(
        "entity_fixed",
        "The ledger's currency, time zone and worth of a coin are published, and never change: every past month was \
         valued by them.",
        "Keep them, or begin another ledger.",
        "the ledger's entity is CNY, Asia/Shanghai, 100 coins per unit, and never changes",
    ),
    refused(
        "amount_too_large",
        "A balance or a sum would be more than 2^53 − 1 coins, the most that every JSON reader holds exactly.",
        "Look at the amounts: this is a mistake in a unit, mostly.",
        "an amount would be more than 9007199254740991 coins",
    ),
    refused(
        "too_many_lots",
        "It would move more lots of coins than one record can hold: the user has a great many small top-ups or grants.",
        "Spend or take back less at once, under new ids.",
        "it would move more lots than the 4096 that one record holds; use smaller amounts",
    ),
    refused(
        "too_large",
        "Its record would be larger than a record may be.",
        "Do it in smaller parts, under new ids: fewer members in a group, fewer recipients.",
        "its record would have more than the 524288 bytes that one may have; do it in smaller parts",
    ),
    refused(
        "nothing_to_do",
        "What a message between shards, or a timer, was about is no longer there. It stands on records of the ledger's \
         own; a caller's command is not refused with it.",
        "Nothing.",
        "there is nothing left to do",
    ),
];
