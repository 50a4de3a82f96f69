//! Whatever has an id: what somebody reads from a screenshot, and what became of it.

use replay::AsOf;
use schemars::JsonSchema;
use schemas::{ChannelId, OrderId, Record, Subject, Timestamp, TransactionId, UserId};
use serde::{Deserialize, Serialize};

use super::most;
use crate::app::{Error, Ledger, Result, asked};

/// Every record that an id names: as its command, as its own place, as an order, as a channel's transaction or a
/// user.
#[derive(Debug, clap::Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The id.
    pub id: String,
    /// At most so many records, the newest.
    #[arg(long, value_name = "N", default_value_t = most())]
    #[serde(default = "most")]
    pub limit: usize,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub as_of: Option<AsOf>,
}

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "NamedAs")]
pub enum Named {
    /// The command that made the record.
    Command,
    /// An order that the record placed or moved.
    Order,
    /// The record itself, by its place.
    Record,
    /// A channel's transaction.
    Transaction,
}

/// What was found.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Findings")]
pub struct Answer {
    /// The clock of the answer.
    pub as_of: Timestamp,
    /// The user of that id, if any record is about one.
    pub user: Option<UserId>,
    /// In the order of recording.
    pub found: Vec<Found>,
    /// How many older ones there are.
    pub more: usize,
}

/// A record that an id names.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FoundRecord")]
pub struct Found {
    pub named: Named,
    pub record: Record,
}

impl Question {
    /// Folds the log.
    ///
    /// # Errors
    /// [`Error::NotFound`] if nothing has the id.
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        if self.id.is_empty() {
            return Err(Error::Unasked("name the id that is to be found".to_owned()));
        }
        let order = self.id.parse::<OrderId>().ok();
        let (mut user, mut found, mut more) = (None, std::collections::VecDeque::new(), 0);
        let clock = ledger.fold(self.as_of.unwrap_or(AsOf::End), |record| {
            if let Some(known) = record.subject.user().filter(|user| user.as_str() == self.id) {
                user.get_or_insert_with(|| known.clone());
            }
            let Some(named) = self.names(record, order) else { return };
            found.push_back(Found { named, record: record.clone() });
            if found.len() > self.limit {
                found.pop_front();
                more += 1;
            }
        })?;
        if user.is_none() && found.is_empty() && more == 0 {
            return Err(Error::NotFound(format!(
                "nothing has the id {}: no command, order, record, transaction or user up to {clock}",
                schemas::visible(&self.id)
            )));
        }
        Ok(Answer { as_of: clock, user, found: found.into(), more })
    }

    fn names(&self, record: &Record, order: Option<OrderId>) -> Option<Named> {
        let place =
            |order: OrderId| (order.shard, order.sequence) == (record.shard, record.sequence) && order.part == 0;
        let moved = |order: OrderId| record.events().any(|(part, event)| record.order_of(part, event) == Some(order));
        let is_paid_by = |(channel, transaction): (&ChannelId, &TransactionId)| {
            let alone = self.id.strip_prefix(channel.as_str()).and_then(|rest| rest.strip_prefix('/'));
            transaction.as_str() == self.id || alone == Some(transaction.as_str())
        };
        let transaction = match &record.subject {
            Subject::Transaction { channel, transaction } => is_paid_by((channel, transaction)),
            _ => record.events().filter_map(|(_, event)| event.transaction()).any(is_paid_by),
        };
        if record.id.as_str() == self.id {
            Some(Named::Command)
        } else if order.is_some_and(moved) {
            Some(Named::Order)
        } else if order.is_some_and(place) {
            Some(Named::Record)
        } else {
            transaction.then_some(Named::Transaction)
        }
    }
}
