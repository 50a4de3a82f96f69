//! Named subscriptions.

use axum::http::Method;

use super::{ANY, WITH_BODY};
use crate::{
    http::{
        docs::shapes::AnyObject,
        operation::{Content, Operation, Tag},
        subscriptions::{self, Again, Failed, Ids, Page, Pull},
    },
    subscriptions::Wanted,
};

const NAME: &str = "What it is called.";

/// The routes.
pub fn routes() -> Vec<Operation> {
    let one = "/v1/subscriptions/{name}";
    let put = Operation::new(
        (Method::PUT, one, "putSubscription"),
        subscriptions::put,
        (Tag::Feed, "Make a subscription, or change its settings"),
        "The server remembers how far its consumers are. Entries are delivered at least once, in order per subject; of one \
         subject nothing more is given while an entry is in flight elsewhere. One that fails `max_tries` times is parked. \
         With `push` the entries are sent to an address, signed by Standard Webhooks; the `secret` is shown once. The same \
         again changes nothing; another filter or beginning is 409.",
    )
    .path::<String>("name", NAME)
    .takes(Content::json::<Wanted>())
    .answers(200, "It was there; its settings are these now.", Content::json::<AnyObject>())
    .answers(201, "It was made.", Content::json::<AnyObject>())
    .problems(ANY)
    .problems(WITH_BODY)
    .problems(&[409, 410, 429]);
    let list = Operation::new(
        (Method::GET, "/v1/subscriptions", "subscriptions"),
        subscriptions::list,
        (Tag::Feed, "All subscriptions"),
        "Each with how far it is: records behind, entries in flight and parked, and what holds it up.",
    )
    .answers(200, "Those there are.", Content::json::<AnyObject>())
    .problems(ANY);
    let get = Operation::new(
        (Method::GET, one, "subscription"),
        subscriptions::get,
        (Tag::Feed, "One subscription"),
        "How it is set, and how far it is.",
    )
    .path::<String>("name", NAME)
    .answers(200, "It.", Content::json::<AnyObject>())
    .problems(ANY)
    .problems(&[404]);
    let delete = Operation::new(
        (Method::DELETE, one, "deleteSubscription"),
        subscriptions::delete,
        (Tag::Feed, "End a subscription"),
        "What it has not delivered is not delivered; the records stay.",
    )
    .path::<String>("name", NAME)
    .answers_one_of(204, "It is gone.", Vec::new())
    .problems(ANY)
    .problems(&[404]);
    let mut all = vec![put, list, get, delete];
    all.extend(entries());
    all
}

fn entries() -> Vec<Operation> {
    let pull = Operation::new(
        (Method::POST, "/v1/subscriptions/{name}/pull", "pull"),
        subscriptions::pull,
        (Tag::Feed, "Take entries"),
        "Up to `max` (100, at most 1,000), each with an `ack`; it waits up to `wait_s` (at most 30) for the first one. What \
         is not acknowledged in time comes again.",
    )
    .path::<String>("name", NAME)
    .takes(Content::json::<Pull>())
    .answers(200, "The entries.", Content::json::<AnyObject>())
    .problems(ANY)
    .problems(WITH_BODY)
    .problems(&[404, 409]);
    let ack = Operation::new(
        (Method::POST, "/v1/subscriptions/{name}/ack", "ack"),
        subscriptions::ack,
        (Tag::Feed, "Acknowledge entries"),
        "They do not come again. Each is answered: `acked`, `late` (it was given to somebody else meanwhile) or `unknown`.",
    )
    .path::<String>("name", NAME)
    .takes(Content::json::<Ids>())
    .answers(200, "An answer an id, in order.", Content::json::<AnyObject>())
    .problems(ANY)
    .problems(WITH_BODY)
    .problems(&[404, 409]);
    let nack = Operation::new(
        (Method::POST, "/v1/subscriptions/{name}/nack", "nack"),
        subscriptions::nack,
        (Tag::Feed, "Give entries back"),
        "They come again, after `delay_s` or a growing pause; after `max_tries` they are parked with the `reason`.",
    )
    .path::<String>("name", NAME)
    .takes(Content::json::<Failed>())
    .answers(200, "An answer an id, in order.", Content::json::<AnyObject>())
    .problems(ANY)
    .problems(WITH_BODY)
    .problems(&[404, 409]);
    let parked = Operation::new(
        (Method::GET, "/v1/subscriptions/{name}/parked", "parked"),
        subscriptions::parked,
        (Tag::Feed, "What failed too often"),
        "By place; `next` names from where to go on.",
    )
    .path::<String>("name", NAME)
    .asks::<Page>()
    .answers(200, "The entries.", Content::json::<AnyObject>())
    .problems(ANY)
    .problems(&[404]);
    let replay = Operation::new(
        (Method::POST, "/v1/subscriptions/{name}/parked/replay", "replayParked"),
        subscriptions::replay,
        (Tag::Feed, "Deliver parked entries again"),
        "Those at `positions`, or all: they come first, in order.",
    )
    .path::<String>("name", NAME)
    .takes(Content::json::<Again>())
    .answers(200, "How many.", Content::json::<AnyObject>())
    .problems(ANY)
    .problems(WITH_BODY)
    .problems(&[404, 409]);
    vec![pull, ack, nack, parked, replay]
}
