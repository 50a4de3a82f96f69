//! The journal for hledger.
//!
//! Commodities are declared before their first use. Accounts are not: hledger looks each one up in the
//! list of the declared ones, which takes `bal` of 50,000 accounts from 11 s to 50 s. The balance of
//! every account is asserted: a hold's where it ends, all others in a last entry of zeros on the day
//! after. A description ends at `;`, behind which hledger would read tags and dates, and is divided
//! at `|`; so these and `%` are written `%3B`, `%7C` and `%25`.

use std::io::{self, Write};

use schemas::Asset;

use super::{
    Entry, OPENING_EVENT, OPENING_ID, Opening,
    names::{OPENING, commodity, push, push_account, push_amount},
    opened::{Effect, Opened},
};

#[derive(Debug)]
pub(super) struct Hledger<W> {
    writer: W,
    opened: Opened,
    /// The text of one entry.
    text: String,
}

impl<W: Write> Hledger<W> {
    pub fn new(mut writer: W) -> io::Result<Self> {
        writer.write_all(b"; Giftledger\ndecimal-mark .\n\n")?;
        Ok(Self { writer, opened: Opened::default(), text: String::new() })
    }

    pub fn open(&mut self, opening: &Opening<'_>) -> io::Result<()> {
        self.opened.open(opening);
        let text = &mut self.text;
        text.clear();
        if self.opened.is_new(opening.asset) {
            push_commodity(text, opening.asset);
        }
        push(text, format_args!("{} * ({OPENING_ID}-{}) {OPENING_EVENT}\n    ", opening.day, opening.number));
        push_account(text, opening.account);
        text.push_str("  ");
        push_amount(text, opening.asset, -opening.balance);
        push(text, format_args!("\n    {OPENING}  "));
        push_amount(text, opening.asset, opening.balance);
        text.push_str("\n\n");
        self.writer.write_all(text.as_bytes())
    }

    pub fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let text = &mut self.text;
        text.clear();
        push(text, format_args!("{} * ({}) {}", entry.day, entry.id, entry.event));
        if !entry.memo.is_empty() {
            text.push(' ');
            push_description(text, &entry.memo);
        }
        text.push('\n');
        let mut before = String::new();
        for posting in &entry.postings {
            text.push_str("    ");
            push_account(text, &posting.account);
            text.push_str("  ");
            push_amount(text, posting.asset, -i128::from(posting.amount));
            if self.opened.is_new(posting.asset) {
                push_commodity(&mut before, posting.asset);
            }
            // Assertions are checked by date, so only where the hold has no posting of a later day.
            if self.opened.post(posting, entry.day) == Effect::Ends(entry.day) {
                text.push_str(" = ");
                push_amount(text, posting.asset, 0);
            }
            text.push('\n');
        }
        text.push('\n');
        self.writer.write_all(before.as_bytes())?;
        self.writer.write_all(text.as_bytes())
    }

    pub fn finish(mut self) -> io::Result<W> {
        let Some((day, lines)) = self.opened.closing() else { return Ok(self.writer) };
        writeln!(self.writer, "{day} * balances")?;
        for (account, asset, balance) in lines {
            let text = &mut self.text;
            text.clear();
            text.push_str("    ");
            push_account(text, account);
            text.push_str("  ");
            push_amount(text, asset, 0);
            text.push_str(" = ");
            push_amount(text, asset, -balance);
            text.push('\n');
            self.writer.write_all(text.as_bytes())?;
        }
        for (asset, balance) in self.opened.against() {
            let text = &mut self.text;
            text.clear();
            push(text, format_args!("    {OPENING}  "));
            push_amount(text, asset, 0);
            text.push_str(" = ");
            push_amount(text, asset, -balance);
            text.push('\n');
            self.writer.write_all(text.as_bytes())?;
        }
        Ok(self.writer)
    }
}

fn push_commodity(text: &mut String, asset: Asset) {
    let decimals = "0".repeat(usize::try_from(asset.scale()).unwrap_or(0));
    push(text, format_args!("commodity 1000.{decimals} {}\n", commodity(asset)));
}

fn push_description(text: &mut String, memo: &str) {
    for c in memo.chars() {
        match c {
            ';' => text.push_str("%3B"),
            '|' => text.push_str("%7C"),
            '%' => text.push_str("%25"),
            _ => text.push(c),
        }
    }
}
