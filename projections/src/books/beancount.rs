//! The journal for beancount.
//!
//! Accounts open when they are first used, dated before any entry can be, since entries are not
//! sorted. Every account gets a balance assertion: holds when they end, all others on the day after
//! the last entry. All or none: `bean-check` compares each account without one with every account
//! that has one, which takes minutes at tens of thousands. `~ 0` asks for the exact balance; left
//! out, beancount forgives a cent.

use std::io::{self, Write};

use schemas::Account;

use super::{
    Entry, OPENING_EVENT, OPENING_ID, Opening,
    names::{OPENING, commodity, push, push_account, push_amount},
    opened::{Effect, Opened, day_after},
};

/// Before the first instant that a record can name, in 1677.
const OPEN_DAY: &str = "1600-01-01";

#[derive(Debug)]
pub(super) struct Beancount<W> {
    writer: W,
    opened: Opened,
    /// The text of one entry.
    text: String,
}

impl<W: Write> Beancount<W> {
    pub fn new(mut writer: W) -> io::Result<Self> {
        writer.write_all(b"option \"title\" \"Giftledger\"\n\n")?;
        Ok(Self { writer, opened: Opened::default(), text: String::new() })
    }

    pub fn open(&mut self, opening: &Opening<'_>) -> io::Result<()> {
        let text = &mut self.text;
        text.clear();
        if self.opened.open(opening) {
            push(text, format_args!("{OPEN_DAY} open {OPENING}\n"));
        }
        if opening.names_account {
            push(text, format_args!("{OPEN_DAY} open "));
            push_account(text, opening.account);
            text.push('\n');
        }
        push(text, format_args!("{} * \"{OPENING_EVENT}\" ^{OPENING_ID}-{}\n  ", opening.day, opening.number));
        push_account(text, opening.account);
        text.push_str("  ");
        push_amount(text, opening.asset, -opening.balance);
        push(text, format_args!("\n  {OPENING}  "));
        push_amount(text, opening.asset, opening.balance);
        text.push_str("\n\n");
        self.writer.write_all(text.as_bytes())
    }

    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let text = &mut self.text;
        text.clear();
        push(text, format_args!("{} * \"{}", entry.day, entry.event));
        if !entry.memo.is_empty() {
            text.push(' ');
            push_quoted(text, &entry.memo);
        }
        push(text, format_args!("\" ^{}\n", entry.id));
        let mut around = String::new();
        for posting in &entry.postings {
            text.push_str("  ");
            push_account(text, &posting.account);
            text.push_str("  ");
            push_amount(text, posting.asset, -i128::from(posting.amount));
            text.push('\n');
            match self.opened.post(posting, entry.day) {
                Effect::Moves => {}
                Effect::Opens => {
                    push(&mut around, format_args!("{OPEN_DAY} open "));
                    push_account(&mut around, &posting.account);
                    around.push('\n');
                }
                Effect::Ends(last) => {
                    push_balance(&mut around, day_after(last), &posting.account, posting.asset, 0);
                }
            }
        }
        text.push('\n');
        self.writer.write_all(around.as_bytes())?; // directives are sorted by date, wherever they stand
        self.writer.write_all(text.as_bytes())
    }

    pub fn finish(mut self) -> io::Result<W> {
        if let Some((day, lines)) = self.opened.closing() {
            for (account, asset, balance) in lines {
                self.text.clear();
                push_balance(&mut self.text, day, account, asset, -balance);
                self.writer.write_all(self.text.as_bytes())?;
            }
            for (asset, balance) in self.opened.against() {
                let (number, commodity) = (asset.show(-balance), commodity(asset));
                writeln!(self.writer, "{day} balance {OPENING}  {number} ~ 0 {commodity}")?;
            }
        }
        Ok(self.writer)
    }
}

fn push_balance(text: &mut String, day: chrono::NaiveDate, account: &Account, asset: schemas::Asset, amount: i128) {
    push(text, format_args!("{day} balance "));
    push_account(text, account);
    let number = asset.show(amount);
    push(text, format_args!("  {number} ~ 0 {}\n", commodity(asset)));
}

/// Appends text for inside a string: behind a backslash what would end it.
fn push_quoted(text: &mut String, inner: &str) {
    for c in inner.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
}
