//! The journal for finance: every record that moves something, as entries of double-entry books.
//!
//! The ledger's plus is what is owed to an account's holder, a credit; so beancount and hledger,
//! where credits are negative, show each amount the other way round. An entry is one event; its id
//! is `<shard>-<sequence>` of the record, `.n` behind it for the later events of an atomic group.
//! Its date is the day on which it happened, in the zone of the books; entries come in the order in
//! which records are given, not sorted by date.
//!
//! Books of a year begin with opening balances: what each account held by all that happened before, as an
//! entry against `Equity:Opening-Balances`. They are dated the day before the year begins, so balances are
//! those of the ledger, and a report of the year shows the year's income and nothing older. All accounts
//! are opened, and together they hold nothing, so nothing stays on the account that they stand against.
//!
//! Written as a stream: what is kept is one balance per account, without holds that have ended.
//! beancount and hledger get a balance assertion for every account, so that they derive each
//! balance themselves and compare.

mod beancount;
mod general;
mod hledger;
mod names;
mod opened;

use std::{fmt, io::Write, str::FromStr};

use chrono::NaiveDate;
use chrono_tz::Tz;
use ledger::postings_of;
use schemas::{Asset, Event, OrderId, Posting, Record, Subject, write_json};
use smallvec::SmallVec;

use crate::{Accounts, Result};
use beancount::Beancount;
use general::General;
use hledger::Hledger;

/// A form of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// For beancount 2 and 3: `bean-check`, fava.
    Beancount,
    /// For hledger, and near enough for ledger-cli.
    Hledger,
    /// A general journal, a row per posting: `date,entry_id,account,debit,credit,currency,memo,source_event`.
    Csv,
    /// Every record as it is, in JSON, one a line.
    Ndjson,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Beancount, Self::Hledger, Self::Csv, Self::Ndjson];

    const fn name(self) -> &'static str {
        match self {
            Self::Beancount => "beancount",
            Self::Hledger => "hledger",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| format!("{text:?} is not a form of the journal: beancount, hledger, csv or ndjson"))
    }
}

/// Writes the journal, record by record. Give it a buffered writer, and end with [`Books::finish`].
#[derive(Debug)]
pub struct Books<W: Write> {
    zone: Tz,
    form: Form<W>,
}

#[derive(Debug)]
enum Form<W: Write> {
    Beancount(Beancount<W>),
    Hledger(Hledger<W>),
    Csv(Box<General<W>>),
    Ndjson(W),
}

/// What an account held when the books were opened.
struct Opening<'a> {
    day: NaiveDate,
    /// From 1, in the order of the accounts.
    number: usize,
    account: &'a schemas::Account,
    /// Whether the account is named for the first time, and not for another asset.
    names_account: bool,
    asset: Asset,
    /// With the ledger's sign.
    balance: i128,
}

/// The event that an opening balance is called.
const OPENING_EVENT: &str = "opening_balance";
/// The beginning of its entry's id.
const OPENING_ID: &str = "opening";

/// What one event moved.
struct Entry {
    day: NaiveDate,
    id: OrderId,
    event: &'static str,
    /// Ids that others chose; may hold any visible ASCII.
    memo: String,
    postings: SmallVec<[Posting; 4]>,
}

impl<W: Write> Books<W> {
    /// Begins a journal whose days are those of `zone`.
    ///
    /// # Errors
    /// If `writer` does not take its head.
    pub fn new(writer: W, format: Format, zone: Tz) -> Result<Self> {
        let form = match format {
            Format::Beancount => Form::Beancount(Beancount::new(writer)?),
            Format::Hledger => Form::Hledger(Hledger::new(writer)?),
            Format::Csv => Form::Csv(Box::new(General::new(writer)?)),
            Format::Ndjson => Form::Ndjson(writer),
        };
        Ok(Self { zone, form })
    }

    /// Opens the books on the day before `first_day` with what accounts held by then. Comes before the
    /// first record; as NDJSON, which has no balances, nothing is written.
    ///
    /// # Errors
    /// If the writer does not take it.
    pub fn open(&mut self, first_day: NaiveDate, held: &Accounts) -> Result<()> {
        let day = first_day.pred_opt().unwrap_or(first_day);
        let mut before = None;
        for (number, (account, asset, balance)) in (1..).zip(held.iter().filter(|(_, _, balance)| *balance != 0)) {
            let names_account = before.as_ref() != Some(&account);
            let opening = Opening { day, number, account: &account, names_account, asset, balance };
            match &mut self.form {
                Form::Beancount(beancount) => beancount.open(&opening)?,
                Form::Hledger(hledger) => hledger.open(&opening)?,
                Form::Csv(general) => general.open(&opening)?,
                Form::Ndjson(_) => {}
            }
            before = Some(account);
        }
        Ok(())
    }

    /// Writes the entries of a record; as NDJSON the record itself, refusals included.
    ///
    /// # Errors
    /// If the writer does not take them.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        if let Form::Ndjson(writer) = &mut self.form {
            write_json(writer, record)?;
            return Ok(writer.write_all(b"\n")?);
        }
        for (part, event) in record.events() {
            let postings = postings_of(record, part, event);
            if postings.is_empty() {
                continue;
            }
            let entry = Entry {
                day: record.happened_at().day_in(self.zone),
                id: record.order_id(part),
                event: event.kind(),
                memo: memo(&record.subject, event),
                postings,
            };
            match &mut self.form {
                Form::Beancount(beancount) => beancount.write(&entry)?,
                Form::Hledger(hledger) => hledger.write(&entry)?,
                Form::Csv(general) => general.write(&entry)?,
                Form::Ndjson(_) => {}
            }
        }
        Ok(())
    }

    /// Ends the journal with the balance of every account, where the form has a place for it, and
    /// gives the flushed writer back.
    ///
    /// # Errors
    /// If the writer does not take it.
    pub fn finish(self) -> Result<W> {
        let mut writer = match self.form {
            Form::Beancount(beancount) => beancount.finish()?,
            Form::Hledger(hledger) => hledger.finish()?,
            Form::Csv(general) => general.finish()?,
            Form::Ndjson(writer) => writer,
        };
        writer.flush()?;
        Ok(writer)
    }
}

/// What an entry is about, in ids.
fn memo(subject: &Subject, event: &Event) -> String {
    match event {
        Event::TopUpClaimed(_) | Event::ChargebackClaimed(_) | Event::TopUpReversed(_) | Event::ReinstateClaimed(_) => {
            match subject {
                Subject::Transaction { channel, transaction } => format!("{channel}/{transaction}"),
                other => other.to_string(),
            }
        }
        Event::TopUpCredited(e) => format!("{}/{}", e.channel, e.transaction),
        Event::ChargedBack(e) => format!("{}/{}", e.channel, e.transaction),
        Event::Reinstated(e) => format!("{}/{}", e.channel, e.transaction),
        Event::Granted(e) => e.reason.to_string(),
        Event::LotExpired(e) => format!("lot {}", e.lot.id),
        Event::GiftGiven(e) => e.item.to_string(),
        Event::Held(e) => e.provider.to_string(),
        Event::Captured(e) => format!("order {}", e.order),
        Event::Released(e) => format!("{} order {}", e.reason, e.order),
        Event::Refunded(e) => format!("{} order {}", e.reason, e.order),
        Event::RefundRolledBack(e) => format!("{} order {}", e.reason, e.order),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
