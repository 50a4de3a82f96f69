//! `order`: one order, and everything that happened to it.

use std::io::Write;

use anyhow::Result;
use chrono_tz::Tz;
use replay::AsOf;
use schemas::{CommandId, OrderId, OrderKind, Record, Subject, Timestamp, UserId, visible};
use serde::Serialize;

use super::{Ended, Global, NotFound, wallet::is_past_deadline};
use crate::{
    local_time::{local, titled},
    output::{json_line, stdout, table, thousands},
    words,
};

/// Show an order by its number, or by user and the id of the command that placed it.
#[derive(Debug, clap::Args)]
pub struct Order {
    /// Its number, such as 3-17.
    #[arg(required_unless_present = "command")]
    number: Option<OrderId>,
    /// Whose order, with --command.
    #[arg(long, requires = "command", conflicts_with = "number")]
    user: Option<UserId>,
    /// The command that placed it, with --user.
    #[arg(long, requires = "user", value_name = "ID")]
    command: Option<CommandId>,
    /// Which order of the command's group: its place there, from 0; the first that it placed where absent.
    #[arg(long, requires = "command", value_name = "N")]
    part: Option<u8>,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<AsOf>,
}

/// An order with its records.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    order: &'a schemas::Order,
    user: Option<&'a UserId>,
    /// The clock of the answer.
    as_of: Timestamp,
    /// Whether it was not sent by its deadline, so that its coins come back.
    past_deadline: bool,
    /// What each recipient of a gift holds of it.
    held: Vec<schemas::ShareHeld>,
    records: &'a [Record],
}

/// An order with its records.
#[derive(Debug)]
struct Story {
    order: schemas::Order,
    user: Option<UserId>,
    records: Vec<Record>,
}

impl Order {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let as_of = self.as_of.unwrap_or(AsOf::End);
        let (story, clock) = self.story(global, as_of)?;
        let Some(story) = story else { return Err(NotFound(self.not_found(as_of)).into()) };
        let past_deadline = is_past_deadline(&story.order, clock);
        let mut out = stdout();
        if global.json {
            let Story { order, user, records } = &story;
            let held = order.shares().into_iter().collect();
            json_line(&mut out, &Shown { order, user: user.as_ref(), as_of: clock, past_deadline, held, records })?;
        } else {
            let zone = global.ledger().shown_zone(as_of)?;
            print(&mut out, &story, past_deadline, zone)?;
            writeln!(out, "as of {} ({})", local(clock, zone), zone.name())?;
        }
        out.flush()?;
        Ok(Ended::Well)
    }

    fn not_found(&self, as_of: AsOf) -> String {
        let moment = match as_of {
            AsOf::End => String::new(),
            moment => format!(" as of {moment}"),
        };
        match (&self.number, &self.user, &self.command) {
            (None, Some(user), Some(command)) => {
                let part = self.part.map(|part| format!("part {part} of ")).unwrap_or_default();
                format!("no {part}command {} of user {user} placed an order{moment}", visible(command.as_str()))
            }
            (number, ..) => {
                let number = number.map(|n| n.to_string()).unwrap_or_default();
                format!("there is no order {number}{moment}: no record has placed one at that place")
            }
        }
    }

    /// One pass over the log: the placing record comes before all others.
    fn story(&self, global: &Global, as_of: AsOf) -> Result<(Option<Story>, Timestamp)> {
        let mut story: Option<Story> = None;
        let clock = global.ledger().fold(as_of, |record| {
            let is_it = |order: &schemas::Order| match &story {
                Some(story) => story.order.id == order.id,
                None => self.names(record, order.id),
            };
            // The first of a group where its id names the order, and its newest state in any later record.
            let mut found = record.orders().filter(is_it);
            let order = if story.is_none() { found.next() } else { found.last() };
            if let Some(order) = order {
                let known = story.get_or_insert_with(|| Story {
                    order: order.clone(),
                    user: record.subject.user().cloned(),
                    records: Vec::new(),
                });
                known.order = order;
                known.records.push(record.clone());
            }
            Ok(())
        })?;
        Ok((story, clock))
    }

    fn names(&self, record: &Record, order: OrderId) -> bool {
        match (&self.number, &self.user, &self.command) {
            (Some(number), ..) => *number == order,
            (None, Some(user), Some(command)) => {
                record.subject == Subject::User(user.clone())
                    && record.id == *command
                    && record.origin == schemas::Origin::Caller
                    && order == record.order_id(self.part.unwrap_or(order.part))
            }
            _ => false,
        }
    }
}

fn print(out: &mut impl Write, story: &Story, past_deadline: bool, zone: Tz) -> Result<()> {
    let Story { order, user, records } = story;
    let whose = user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
    let status = words::status(order, past_deadline, zone);
    writeln!(out, "order {}{whose}: {status}", order.id)?;
    let about = match &order.kind {
        OrderKind::Gift { item, room, .. } => {
            let room = room.as_ref().map(|room| format!(" in room {room}")).unwrap_or_default();
            format!("a gift of {item}{room}")
        }
        OrderKind::Game { provider, attempts, .. } => {
            format!("an order that {provider} delivers, called {attempts} times")
        }
    };
    writeln!(out, "{about}: charged {}, left {}", thousands(order.charged), thousands(order.left))?;
    for share in order.shares() {
        let (value, base) = (thousands(share.value), thousands(share.base));
        writeln!(out, "{} holds {value} of its value, of which {base} pay out", share.streamer)?;
    }
    let rows = records.iter().flat_map(|record| {
        let own = |part, event: &schemas::Event| record.order_of(part, event) == Some(order.id);
        words::sentences(record, zone, own).into_iter().map(move |what| {
            let time = local(record.time, zone);
            vec![time, words::place(record), what, words::actor(record), words::client(record), record.id.to_string()]
        })
    });
    let header = [&*titled("recorded", zone), "record", "what", "by", "client", "command"];
    writeln!(out, "{}", table(&header, &[], rows))?;
    Ok(())
}
