//! `order`: one order, and everything that happened to it.

use std::io::Write;

use anyhow::Result;
use chrono_tz::Tz;
use schemas::OrderKind;

use super::{Ended, Global, show};
use crate::{
    app::questions::order::{Answer, Question},
    local_time::{local, titled},
    output::{table, thousands},
    words,
};

/// Show an order and everything that happened to it.
///
/// It is named by its number, or by user and the id of the command that placed it.
#[derive(Debug, clap::Args)]
pub struct Order {
    #[command(flatten)]
    question: Question,
}

impl Order {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let home = global.home()?;
        let answer = home.ask(&self.question)?;
        show(global, &home, (&answer, self.question.as_of), print)
    }
}

fn print(out: &mut dyn Write, answer: &Answer, zone: Tz) -> Result<()> {
    let Answer { order, user, past_deadline, held, records, .. } = answer;
    let whose = user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
    let status = words::status(order, *past_deadline, zone);
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
    for share in held {
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
    writeln!(out, "as of {} ({})", local(answer.as_of, zone), zone.name())?;
    Ok(())
}
