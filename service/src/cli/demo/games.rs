//! The game orders of the demo, through a provider on a bad day.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use ledger::{Clock, Engine, SystemClock};
use replay::{
    AsOf, Driver, Schedule,
    driver::{Behaviour, Simulator},
};
use schemas::{CommandId, Event, Order, OrderId, OrderKind, Status, UserId};
use serde::Serialize;

use super::platform::Placed;
use crate::{cli::watched, ledger_dir::LedgerDir, signals};

/// The demo does not wait for hours: it asks after 20 ms, 40 ms, 80 ms, and then a person takes over.
const SCHEDULE: Schedule = Schedule { first_ms: 20, longest_ms: 80, calls: 5 };
/// A provider on a bad day.
const BAD_DAY: Behaviour = Behaviour { refuses: 20, delivers_part: 10, silent: 5, loses: 30, late: 15, wrong: 10 };

/// What became of the game orders, by the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Compensation {
    pub fulfilled: u64,
    pub released: u64,
    pub never_sent: u64,
    pub with_a_person: u64,
    pub calls: u64,
    pub unresolved: u64,
}

/// The holds that are on the log already, where a demo goes on.
pub fn placed(ledger: &LedgerDir) -> Result<BTreeMap<CommandId, Placed>> {
    let mut placed = BTreeMap::new();
    watched(ledger).fold(AsOf::End, |record| {
        if let Some(Event::Held(held)) = record.event() {
            placed.insert(record.id.clone(), Placed { at: record.happened_at(), deadline: held.deadline });
        }
    })?;
    Ok(placed)
}

/// Sends the held orders, all but those that were forgotten, and drives the rest to an end.
pub fn play(engine: &Engine, seed: u64) -> Result<()> {
    let reader = engine.reader();
    let mut driver = Driver::new(Simulator::new(seed, BAD_DAY), SCHEDULE, &reader);
    for (user, order) in held(engine)? {
        if !is_forgotten(&order) {
            driver.send(engine, &user, &order);
        }
    }
    driver.follow()?;
    while let Some(due) = driver.next_due() {
        let wait = due.nanos() - SystemClock.now().nanos();
        signals::pause(Duration::from_nanos(u64::try_from(wait).unwrap_or(0)), super::unfinished)?;
        driver.ask_due(engine, SystemClock.now());
        driver.follow()?;
    }
    // The ledger's own timers bring back what was never sent.
    while !held(engine)?.is_empty() {
        signals::pause(Duration::from_millis(20), super::unfinished)?;
    }
    Ok(())
}

/// The orders that nobody has sent, in the order of their numbers.
fn held(engine: &Engine) -> Result<Vec<(UserId, Order)>> {
    let held = engine.read(|states| {
        let users = states.iter().flat_map(ledger::State::users);
        let held = users.flat_map(|(user, known)| {
            let open = known.open_orders().filter(|order| order.status == Status::Held);
            open.map(|order| (user.clone(), order.clone()))
        });
        let mut held: Vec<(UserId, Order)> = held.collect();
        held.sort_by_key(|(_, order)| order.id);
        held
    })?;
    Ok(held)
}

fn is_forgotten(order: &Order) -> bool {
    match order.kind {
        OrderKind::Game { deadline, .. } => Placed { at: order.placed_at, deadline }.is_forgotten(),
        OrderKind::Gift { .. } => false,
    }
}

/// What the log says of them.
pub fn compensation(ledger: &LedgerDir) -> Result<Compensation> {
    let (mut result, mut orders) = (Compensation::default(), BTreeMap::<OrderId, Order>::new());
    watched(ledger).fold(AsOf::End, |record| {
        match record.event() {
            Some(Event::Sent(_) | Event::Queried(_)) => result.calls += 1,
            Some(Event::Unresolved(_)) => result.unresolved += 1,
            _ => {}
        }
        let games = record.orders().filter(|order| matches!(order.kind, OrderKind::Game { .. }));
        orders.extend(games.map(|order| (order.id, order)));
    })?;
    for order in orders.values() {
        match order.status {
            Status::Fulfilled => result.fulfilled += 1,
            Status::Released if is_forgotten(order) => result.never_sent += 1,
            Status::Released => result.released += 1,
            _ => result.with_a_person += 1,
        }
    }
    Ok(result)
}
