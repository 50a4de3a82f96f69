//! `orders`: orders by what support knows of them.

use std::io::Write;

use anyhow::Result;
use chrono_tz::Tz;
use schemas::OrderKind;

use super::{Ended, Global};
use crate::{
    app::questions::orders::{Answer, Found, Question},
    local_time::{local, titled},
    output::{complain, json_line, stdout, table, thousands},
    words,
};

/// List orders by user, state, age, provider, item, room, time or amount.
///
/// The newest stand first: `orders --user u1`, `orders --state open --idle 15m`, `orders --room 7 --from
/// 2026-11-24T12:00:00Z`.
#[derive(Debug, clap::Args)]
pub struct Orders {
    #[command(flatten)]
    question: Question,
}

impl Orders {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let home = global.home()?;
        let answer = home.ask(&self.question)?;
        let mut out = stdout();
        if global.json {
            answer.orders.iter().try_for_each(|order| json_line(&mut out, order))?;
            if answer.more > 0 {
                complain(&format_args!("and {} older ones: raise --limit", thousands(answer.more)));
            }
        } else {
            print(&mut out, &answer, home.shown_zone(self.question.as_of)?)?;
        }
        out.flush()?;
        Ok(Ended::Well)
    }
}

fn print(out: &mut impl Write, answer: &Answer, zone: Tz) -> Result<()> {
    let rows = answer.orders.iter().map(|Found { order, user, last, past_deadline }| {
        let about = match &order.kind {
            OrderKind::Gift { item, room: Some(room), .. } => format!("{item} in room {room}"),
            OrderKind::Gift { item, room: None, .. } => item.to_string(),
            OrderKind::Game { provider, .. } => format!("by {provider}"),
        };
        vec![
            local(order.placed_at, zone),
            order.id.to_string(),
            user.as_ref().map(ToString::to_string).unwrap_or_default(),
            about,
            thousands(order.charged),
            thousands(order.left),
            words::status(order, *past_deadline, zone),
            local(*last, zone),
        ]
    });
    let header = [&*titled("placed", zone), "order", "user", "what", "charged", "left", "state", "last record"];
    writeln!(out, "{}", table(&header, &[4, 5], rows))?;
    if answer.more > 0 {
        writeln!(out, "and {} older ones: narrow the question, or raise --limit", thousands(answer.more))?;
    }
    writeln!(out, "as of {} ({})", local(answer.as_of, zone), zone.name())?;
    Ok(())
}
