//! What the columns of a file of gifts mean: a TOML file of the user's.
//!
//! `docs/mapping.toml` has every key, with what it means and what holds where it is absent.
//!
//! An id is never made from what a row says besides: two rows alike are two gifts if their ids, or their
//! numbers, differ.

mod sections;

use std::path::Path;

use anyhow::{Context, Result, bail};
use encoding_rs::Encoding;
use reconcile::Layout;
use schemas::{ActorId, ChannelId, ItemId};
use serde::{Deserialize, Serialize};

use self::sections::MappingFile;
use super::{amount::AmountMapping, time::TimeMapping};
use crate::toml_text::TomlText;

/// How the rows of a file become commands: all that determines them, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The mapping's file, for messages.
    #[serde(skip)]
    pub name: String,
    /// Where the table is.
    pub file: FileMapping,
    /// The titles of the columns.
    pub columns: Columns,
    /// Which rows count.
    pub only: Vec<Only>,
    /// How times are written.
    pub time: TimeMapping,
    /// What stands between several streamers.
    pub separator: String,
    /// Whose a gift is that names no streamer; malformed where absent.
    pub of_nobody: Option<OfNobody>,
    /// How amounts are written.
    pub amount: AmountMapping,
    /// The gifts.
    pub gift: GiftMapping,
    /// The top-up before each gift, where one is laid.
    pub top_up: Option<TopUpMapping>,
}

/// Whose a gift is that names no streamer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfNobody {
    /// Nobody is paid for it.
    House,
}

/// Where the table of a file is, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileMapping {
    encoding: Option<&'static str>,
    delimiter: char,
    quote: Option<char>,
    skip_lines: u64,
    comment: Option<char>,
    end: Vec<String>,
    trim: String,
}

/// The titles of the columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Columns {
    /// The gift's id; none where rows are numbered.
    pub gift: Option<String>,
    /// When it was given: one column, or several.
    pub time: Vec<String>,
    /// Who paid.
    pub sender: String,
    /// How much.
    pub amount: String,
    /// In which currency.
    pub currency: Option<String>,
    /// In which room.
    pub room: Option<String>,
    /// To whom.
    pub streamers: Option<String>,
    /// For which campaign.
    pub activity: Option<String>,
}

/// A condition that a row must meet to count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Only {
    /// The column that it is about.
    pub column: String,
    /// What must stand there.
    pub any_of: Vec<String>,
    /// What must not stand there.
    pub none_of: Vec<String>,
}

/// The gifts that the rows become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GiftMapping {
    /// The item, sold at 1 coin.
    pub item: ItemId,
    /// What stands before the row's id in the command's.
    pub id_prefix: String,
    /// Who acted.
    pub actor: ActorId,
}

/// The top-ups that are laid before the gifts, because the file has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopUpMapping {
    /// The channel; the transaction is the row's id.
    pub channel: ChannelId,
    /// What stands before the row's id in the command's.
    pub id_prefix: String,
    /// Who acted.
    pub actor: ActorId,
}

/// The longest prefix of an id: half of what an id may have.
const MAX_PREFIX_BYTES: usize = schemas::MAX_ID_BYTES / 2;

impl Mapping {
    /// Reads a mapping's file; `id_prefix` stands in the place of its own.
    pub fn read(path: &Path, id_prefix: Option<&str>) -> Result<Self> {
        Self::of(&TomlText::read(path, "the mapping ")?, &path.display().to_string(), id_prefix)
    }

    /// Reads a mapping from the `text` of `file`.
    #[cfg(test)]
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        Self::of(&TomlText::new(text, format!("the mapping {file}")), file, None)
    }

    fn of(text: &TomlText, name: &str, id_prefix: Option<&str>) -> Result<Self> {
        text.parse::<MappingFile>()?.mapping(name, id_prefix).with_context(|| format!("the mapping {name}"))
    }

    pub(super) fn check_ids(&self, numbered: bool) -> Result<()> {
        let top_up_prefix = self.top_up.as_ref().map(|top_up| ("top_up", &top_up.id_prefix));
        for (section, prefix) in [("gift", &self.gift.id_prefix)].into_iter().chain(top_up_prefix) {
            if prefix.len() > MAX_PREFIX_BYTES {
                bail!("[{section}] id_prefix has {} bytes, more than {MAX_PREFIX_BYTES}", prefix.len());
            }
        }
        if numbered && self.columns.gift.is_some() {
            bail!("[gift] number_rows is for files without ids, and [columns] gift names their column");
        }
        if numbered && self.gift.id_prefix.is_empty() {
            bail!(
                "[gift] id_prefix is missing: the rows are numbered, so it must tell this file's gifts from those of \
                 every other, such as \"2026-11-\"; name it there or with --id-prefix"
            );
        }
        Ok(())
    }
}

impl FileMapping {
    /// The encoding that was named.
    pub fn encoding(&self) -> Option<&'static Encoding> {
        self.encoding.and_then(|name| Encoding::for_label(name.as_bytes()))
    }

    /// Where the table is in a text that was in `encoding`.
    pub fn layout(&self, encoding: &'static Encoding) -> Layout {
        let byte = |c: char| u8::try_from(c).unwrap_or(b',');
        Layout {
            delimiter: byte(self.delimiter),
            quote: self.quote.map(byte),
            skip_lines: self.skip_lines,
            comment: self.comment.map(byte),
            end: self.end.clone(),
            trim: self.trim.clone(),
            encoding: encoding.name().to_owned(),
        }
    }
}

impl Only {
    /// Whether a row counts that has `field` there.
    pub fn holds(&self, field: &str) -> bool {
        let has = |words: &[String]| words.iter().any(|word| word == field);
        (self.any_of.is_empty() || has(&self.any_of)) && !has(&self.none_of)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::amount::Negative, *};

    const SMALLEST: &str = "[columns]\ngift = 'i'\ntime = 't'\nsender = 's'\namount = 'a'\n\
                            [streamers]\nnone = 'house'\n\
                            [amount]\ncurrency = 'JPY'\n[gift]\nitem = 'x'\nactor = 'import'\n";

    #[test]
    fn the_shipped_mapping_reads() {
        let mapping = Mapping::parse(include_str!("../../../../docs/marathon/mapping.toml"), "mapping.toml").unwrap();
        let amount = &mapping.amount;
        assert_eq!((amount.currency.code(), amount.decimals, mapping.separator.as_str()), ("USD", 2, "|"));
        assert_eq!(mapping.columns.activity.as_deref(), Some("campaign"));
        assert_eq!((mapping.gift.item.as_str(), mapping.gift.id_prefix.as_str()), ("donation", "gift-"));
        let top_up = mapping.top_up.unwrap();
        assert_eq!(
            [top_up.channel.as_str(), top_up.id_prefix.as_str(), top_up.actor.as_str()],
            ["overlay", "topup-", "overlay"]
        );
    }

    /// The reference of all keys is one that can be used.
    #[test]
    fn the_reference_of_all_keys_reads() {
        let mapping = Mapping::parse(include_str!("../../../../docs/mapping.toml"), "mapping.toml").unwrap();
        assert_eq!((mapping.only.len(), mapping.columns.time.len(), mapping.time.formats.len()), (2, 2, 2));
        assert_eq!((mapping.amount.negative, mapping.amount.thousands_mark), (Negative::Skip, Some(',')));
        assert_eq!(mapping.file.layout(encoding_rs::UTF_8).skip_lines, 23);
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let mapping = Mapping::parse(SMALLEST, "m.toml").unwrap();
        assert_eq!((mapping.amount.decimals, mapping.separator.as_str(), &*mapping.gift.id_prefix), (0, "|", ""));
        assert_eq!((mapping.columns.room, mapping.columns.streamers, mapping.top_up), (None, None, None));
        assert_eq!(mapping.file.layout(encoding_rs::UTF_8), Layout::default());
        assert_eq!((mapping.amount.decimal_mark, mapping.amount.negative), ('.', Negative::Refuse));
    }

    /// One that is written by somebody who begins is not sent back once for each key.
    #[test]
    fn all_missing_keys_are_named_at_once() {
        for (text, said) in [
            (
                "",
                "the mapping m.toml: it lacks [columns] gift, [columns] time, [columns] sender, [columns] amount, \
                 [columns] streamers (or [streamers] none = \"house\": all of it is the house's), \
                 [amount] currency, [gift] item, [gift] actor",
            ),
            (
                "[gift]\nitem = 'x'\n[top_up]\n[columns]\ngift = 'i'\ntime = 't'\nsender = 's'\n\
                 streamers = 'to'\n[amount]\ncurrency = 'EUR'",
                "the mapping m.toml: it lacks [columns] amount, [gift] actor, [top_up] channel, [top_up] actor",
            ),
        ] {
            let error = Mapping::parse(text, "m.toml").unwrap_err();
            assert_eq!(format!("{error:#}"), said);
        }
    }

    #[test]
    fn a_wrong_mapping_says_which_key() {
        let with = |old: &str, new: &str| {
            assert!(SMALLEST.contains(old), "{old}");
            SMALLEST.replace(old, new)
        };
        let file = |of: &str| format!("[file]\n{of}\n{SMALLEST}");
        let only = |of: &str| format!("{SMALLEST}[[only]]\ncolumn = 'c'\n{of}\n");
        let amount = |of: &str| with("'JPY'", &format!("'JPY'\n{of}"));
        for (text, said) in [
            (with("item = 'x'", "item = 'a b'"), vec!["line 11 (item = 'a b'): ", "' ' in \"a b\": an item id"]),
            (with("[gift]", "[gift]\ncolour = 1"), vec!["(colour = 1): unknown field `colour`", "`item`"]),
            (with("[gift]", "[present]"), vec!["unknown field `present`"]),
            (with("currency = 'JPY'", "currency = 'Yen'"), vec!["(currency = 'Yen')", "is not a currency code"]),
            (amount("decimals = 2"), vec!["[amount] decimals is 2, and JPY has 0"]),
            (amount("decimals = -1"), vec!["decimals = -1", "expected u32"]),
            (amount("thousands_mark = '.'"), vec!["decimal_mark and thousands_mark are both '.'"]),
            (amount("decimal_mark = '0'"), vec!["[amount] '0' is no mark between digits"]),
            (amount("sign = ['¥', '']"), vec!["[amount] sign is what stands beside the digits"]),
            (amount("negative = 'refund'"), vec!["(negative = 'refund')", "`refuse` or `skip`"]),
            (with("none = 'house'", "none = 'house'\nseparator = ''"), vec!["[streamers] separator must not be empty"]),
            (with("none = 'house'", "none = 'somebody'"), vec!["(none = 'somebody')", "`somebody`", "`house`"]),
            (with("[gift]", &format!("[gift]\nid_prefix = '{}'", "x".repeat(101))), vec!["[gift] id_prefix has 101"]),
            (with("[gift]", "[gift]\nnumber_rows = true"), vec!["[gift] number_rows is for files without ids"]),
            (with("[gift]", "[gift]\nnumber_rows = true").replace("gift = 'i'\n", ""), vec!["such as \"2026-11-\""]),
            (with("time = 't'", "time = []"), vec!["[columns] time names no column"]),
            (with("time = 't'", "time = 1"), vec!["(time = 1): ", "a text, or a list of texts"]),
            (format!("{SMALLEST}[time]\nformat = '%Y'"), vec!["[time] zone is missing"]),
            (file("encoding = 'klingon'"), vec!["[file] encoding \"klingon\" is not known"]),
            (file("delimiter = '；'"), vec!["[file] delimiter must be one ASCII character"]),
            (file("delimiter = '\"'"), vec!["delimiter and quote are both"]),
            (file("quote = 'ab'"), vec!["[file] quote must be one character"]),
            (file("end = ''"), vec!["[file] end must not be empty"]),
            (file("skip_lines = -1"), vec!["(skip_lines = -1)"]),
            (only(""), vec!["[[only]] column \"c\" takes one of equals, in and not"]),
            (only("equals = 'a'\nnot = 'b'"), vec!["takes one of equals, in and not"]),
            ("[columns".to_owned(), vec!["line 1", "unclosed table"]),
        ] {
            let error = format!("{:#}", Mapping::parse(&text, "m.toml").unwrap_err());
            for said in said.into_iter().chain(["the mapping m.toml"]) {
                assert!(error.contains(said), "{text}\n{error}\nlacks {said:?}");
            }
        }
        let error = Mapping::read(Path::new("no/such.toml"), None).unwrap_err().to_string();
        assert_eq!(error, "reading the mapping no/such.toml");
    }
}
