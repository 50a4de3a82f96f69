//! `wallet`: a user's lots, debt and open orders.

use std::{collections::HashMap, io::Write};

use anyhow::Result;
use chrono_tz::Tz;
use ledger::{State, state::User};
use replay::AsOf;
use schemas::{Event, Lot, LotId, LotKind, Order, OrderKind, Record, Status, Subject, Timestamp, UserId};
use serde::Serialize;

use super::{Ended, Global};
use crate::{
    local_time::{local, titled},
    output::{json_line, stdout, table, thousands},
    words,
};

/// Show a user's lots in burn order, what the user owes, and the orders whose coins are on hold. What is
/// due by the time of the answer counts as due: coins that have lapsed cannot be spent, and a hold past
/// its deadline comes back, whether a writer has recorded it yet or not.
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
    /// The clock of the answer.
    as_of: Timestamp,
    /// What the account holds by what is recorded, lapsed lots included.
    #[serde(serialize_with = "schemas::serialize_sum")]
    balance: i128,
    #[serde(serialize_with = "schemas::serialize_sum")]
    debt: u128,
    /// What could be spent at that time.
    #[serde(serialize_with = "schemas::serialize_sum")]
    spendable: u128,
    lots: Vec<ShownLot<'a>>,
    open_orders: Vec<ShownOrder<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownLot<'a> {
    #[serde(flatten)]
    lot: Lot,
    /// Whether its time has come.
    lapsed: bool,
    origin: Option<&'a Origin>,
}

#[derive(Debug, Serialize)]
struct ShownOrder<'a> {
    #[serde(flatten)]
    order: &'a Order,
    /// Whether it was not sent by its deadline, so that its coins come back.
    past_deadline: bool,
}

/// Where a lot came from.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Origin {
    TopUp { channel: schemas::ChannelId, transaction: schemas::TransactionId },
    Grant { reason: schemas::ReasonCode },
}

impl Wallet {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let ledger = global.ledger();
        let as_of = self.as_of.unwrap_or(AsOf::End);
        let shards = ledger.read()?.shards();
        let subject = Subject::User(self.user.clone());
        let shard = subject.shard(shards);
        let mut state = State::new(shard, shards);
        let mut origins = HashMap::new();
        let clock = ledger.fold(as_of, |record| {
            if record.shard == shard {
                state.apply(record);
            }
            if record.subject == subject {
                note_origins(record, &mut origins);
            }
            Ok(())
        })?;
        let nobody = User::default();
        let user = state.user(&self.user).unwrap_or(&nobody);
        let wallet = user.wallet();
        let spendable = if wallet.debt() > 0 { 0 } else { wallet.available(clock) };
        let shown = Shown {
            user: &self.user,
            as_of: clock,
            balance: wallet.balance(),
            debt: wallet.debt(),
            spendable,
            lots: wallet
                .lots()
                .map(|lot| ShownLot { lot, lapsed: lot.kind.has_expired(clock), origin: origins.get(&lot.id) })
                .collect(),
            open_orders: user
                .open_orders()
                .map(|order| ShownOrder { order, past_deadline: is_past_deadline(order, clock) })
                .collect(),
        };
        let mut out = stdout();
        if global.json {
            json_line(&mut out, &shown)?;
        } else {
            print(&mut out, &shown, ledger.shown_zone(as_of)?)?;
        }
        out.flush()?;
        Ok(Ended::Well)
    }
}

/// Whether a hold was not sent by its deadline: it can no longer be, and its coins come back with the
/// timer's record.
pub fn is_past_deadline(order: &Order, clock: Timestamp) -> bool {
    matches!((order.status, &order.kind), (Status::Held, OrderKind::Game { deadline, .. }) if *deadline <= clock)
}

/// The lots that a record of the user made. What comes back goes to the lots that it came from.
fn note_origins(record: &Record, origins: &mut HashMap<LotId, Origin>) {
    for (part, event) in record.events() {
        let origin = match event {
            Event::TopUpCredited(e) => Origin::TopUp { channel: e.channel.clone(), transaction: e.transaction.clone() },
            Event::Granted(e) => Origin::Grant { reason: e.reason.clone() },
            Event::ReferencePublished(_)
            | Event::ReferenceTaken(_)
            | Event::TopUpClaimed(_)
            | Event::ChargebackClaimed(_)
            | Event::ChargedBack(_)
            | Event::LotExpired(_)
            | Event::GiftGiven(_)
            | Event::Held(_)
            | Event::Sent(_)
            | Event::Queried(_)
            | Event::Unresolved(_)
            | Event::HandedOver(_)
            | Event::Captured(_)
            | Event::Released(_)
            | Event::Refunded(_)
            | Event::RefundRolledBack(_)
            | Event::ChargebackRemembered(_)
            | Event::TopUpReversed(_)
            | Event::ReinstateRemembered(_)
            | Event::ReinstateClaimed(_)
            | Event::Reinstated(_)
            | Event::Group(_) => continue,
        };
        origins.insert(LotId { sequence: record.sequence, part }, origin);
    }
}

fn print(out: &mut impl Write, shown: &Shown<'_>, zone: Tz) -> Result<()> {
    let rows = shown.lots.iter().map(|ShownLot { lot, lapsed, origin }| {
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
    for ShownOrder { order, past_deadline } in &shown.open_orders {
        let status = words::status(order, *past_deadline, zone);
        writeln!(out, "order {} holds {}: {status}", order.id, thousands(order.left))?;
    }
    writeln!(out, "as of {} ({})", local(shown.as_of, zone), zone.name())?;
    Ok(())
}
