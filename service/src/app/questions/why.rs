//! Why an account holds what it holds.

use std::{borrow::Cow, collections::VecDeque};

use chrono_tz::Tz;
use ledger::postings_of;
use replay::AsOf;
use schemars::JsonSchema;
use schemas::{Account, ActorId, Asset, CommandId, Event, OrderId, Origin, Record, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    app::{Ledger, Result, asked},
    words,
};

/// The last changes of an account: how much, what made them, and what was left.
#[derive(Debug, clap::Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Such as user:u1, streamer:s1:turnover, channel:apple:receivable, platform:issued.
    pub account: Account,
    /// At most so many changes, the newest.
    #[arg(long, value_name = "N", default_value_t = few())]
    #[serde(default = "few")]
    pub limit: usize,
    /// As of a time of recording or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub as_of: Option<AsOf>,
}

/// As many as fit on a screen.
fn few() -> usize {
    20
}

/// What an account holds, and its last changes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AccountExplained")]
pub struct Answer {
    pub account: Account,
    /// The clock of the answer.
    pub as_of: Timestamp,
    /// By asset; empty where nothing was ever posted.
    pub balances: Vec<Balance>,
    /// In the order of recording.
    pub changes: Vec<Change>,
    /// How many older ones there are.
    pub more: usize,
}

/// What an account holds of one asset.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AssetBalance")]
pub struct Balance {
    pub asset: String,
    /// A sum: a decimal string, whatever the asset.
    pub balance: String,
}

/// What one event did to the account.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExplainedChange")]
pub struct Change {
    /// Where it is recorded.
    pub record: String,
    /// When it was recorded.
    pub time: Timestamp,
    /// When it happened.
    pub occurred_at: Timestamp,
    pub event: Cow<'static, str>,
    pub asset: String,
    /// Plus is what the platform owes to the account's holder.
    pub amount: String,
    /// What the account held of the asset from then on.
    pub balance: String,
    /// The command that made it.
    pub command: CommandId,
    /// Whether a caller sent that, or what of the ledger.
    pub origin: Origin,
    pub actor: Option<ActorId>,
    /// The order that was placed or moved.
    pub order: Option<OrderId>,
    /// What happened, in words; times in the zone of the books.
    pub what: String,
}

impl Question {
    /// Folds the log; holds as many changes as it answers.
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        let as_of = self.as_of.unwrap_or(AsOf::End);
        let mut told = Told { zone: ledger.shown_zone(as_of)?, held: Vec::new(), changes: VecDeque::new(), more: 0 };
        let clock = ledger.fold(as_of, |record| {
            for (part, event) in record.events() {
                self.hear(record, (part, event), &mut told);
            }
        })?;
        let balance = |(asset, held): (Asset, i128)| Balance { asset: asset.to_string(), balance: asset.show(held) };
        Ok(Answer {
            account: self.account.clone(),
            as_of: clock,
            balances: told.held.into_iter().map(balance).collect(),
            changes: told.changes.into(),
            more: told.more,
        })
    }

    fn hear(&self, record: &Record, (part, event): (u8, &Event), told: &mut Told) {
        // What an event posts to one account is told as one change of each asset.
        let mut moved: Vec<(Asset, i128)> = Vec::new();
        for posting in postings_of(record, part, event).into_iter().filter(|posting| posting.account == self.account) {
            add(&mut moved, posting.asset, posting.amount.into());
        }
        for (asset, amount) in moved {
            let balance = add(&mut told.held, asset, amount);
            told.changes.push_back(Change {
                record: words::place(record),
                time: record.time,
                occurred_at: record.happened_at(),
                event: event.kind().into(),
                asset: asset.to_string(),
                amount: asset.show(amount),
                balance: asset.show(balance),
                command: record.id.clone(),
                origin: record.origin.clone(),
                actor: record.actor.clone(),
                order: record.order_of(part, event),
                what: words::sentence(event, told.zone),
            });
            if told.changes.len() > self.limit {
                told.changes.pop_front();
                told.more += 1;
            }
        }
    }
}

/// What was heard by now.
struct Told {
    zone: Tz,
    held: Vec<(Asset, i128)>,
    changes: VecDeque<Change>,
    more: usize,
}

/// Adds to the amount of an asset; what it is then.
fn add(amounts: &mut Vec<(Asset, i128)>, asset: Asset, amount: i128) -> i128 {
    let at = amounts.iter().position(|(of, _)| *of == asset).unwrap_or_else(|| {
        amounts.push((asset, 0));
        amounts.len() - 1
    });
    amounts[at].1 += amount;
    amounts[at].1
}
