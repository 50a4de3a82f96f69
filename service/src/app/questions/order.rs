//! One order, and everything that happened to it.

use std::collections::BTreeSet;

use ledger::{Clock, Engine, SystemClock};
use replay::AsOf;
use schemars::JsonSchema;
use schemas::{CommandId, Key, OrderId, Origin, Record, ShareHeld, Source, Subject, Timestamp, UserId, visible};
use serde::{Deserialize, Serialize};

use super::wallet::is_past_deadline;
use crate::app::{Error, Ledger, Result, asked};

/// An order, with everything that happened to it.
#[derive(Debug, clap::Args, Deserialize)]
#[serde(from = "Fields")]
pub struct Question {
    /// Which one.
    #[command(flatten)]
    pub which: Which,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    pub as_of: Option<AsOf>,
}

/// The question without layers, as a query string has it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// The order's number, such as 3-17.
    number: Option<OrderId>,
    /// Whose order it is, where the command names it.
    user: Option<UserId>,
    /// The command of that user which placed it.
    command: Option<CommandId>,
    /// The service whose command it is. Where absent: the one that asks, or the only one that has such a command.
    source: Option<Source>,
    /// Which order of the command's group: its place there, from 0; the first that it placed where absent.
    part: Option<u8>,
    /// As of a time or a position `<shard>-<sequence>`.
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    as_of: Option<AsOf>,
}

impl From<Fields> for Question {
    fn from(Fields { number, user, command, source, part, as_of }: Fields) -> Self {
        Self { which: Which { number, user, command, source, part }, as_of }
    }
}

/// An order by its number, or by user and the id of the command that placed it.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The order's number, such as 3-17.
    #[arg(required_unless_present = "command")]
    pub number: Option<OrderId>,
    /// Whose order it is, where the command names it.
    #[arg(long, requires = "command", conflicts_with = "number")]
    pub user: Option<UserId>,
    /// The command of that user which placed it.
    #[arg(long, requires = "user", value_name = "ID")]
    pub command: Option<CommandId>,
    /// The service whose command it is. Where absent: any, if only one has such a command; for an
    /// action the one that asks.
    #[arg(id = "command_source", long = "command-source", requires = "command", value_name = "SERVICE")]
    pub source: Option<Source>,
    /// Which order of the command's group: its place there, from 0; the first that it placed where absent.
    #[arg(long, requires = "command", value_name = "N")]
    pub part: Option<u8>,
}

/// An order with its records.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OrderStory")]
pub struct Answer {
    pub order: schemas::Order,
    pub user: Option<UserId>,
    /// The clock of the answer.
    pub as_of: Timestamp,
    /// Whether it was not sent by its deadline, so that its coins come back.
    pub past_deadline: bool,
    /// What each recipient of a gift holds of it.
    pub held: Vec<ShareHeld>,
    /// Every record that touched it, in the order of recording.
    pub records: Vec<Record>,
}

/// An order with its records, while they are gathered.
#[derive(Debug)]
struct Story {
    order: schemas::Order,
    user: Option<UserId>,
    /// The services that have such a command.
    sources: BTreeSet<Source>,
    records: Vec<Record>,
}

impl Question {
    /// The same, of a command of that service.
    #[must_use]
    pub fn of(&self, source: &Source) -> Self {
        Self { which: Which { source: Some(source.clone()), ..self.which.clone() }, as_of: self.as_of }
    }

    /// Through the index, where the ledger runs; else in one pass over the log: the placing record comes before all
    /// others.
    ///
    /// # Errors
    /// [`Error::NotFound`] if nothing placed it by then; [`Error::Unasked`] if it is not named, or in two ways.
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        self.which.check()?;
        let as_of = self.as_of.unwrap_or(AsOf::End);
        let mut story: Option<Story> = None;
        let clock = match ledger.engine(self.as_of).filter(|_| self.which.is_placed()) {
            Some(engine) => {
                for record in self.which.records(engine)? {
                    self.hear(&record, &mut story);
                }
                SystemClock.now()
            }
            None => ledger.fold(as_of, |record| {
                self.hear(record, &mut story);
            })?,
        };
        let Some(Story { order, user, sources, records }) = story else { return Err(self.which.not_found(as_of)) };
        if sources.len() > 1 {
            let sources: Vec<&str> = sources.iter().map(Source::as_str).collect();
            let sources = sources.join(", ");
            return Err(Error::Unasked(format!(
                "several services have placed an order by such a command: {sources}; say which one's"
            )));
        }
        let past_deadline = is_past_deadline(&order, clock);
        let held = order.shares().into_iter().collect();
        Ok(Answer { order, user, as_of: clock, past_deadline, held, records })
    }

    fn hear(&self, record: &Record, story: &mut Option<Story>) {
        if let (Some(story), Some(source)) = (story.as_mut(), record.origin.source())
            && record.orders().any(|order| self.which.command.is_some() && self.which.names(record, order.id))
        {
            story.sources.insert(source.clone());
        }
        let is_it = |order: &schemas::Order| match &story {
            Some(story) => story.order.id == order.id,
            None => self.which.names(record, order.id),
        };
        // The first of a group where its id names the order, and its newest state in any later record.
        let mut found = record.orders().filter(is_it);
        let order = if story.is_none() { found.next() } else { found.last() };
        let Some(order) = order else { return };
        let known = story.get_or_insert_with(|| Story {
            order: order.clone(),
            user: record.subject.user().cloned(),
            sources: record.origin.source().cloned().into_iter().collect(),
            records: Vec::new(),
        });
        known.order = order;
        known.records.push(record.clone());
    }
}

impl Which {
    /// Whether it names one order, in one way.
    ///
    /// # Errors
    /// [`Error::Unasked`].
    pub fn check(&self) -> Result<()> {
        match (&self.number, &self.user, &self.command) {
            (Some(_), None, None) if self.part.is_none() && self.source.is_none() => Ok(()),
            (None, Some(_), Some(_)) => Ok(()),
            _ => Err(Self::unnamed()),
        }
    }

    /// Says how an order is named.
    pub fn unnamed() -> Error {
        Error::Unasked("name an order by its `number`, or by `user` and `command`".to_owned())
    }

    /// Whether it says where the placing record is to be found, so that no pass over the log is needed.
    fn is_placed(&self) -> bool {
        self.number.is_some() || self.source.is_some() && self.command.is_some() && self.user.is_some()
    }

    /// The records of the order, the placing one first.
    fn records(&self, engine: &Engine) -> Result<Vec<Record>> {
        let placing = match (&self.number, &self.user, &self.command, &self.source) {
            (Some(number), ..) if number.shard < engine.shards() => {
                engine.reader().find(number.shard, number.sequence)?.map(|(_, record)| record)
            }
            (None, Some(user), Some(command), Some(source)) => {
                let (subject, origin) = (Subject::User(user.clone()), Origin::Caller(source.clone()));
                engine.newest(&Key::Command(subject, origin, command.clone()))?
            }
            _ => None,
        };
        let Some(placing) = placing else { return Ok(Vec::new()) };
        let Some(order) = placing.orders().find(|order| self.names(&placing, order.id)) else { return Ok(Vec::new()) };
        let mut records = engine.records_of(&Key::Order(order.id), usize::MAX)?;
        records.retain(|record| (record.shard, record.sequence) != (placing.shard, placing.sequence));
        records.push(placing);
        records.reverse();
        Ok(records)
    }

    fn names(&self, record: &Record, order: OrderId) -> bool {
        match (&self.number, &self.user, &self.command) {
            (Some(number), ..) => *number == order,
            (None, Some(user), Some(command)) => {
                record.subject == Subject::User(user.clone())
                    && record.id == *command
                    && record.origin.source().is_some_and(|of| self.source.as_ref().is_none_or(|wanted| wanted == of))
                    && order == record.order_id(self.part.unwrap_or(order.part))
            }
            _ => false,
        }
    }

    fn not_found(&self, as_of: AsOf) -> Error {
        let moment = match as_of {
            AsOf::End => String::new(),
            moment => format!(" as of {moment}"),
        };
        Error::NotFound(match (&self.number, &self.user, &self.command) {
            (None, Some(user), Some(command)) => {
                let part = self.part.map(|part| format!("part {part} of ")).unwrap_or_default();
                format!("no {part}command {} of user {user} placed an order{moment}", visible(command.as_str()))
            }
            (number, ..) => {
                let number = number.map(|n| n.to_string()).unwrap_or_default();
                format!("there is no order {number}{moment}: no record has placed one at that place")
            }
        })
    }
}
