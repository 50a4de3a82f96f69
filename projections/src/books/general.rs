//! The general journal as CSV: a row per posting, minus in the debit column, plus in the credit
//! column, accounts by the ledger's own names.
//!
//! A memo is made of ids that others chose, and a spreadsheet takes a cell that starts with `=`,
//! `+`, `-` or `@` for a formula; so such a memo gets an apostrophe in front.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use super::{
    Entry, OPENING_EVENT, OPENING_ID, Opening,
    names::{OPENING_IN_LEDGER, commodity},
};

const HEADER: [&str; 8] = ["date", "entry_id", "account", "debit", "credit", "currency", "memo", "source_event"];

#[derive(Debug)]
pub(super) struct General<W: Write> {
    csv: csv::Writer<W>,
}

impl<W: Write> General<W> {
    pub fn new(writer: W) -> io::Result<Self> {
        let mut csv = csv::Writer::from_writer(writer);
        csv.write_record(HEADER)?;
        Ok(Self { csv })
    }

    pub fn open(&mut self, opening: &Opening<'_>) -> io::Result<()> {
        let (day, id) = (opening.day.to_string(), format!("{OPENING_ID}-{}", opening.number));
        let (account, currency) = (opening.account.to_string(), commodity(opening.asset));
        let amount = opening.asset.show(i128::try_from(opening.balance.unsigned_abs()).unwrap_or(i128::MAX));
        let (debit, credit) = if opening.balance < 0 { (&amount[..], "") } else { ("", &amount[..]) };
        self.csv.write_record([&day, &id, &account, debit, credit, currency, "", OPENING_EVENT])?;
        self.csv.write_record([&day, &id, OPENING_IN_LEDGER, credit, debit, currency, "", OPENING_EVENT])?;
        Ok(())
    }

    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let (day, id) = (entry.day.to_string(), entry.id.to_string());
        let memo = cell(&entry.memo);
        for posting in &entry.postings {
            let account = posting.account.to_string();
            let amount = posting.asset.show(i128::from(posting.amount).abs());
            let (debit, credit) = if posting.amount < 0 { (&amount[..], "") } else { ("", &amount[..]) };
            let currency = commodity(posting.asset);
            self.csv.write_record([&day, &id, &account, debit, credit, currency, &memo, entry.event])?;
        }
        Ok(())
    }

    pub fn finish(self) -> io::Result<W> {
        self.csv.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// Text of others as a cell that is no formula.
fn cell(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        for (text, expected) in
            [("=1+1", "'=1+1"), ("+1", "'+1"), ("-x", "'-x"), ("@x", "'@x"), ("a=b", "a=b"), ("", "")]
        {
            assert_eq!(cell(text), expected);
        }
    }
}
