//! `why`: how an account came to what it holds.

use std::io::Write;

use anyhow::Result;
use chrono_tz::Tz;

use super::{Ended, Global, show};
use crate::{
    app::questions::why::{Answer, Balance, Question},
    local_time::{local, titled},
    output::{table, thousands},
};

/// Say why an account holds what it holds: its last changes.
///
/// Each with what it added or took, what the account held then, what happened, and the command and whoever made it.
/// Plus is what is owed to the account's holder.
#[derive(Debug, clap::Args)]
pub struct Why {
    #[command(flatten)]
    question: Question,
}

impl Why {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let home = global.home()?;
        let answer = home.ask(&self.question)?;
        show(global, &home, (&answer, self.question.as_of), print)
    }
}

fn print(out: &mut dyn Write, answer: &Answer, zone: Tz) -> Result<()> {
    if answer.more > 0 {
        writeln!(out, "older changes are left out ({}): raise --limit", thousands(answer.more))?;
    }
    let rows = answer.changes.iter().map(|change| {
        let by = change.actor.as_ref().map(|actor| format!(", by {actor}")).unwrap_or_default();
        let order = change.order.map(|order| format!(", order {order}")).unwrap_or_default();
        vec![
            local(change.time, zone),
            thousands(&change.amount),
            thousands(&change.balance),
            format!("{}{order} (record {}, command {}{by})", change.what, change.record, change.command),
        ]
    });
    if !answer.changes.is_empty() {
        writeln!(out, "{}", table(&[&titled("recorded", zone), "change", "balance", "why"], &[1, 2], rows))?;
    }
    match &answer.balances[..] {
        [] => writeln!(out, "nothing was ever posted to {}", answer.account)?,
        balances => {
            let held = balances.iter().map(|Balance { asset, balance }| format!("{} {asset}", thousands(balance)));
            writeln!(out, "{} holds {}", answer.account, held.collect::<Vec<_>>().join(", "))?;
        }
    }
    writeln!(out, "as of {} ({})", local(answer.as_of, zone), zone.name())?;
    Ok(())
}
