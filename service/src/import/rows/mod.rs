//! Reads a file of gifts row by row in constant memory, and makes the commands of each row.
//!
//! A [`Position`] says how far the rows were taken, with a hash over everything up to there: header
//! and rows, each field with its length before it, chained as [`schemas::Chain`] chains records. It
//! does not depend on compression, encoding or line ends. Whoever resumes gives it back, and a file that is
//! another one up to there is refused.

use std::path::Path;

use anyhow::{Context, Result, bail};
use reconcile::{Line, Table};
use schemas::{
    ActivityId, ActorId, Chain, Coins, Command, CommandId, Envelope, Gift, Hash, Money, OriginKind, Recipient, RoomId,
    StreamerId, Timestamp, TopUp, TransactionId, UserId,
};
use serde::{Deserialize, Serialize};

use super::{
    amount::{Amount, Negative},
    mapping::{Mapping, OfNobody},
    source::{self, Progress, Source, open_source},
};

/// What a row of the file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A gift.
    Gift(Box<Row>),
    /// One that the mapping leaves out.
    LeftOut {
        /// The line on which it begins.
        line: u64,
    },
    /// Nothing that could become a command.
    Malformed {
        /// The line on which it begins.
        line: u64,
        /// Where and what is wrong.
        why: String,
    },
}

/// What one row became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line on which it begins.
    pub line: u64,
    /// The top-up that is to be taken first, where the mapping lays one.
    pub top_up: Option<Envelope>,
    /// The gift.
    pub gift: Envelope,
    /// What it comes to.
    pub coins: Coins,
}

/// How far a file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The line of the last row that was read; 1 or above once the header was.
    pub line: u64,
    /// How many rows were read.
    pub rows: u64,
    /// The hash over header and rows.
    pub hash: Hash,
}

/// The rows of a file.
pub struct Rows {
    file: String,
    table: Table<Source>,
    mapping: Mapping,
    places: Places,
    progress: Progress,
    chain: Chain,
    read: u64,
    bytes: Vec<u8>,
}

/// Where the mapped columns are.
struct Places {
    gift: Option<usize>,
    time: Vec<usize>,
    sender: usize,
    amount: usize,
    currency: Option<usize>,
    room: Option<usize>,
    streamers: Option<usize>,
    activity: Option<usize>,
    only: Vec<usize>,
}

impl Rows {
    /// Opens `path`, reads its header and finds the mapped columns.
    pub fn open(path: &Path, mapping: &Mapping) -> Result<Self> {
        let (source, progress) = open_source(path)?;
        let mut rows = Self::of_source(source, &path.display().to_string(), mapping)?;
        rows.progress = progress;
        Ok(rows)
    }

    /// The rows of `source`, called `file` in messages.
    pub fn of_source(source: Source, file: &str, mapping: &Mapping) -> Result<Self> {
        let (source, encoding) =
            source::decoded(source, mapping.file.encoding()).with_context(|| format!("reading {file}"))?;
        let table = Table::open_with(source, file, mapping.file.layout(encoding))?;
        let mut rows = Self {
            file: file.to_owned(),
            places: Places::of(&table, file, mapping)?,
            table,
            mapping: mapping.clone(),
            progress: Progress::default(),
            chain: Chain::new(),
            read: 0,
            bytes: Vec::new(),
        };
        put_fields(&mut rows.bytes, rows.table.header().iter().map(String::as_str));
        rows.chain.push(&rows.bytes, 1);
        Ok(rows)
    }

    /// The file as messages name it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The next row; nothing at the end of the file.
    ///
    /// # Errors
    /// If the file cannot be read on; nothing comes behind that.
    pub fn next_row(&mut self) -> Result<Option<Found>> {
        let line = match self.table.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(None),
            Err(error @ (reconcile::Error::Fields { line, .. } | reconcile::Error::Value { line, .. })) => {
                self.read += 1;
                return Ok(Some(Found::Malformed { line, why: error.to_string() }));
            }
            Err(unreadable) => return Err(unreadable.into()),
        };
        self.bytes.clear();
        put_fields(&mut self.bytes, line.fields());
        self.chain.push(&self.bytes, 1);
        self.read += 1;
        let found = found(&line, self.read, &self.places, &self.mapping);
        let malformed = |why: anyhow::Error| Found::Malformed { line: line.number, why: why.to_string() };
        Ok(Some(found.unwrap_or_else(malformed)))
    }

    /// Passes over the rows that an earlier run has read, to `position`, without making commands.
    ///
    /// # Errors
    /// If this file is another one up to there, or ends before.
    pub fn resume(&mut self, position: &Position) -> Result<()> {
        while self.read < position.rows {
            let Some(line) = self.table.next_line()? else {
                bail!(
                    "{} has {} rows, and {} of it were read before: it is not the same file any more",
                    self.file,
                    self.read,
                    position.rows
                );
            };
            self.bytes.clear();
            put_fields(&mut self.bytes, line.fields());
            self.chain.push(&self.bytes, 1);
            self.read += 1;
        }
        if self.reached().hash != position.hash {
            bail!(
                "the first {} rows of {} are not those that were read before: it is another file, or was changed",
                position.rows,
                self.file
            );
        }
        Ok(())
    }

    /// How far the rows were read. Good for a resume as long as every row up to there was one.
    pub fn reached(&self) -> Position {
        Position { line: self.table.line(), rows: self.read, hash: self.chain.hash() }
    }

    /// For a progress bar.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Iterator for Rows {
    type Item = Result<Found>;

    fn next(&mut self) -> Option<Result<Found>> {
        self.next_row().transpose()
    }
}

impl Places {
    /// Finds the mapped columns, or says all that are not there.
    fn of(table: &Table<Source>, file: &str, mapping: &Mapping) -> Result<Self> {
        let (mut wrong, mut columns) = (Vec::new(), String::new());
        let mut place = |key: &str, title: &str| {
            let found = table.column(title);
            if let Err(reconcile::Error::Column { found, columns: has, .. }) = &found {
                wrong.push(format!("{found} named {title:?} ({key})"));
                columns.clone_from(has);
            }
            found.unwrap_or_default()
        };
        let of = &mapping.columns;
        let mut optional = |key: &str, title: &Option<String>| title.as_ref().map(|title| place(key, title));
        let gift = optional("[columns] gift", &of.gift);
        let currency = optional("[columns] currency", &of.currency);
        let room = optional("[columns] room", &of.room);
        let streamers = optional("[columns] streamers", &of.streamers);
        let activity = optional("[columns] activity", &of.activity);
        let time = of.time.iter().map(|title| place("[columns] time", title)).collect();
        let sender = place("[columns] sender", &of.sender);
        let amount = place("[columns] amount", &of.amount);
        let only = mapping.only.iter().map(|only| place("[[only]] column", &only.column)).collect();
        if !wrong.is_empty() {
            bail!(
                "the mapping {} does not fit: {file} has {}; its columns are {columns}",
                mapping.name,
                wrong.join(", ")
            );
        }
        Ok(Self { gift, time, sender, amount, currency, room, streamers, activity, only })
    }
}

fn found(line: &Line<'_>, number: u64, places: &Places, mapping: &Mapping) -> Result<Found> {
    let mut conditions = mapping.only.iter().zip(&places.only);
    if !conditions.all(|(only, &place)| only.holds(line.field(place))) {
        return Ok(Found::LeftOut { line: line.number });
    }
    if let Some(place) = places.currency
        && line.field(place) != mapping.amount.currency.code()
    {
        let why = format!("the amounts are in {}, says the mapping: [amount] currency", mapping.amount.currency);
        return Err(line.wrong(place, why).into());
    }
    let amount = mapping.amount.read(line.field(places.amount)).map_err(|why| line.wrong(places.amount, why))?;
    match (amount, mapping.amount.negative) {
        (Amount::Coins(coins), _) => Ok(Found::Gift(Box::new(row(line, number, coins, places, mapping)?))),
        (Amount::Negative, Negative::Skip) => Ok(Found::LeftOut { line: line.number }),
        (Amount::Negative, Negative::Refuse) => {
            let why =
                "an amount must not be negative; [amount] negative = \"skip\" in the mapping leaves such rows out";
            Err(line.wrong(places.amount, why).into())
        }
    }
}

fn row(line: &Line<'_>, number: u64, coins: Coins, places: &Places, mapping: &Mapping) -> Result<Row> {
    let id = Id::of(line, number, places, mapping)?;
    let time = time(line, places, mapping)?;
    let user: UserId = read(line, places.sender)?;
    if coins.is_zero() {
        return Err(line.wrong(places.amount, "a gift of nothing is no gift; leave the row out").into());
    }
    let gift = Command::Gift(Gift {
        user: user.clone(),
        item: mapping.gift.item.clone(),
        quantity: coins.get(),
        to: recipients(line, places, mapping)?.into_iter().collect(),
        room: read_optional::<RoomId>(line, places.room)?,
        combo: None,
        activity: read_optional::<ActivityId>(line, places.activity)?,
        expected_price: Some(Coins::new(1)?), // another price would make other coins of the amount
    });
    let envelope = |id: CommandId, actor: &ActorId, command: Command| -> Result<Envelope> {
        command
            .check(OriginKind::Caller)
            .map_err(|why| anyhow::anyhow!("{}, line {}: {why}", line.file(), line.number))?;
        Ok(Envelope { id, occurred_at: Some(time), actor: Some(actor.clone()), client: None, command })
    };
    let gift = envelope(id.gift()?, &mapping.gift.actor, gift)?;
    let Some(laid) = &mapping.top_up else { return Ok(Row { line: line.number, top_up: None, gift, coins }) };
    let top_up = Command::TopUp(TopUp {
        user,
        channel: laid.channel.clone(),
        transaction: id.transaction()?,
        coins,
        paid: paid(coins, mapping).map_err(|e| line.wrong(places.amount, e.to_string()))?,
    });
    let top_up = Some(envelope(id.with_prefix(&laid.id_prefix)?, &laid.actor, top_up)?);
    Ok(Row { line: line.number, top_up, gift, coins })
}

/// What a row is called: by its id in the file, or by its number.
enum Id<'a> {
    Named { line: &'a Line<'a>, place: usize, prefix: &'a str },
    Numbered(String),
}

impl<'a> Id<'a> {
    fn of(line: &'a Line<'_>, number: u64, places: &Places, mapping: &'a Mapping) -> Result<Self> {
        let prefix = mapping.gift.id_prefix.as_str();
        let Some(place) = places.gift else { return Ok(Self::Numbered(format!("{prefix}{number}"))) };
        if line.field(place).is_empty() {
            return Err(line.wrong(place, "a gift's id must not be empty").into());
        }
        Ok(Self::Named { line, place, prefix })
    }

    fn gift(&self) -> Result<CommandId> {
        match self {
            Self::Named { prefix, .. } => self.with_prefix(prefix),
            Self::Numbered(_) => self.with_prefix(""),
        }
    }

    fn with_prefix(&self, prefix: &str) -> Result<CommandId> {
        match self {
            Self::Named { line, place, .. } => {
                let id = CommandId::new(&format!("{prefix}{}", line.field(*place)));
                id.map_err(|e| line.wrong(*place, e.to_string()).into())
            }
            Self::Numbered(id) => Ok(CommandId::new(&format!("{prefix}{id}"))?),
        }
    }

    fn transaction(&self) -> Result<TransactionId> {
        match self {
            Self::Named { line, place, .. } => read(line, *place),
            Self::Numbered(id) => Ok(id.parse()?),
        }
    }
}

fn time(line: &Line<'_>, places: &Places, mapping: &Mapping) -> Result<Timestamp> {
    let fields: Vec<&str> = places.time.iter().map(|&place| line.field(place)).collect();
    mapping.time.read(&fields.join(" ")).map_err(|why| line.wrong(places.time[0], why).into())
}

/// Coins are the amount at the mapping's decimals, money is it at the currency's.
fn paid(coins: Coins, mapping: &Mapping) -> Result<Money> {
    let currency = mapping.amount.currency;
    let factor = 10_i64.checked_pow(currency.scale() - mapping.amount.decimals);
    let minor = factor.and_then(|factor| i64::try_from(coins.get()).ok()?.checked_mul(factor));
    Ok(Money::from_minor(currency, minor.context("beyond what an amount of money can be")?))
}

/// The streamers of a row; one that is named twice has twice the weight.
fn recipients(line: &Line<'_>, places: &Places, mapping: &Mapping) -> Result<Vec<Recipient>> {
    let mut recipients: Vec<Recipient> = Vec::new();
    let Some((place, list)) = places.streamers.map(|place| (place, line.field(place))).filter(|(_, l)| !l.is_empty())
    else {
        return match (mapping.of_nobody, places.streamers) {
            (None, Some(place)) => {
                let why = "no streamer is named; if such a gift is the house's, say so in the mapping: \
                           [streamers] none = \"house\"";
                Err(line.wrong(place, why).into())
            }
            // Without a column of streamers the mapping says whose the gifts are.
            (None, None) | (Some(OfNobody::House), _) => Ok(recipients),
        };
    };
    for streamer in list.split(&mapping.separator) {
        let streamer = StreamerId::new(streamer.trim()).map_err(|e| line.wrong(place, e.to_string()))?;
        match recipients.iter_mut().find(|recipient| recipient.streamer == streamer) {
            Some(recipient) => recipient.weight += 1,
            None => recipients.push(Recipient { streamer, weight: 1 }),
        }
    }
    Ok(recipients)
}

fn read<T: std::str::FromStr<Err: std::fmt::Display>>(line: &Line<'_>, place: usize) -> Result<T> {
    line.field(place).parse().map_err(|e: T::Err| line.wrong(place, e.to_string()).into())
}

/// An empty field is none.
fn read_optional<T: std::str::FromStr<Err: std::fmt::Display>>(
    line: &Line<'_>,
    place: Option<usize>,
) -> Result<Option<T>> {
    place.filter(|&place| !line.field(place).is_empty()).map(|place| read(line, place)).transpose()
}

fn put_fields<'a>(bytes: &mut Vec<u8>, fields: impl Iterator<Item = &'a str>) {
    for field in fields {
        bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
        bytes.extend_from_slice(field.as_bytes());
    }
}

#[cfg(test)]
mod tests;
