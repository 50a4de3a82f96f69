//! `wallet`: a user's lots, debt and open orders.

use std::io::Write;

use anyhow::Result;
use chrono_tz::Tz;
use schemas::LotKind;

use super::{Ended, Global, show};
use crate::{
    app::questions::wallet::{Answer, KnownLot, OpenOrder, Origin, Question},
    local_time::{local, titled},
    output::{table, thousands},
    words,
};

/// Show a user's lots, debt and open orders.
///
/// Lots stand in burn order, then what the user owes, and the orders whose coins are on hold. What is
/// due by the time of the answer counts as due: coins that have lapsed cannot be spent, and a hold past
/// its deadline comes back, whether a writer has recorded it yet or not.
#[derive(Debug, clap::Args)]
pub struct Wallet {
    #[command(flatten)]
    question: Question,
}

impl Wallet {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let home = global.home()?;
        let answer = home.ask(&self.question)?;
        show(global, &home, (&answer, self.question.as_of), print)
    }
}

fn print(out: &mut dyn Write, shown: &Answer, zone: Tz) -> Result<()> {
    let rows = shown.lots.iter().map(|KnownLot { lot, lapsed, origin }| {
        let (kind, expires) = match lot.kind {
            LotKind::Paid => ("paid", None),
            LotKind::Bonus { expires } if *lapsed => ("bonus, lapsed", expires),
            LotKind::Bonus { expires } => ("bonus", expires),
        };
        let origin = match origin {
            Some(Origin::TopUp { channel, transaction }) => format!("top-up {channel}/{transaction}"),
            Some(Origin::Grant { reason }) => format!("grant: {reason}"),
            None => String::new(),
        };
        let expires = expires.map(|at| local(at, zone)).unwrap_or_default();
        vec![lot.id.to_string(), kind.to_owned(), thousands(lot.coins), expires, origin]
    });
    let header = ["lot", "kind", "coins", &titled("lapses", zone), "from"];
    writeln!(out, "{}", table(&header, &[2], rows))?;
    let (balance, debt) = (thousands(shown.balance), thousands(shown.debt));
    writeln!(out, "balance {balance}, debt {debt}, to spend {}", thousands(shown.spendable))?;
    for OpenOrder { order, past_deadline } in &shown.open_orders {
        let status = words::status(order, *past_deadline, zone);
        writeln!(out, "order {} holds {}: {status}", order.id, thousands(order.left))?;
    }
    writeln!(out, "as of {} ({})", local(shown.as_of, zone), zone.name())?;
    Ok(())
}
