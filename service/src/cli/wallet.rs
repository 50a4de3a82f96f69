//! `wallet`: a user's lots, debt and open orders.

use std::io::Write;

use anyhow::Result;
use ledger::{Clock, State, SystemClock, state::User};
use replay::AsOf;
use schemas::{Lot, LotKind, Order, Subject, UserId};
use serde::Serialize;

use super::{Ended, Global};
use crate::output::{json_line, stdout, table, thousands};

/// Show a user's lots in burn order, what the user owes, and the orders whose coins are on hold.
#[derive(Debug, clap::Args)]
pub struct Wallet {
    /// Whose.
    user: UserId,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<AsOf>,
}

/// A wallet as scripts read it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    user: &'a UserId,
    balance: i128,
    debt: u128,
    lots: Vec<Lot>,
    open_orders: &'a [Order],
}

impl Wallet {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let ledger = global.ledger();
        let shards = ledger.read()?.shards();
        let shard = Subject::User(self.user.clone()).shard(shards);
        let mut state = State::new(shard, shards);
        ledger.fold(self.as_of.unwrap_or(AsOf::End), |record| {
            if record.shard == shard {
                state.apply(record);
            }
            Ok(())
        })?;
        let nobody = User::default();
        let user = state.user(&self.user).unwrap_or(&nobody);
        let wallet = user.wallet();
        let now = SystemClock.now();
        let mut out = stdout();
        if global.json {
            let shown = Shown {
                user: &self.user,
                balance: wallet.balance(),
                debt: wallet.debt(),
                lots: wallet.lots().collect(),
                open_orders: user.open_orders(),
            };
            json_line(&mut out, &shown)?;
        } else {
            let rows = wallet.lots().map(|lot| {
                let (kind, expires) = match lot.kind {
                    LotKind::Paid => ("paid", String::new()),
                    LotKind::Bonus { expires: Some(at) } if at <= now => ("lapsed", at.to_string()),
                    LotKind::Bonus { expires } => ("bonus", expires.map(|at| at.to_string()).unwrap_or_default()),
                };
                vec![lot.id.to_string(), kind.to_owned(), thousands(lot.coins), expires]
            });
            writeln!(out, "{}", table(&["lot", "kind", "coins", "expires"], &[2], rows))?;
            let spendable = if wallet.debt() > 0 { 0 } else { wallet.available(now) };
            let (balance, debt) = (thousands(wallet.balance()), thousands(wallet.debt()));
            writeln!(out, "balance {balance}, debt {debt}, to spend {}", thousands(spendable))?;
            for order in user.open_orders() {
                writeln!(out, "order {} holds {}: {:?}", order.id, thousands(order.left), order.status)?;
            }
        }
        out.flush()?;
        Ok(Ended::Well)
    }
}
