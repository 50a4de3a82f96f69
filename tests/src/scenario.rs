//! Words for scenarios: what is said, what was answered, what there is.

use std::fmt::Display;

use ledger::Answer;
use schemas::{Coins, Rejection};

use crate::world::World;

/// Plays a scenario with 1 and with 16 shards.
pub fn scenario(play: impl Fn(World)) {
    for shards in [1, 16] {
        play(World::new(shards));
    }
}

/// The order that was placed or moved, of what was taken.
///
/// # Panics
/// If it was not taken.
pub fn taken(answer: &Answer) -> String {
    match answer {
        Answer::Taken(taken) => taken.order.map(|order| order.to_string()).unwrap_or_default(),
        other => panic!("not taken: {other:?}"),
    }
}

/// What happened, of what was taken: the kind of the last event.
///
/// # Panics
/// If it was not taken.
pub fn happened(answer: &Answer) -> &'static str {
    match answer {
        Answer::Taken(taken) => taken.event,
        other => panic!("not taken: {other:?}"),
    }
}

/// Why something was refused.
///
/// # Panics
/// If it was not refused.
pub fn refused(answer: Answer) -> Rejection {
    match answer {
        Answer::Refused(refused) => refused.rejection,
        other => panic!("not refused: {other:?}"),
    }
}

/// What a roll-back could not take.
///
/// # Panics
/// If it is no roll-back, or was not taken.
pub fn shortfall(answer: &Answer) -> u64 {
    match answer {
        Answer::Taken(taken) => taken.shortfall.expect("a roll-back names its shortfall").get(),
        other => panic!("not taken: {other:?}"),
    }
}

/// An amount.
///
/// # Panics
/// If there are not so many.
pub fn coins(n: u64) -> Coins {
    Coins::new(n).expect("an amount of coins")
}

/// A payment over `apple`, in yuan at 100 coins each.
pub fn top_up(world: &World, user: &str, transaction: &str, coins: u64) -> Answer {
    world.say(&format!(
        r#"{{"id":"top-{transaction}-{user}","top_up":{{"user":"{user}","channel":"apple","transaction":"{transaction}",
            "coins":{coins},"paid":{{"currency":"CNY","amount":"{}.{:02}"}}}}}}"#,
        coins / 100,
        coins % 100,
    ))
}

/// `chargeback` or `reinstate` of a payment over `apple`.
pub fn dispute(world: &World, id: &str, what: &str, transaction: &str) -> Answer {
    world.say(&format!(r#"{{"id":"{id}","{what}":{{"channel":"apple","transaction":"{transaction}"}}}}"#))
}

/// A gift; `to` in JSON, as `[{"streamer":"a","weight":9}]`.
pub fn gift(world: &World, id: &str, user: &str, item: &str, quantity: u64, to: &str) -> Answer {
    world.say(&format!(r#"{{"id":"{id}","gift":{{"user":"{user}","item":"{item}","quantity":{quantity},"to":{to}}}}}"#))
}

/// A step of an order of `u1` that a command placed: `rest` are further fields, as `"coins":1`.
pub fn step(world: &World, id: &str, what: &str, command: &str, rest: &str) -> Answer {
    world.say(&format!(r#"{{"id":"{id}",{}}}"#, step_of(what, format!(r#"{{"command":"{command}"}}"#), rest)))
}

/// The same as a member of a group; the order's name in JSON.
pub fn step_of(what: &str, name: impl Display, rest: &str) -> String {
    let comma = if rest.is_empty() { "" } else { "," };
    format!(r#""{what}":{{"order":{{"user":"u1","name":{name}}}{comma}{rest}}}"#)
}

/// What each lot of a user holds, in burn order.
pub fn lots(world: &World, user: &str) -> Vec<u64> {
    world.wallet(user).lots().map(|lot| lot.coins.get()).collect()
}

/// What each recipient of a gift holds of its value and of its base.
///
/// # Panics
/// If there is no such order.
pub fn shares(world: &World, order: &str) -> Vec<(u64, u64)> {
    let order = world.order(order).expect("there is such an order");
    order.shares().iter().map(|share| (share.value.get(), share.base.get())).collect()
}
