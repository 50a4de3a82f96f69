//! The mapping's file as it is written: each section, and what it means.

use anyhow::{Context, Result, bail};
use encoding_rs::Encoding;
use reconcile::Layout;
use schemas::{ActorId, ChannelId, Currency, ItemId};
use serde::Deserialize;

use super::{Columns, FileMapping, GiftMapping, Mapping, OfNobody, Only, TopUpMapping};
use crate::import::{
    amount::{AmountMapping, Negative},
    time::TimeMapping,
};

const DEFAULT_SEPARATOR: &str = "|";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MappingFile {
    #[serde(default)]
    file: FileSection,
    #[serde(default)]
    columns: ColumnsSection,
    #[serde(default)]
    only: Vec<OnlySection>,
    #[serde(default)]
    time: TimeSection,
    #[serde(default)]
    streamers: StreamersSection,
    #[serde(default)]
    amount: AmountSection,
    #[serde(default)]
    gift: GiftSection,
    top_up: Option<TopUpSection>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSection {
    encoding: Option<String>,
    delimiter: Option<char>,
    quote: Option<String>,
    #[serde(default)]
    skip_lines: u64,
    comment: Option<char>,
    #[serde(default)]
    end: OneOrMany,
    trim: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnsSection {
    gift: Option<String>,
    time: Option<OneOrMany>,
    sender: Option<String>,
    amount: Option<String>,
    currency: Option<String>,
    room: Option<String>,
    streamers: Option<String>,
    activity: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlySection {
    column: String,
    equals: Option<String>,
    #[serde(default)]
    r#in: Vec<String>,
    #[serde(default)]
    not: OneOrMany,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimeSection {
    #[serde(default)]
    format: OneOrMany,
    zone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamersSection {
    separator: Option<String>,
    none: Option<OfNobody>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AmountSection {
    currency: Option<Currency>,
    decimals: Option<u32>,
    decimal_mark: Option<char>,
    thousands_mark: Option<char>,
    #[serde(default)]
    sign: OneOrMany,
    #[serde(default)]
    negative: Negative,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GiftSection {
    item: Option<ItemId>,
    #[serde(default)]
    id_prefix: String,
    #[serde(default)]
    number_rows: bool,
    actor: Option<ActorId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopUpSection {
    channel: Option<ChannelId>,
    #[serde(default)]
    id_prefix: String,
    actor: Option<ActorId>,
}

/// A word, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, or a list of texts")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl From<OneOrMany> for Vec<String> {
    fn from(words: OneOrMany) -> Self {
        match words {
            OneOrMany::One(word) => vec![word],
            OneOrMany::Many(words) => words,
        }
    }
}

/// The required keys that a mapping has not.
#[derive(Default)]
struct Missing(Vec<&'static str>);

impl Missing {
    /// A required value, where it is there; a stand-in that nobody sees, where it is not.
    fn unless<T>(&mut self, key: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.0.push(key);
        }
        value
    }
}

impl MappingFile {
    /// What it says, in the file `name`; `id_prefix` stands in the place of its own.
    pub(super) fn mapping(self, name: &str, id_prefix: Option<&str>) -> Result<Mapping> {
        let MappingFile { file, columns, only, time, streamers, amount, gift, top_up } = self;
        let mut missing = Missing::default();
        let numbered = gift.number_rows;
        let id = if numbered { columns.gift } else { missing.unless("[columns] gift", columns.gift) };
        let times = missing.unless("[columns] time", columns.time);
        let sender = missing.unless("[columns] sender", columns.sender);
        let amounts = missing.unless("[columns] amount", columns.amount);
        if columns.streamers.is_none() && streamers.none.is_none() {
            missing.0.push("[columns] streamers (or [streamers] none = \"house\": all of it is the house's)");
        }
        let currency = missing.unless("[amount] currency", amount.currency);
        let item = missing.unless("[gift] item", gift.item);
        let actor = missing.unless("[gift] actor", gift.actor);
        let top_up = top_up.map(|top_up| {
            let channel = missing.unless("[top_up] channel", top_up.channel);
            let actor = missing.unless("[top_up] actor", top_up.actor);
            let id_prefix = top_up.id_prefix;
            Some(TopUpMapping { channel: channel?, id_prefix, actor: actor? })
        });
        let (Some(time_columns), Some(sender), Some(amounts), Some(currency), Some(item), Some(actor), true) =
            (times, sender, amounts, currency, item, actor, missing.0.is_empty())
        else {
            bail!("it lacks {}", missing.0.join(", "));
        };
        let columns = Columns {
            gift: id,
            time: time_columns.into(),
            sender,
            amount: amounts,
            currency: columns.currency,
            room: columns.room,
            streamers: columns.streamers,
            activity: columns.activity,
        };
        let separator = streamers.separator.unwrap_or_else(|| DEFAULT_SEPARATOR.to_owned());
        if separator.is_empty() {
            bail!("[streamers] separator must not be empty");
        }
        if columns.time.is_empty() {
            bail!("[columns] time names no column");
        }
        let id_prefix = id_prefix.map_or(gift.id_prefix, str::to_owned);
        let gift = GiftMapping { item, id_prefix, actor };
        let mapping = Mapping {
            name: name.to_owned(),
            file: file.mapping()?,
            columns,
            only: only.into_iter().map(OnlySection::only).collect::<Result<_>>()?,
            time: TimeMapping::new(time.format.into(), time.zone.as_deref())?,
            separator,
            of_nobody: streamers.none,
            amount: amount_mapping(amount.decimals, currency, amount)?,
            gift,
            top_up: top_up.flatten(),
        };
        mapping.check_ids(numbered)?;
        Ok(mapping)
    }
}

fn amount_mapping(decimals: Option<u32>, currency: Currency, amount: AmountSection) -> Result<AmountMapping> {
    let scale = currency.scale();
    let decimals = decimals.unwrap_or(scale);
    if decimals > scale {
        bail!("[amount] decimals is {decimals}, and {currency} has {scale}");
    }
    let (decimal_mark, thousands_mark) = (amount.decimal_mark.unwrap_or('.'), amount.thousands_mark);
    if thousands_mark == Some(decimal_mark) {
        bail!("[amount] decimal_mark and thousands_mark are both {decimal_mark:?}; name the decimal_mark");
    }
    let is_mark = |c: char| !c.is_alphanumeric() && !['-', '+'].contains(&c);
    if let Some(wrong) = [Some(decimal_mark), thousands_mark].into_iter().flatten().find(|&c| !is_mark(c)) {
        bail!("[amount] {wrong:?} is no mark between digits");
    }
    let signs: Vec<String> = amount.sign.into();
    if signs.iter().any(|sign| sign.trim() != sign || sign.is_empty() || sign.contains(|c: char| c.is_ascii_digit())) {
        bail!("[amount] sign is what stands beside the digits, without blanks and digits, such as \"¥\"");
    }
    let negative = amount.negative;
    Ok(AmountMapping { currency, decimals, decimal_mark, thousands_mark, signs, negative })
}

impl FileSection {
    fn mapping(self) -> Result<FileMapping> {
        let encoding = self.encoding.map(|label| {
            let encoding = Encoding::for_label_no_replacement(label.as_bytes());
            encoding.with_context(|| {
                format!("[file] encoding {label:?} is not known; UTF-8, GBK, GB18030, UTF-16LE, windows-1252 are some")
            })
        });
        let ascii = |key: &str, c: char| -> Result<char> {
            if !c.is_ascii() || c == '\n' || c == '\r' {
                bail!("[file] {key} must be one ASCII character, not {c:?}");
            }
            Ok(c)
        };
        let quote = match self.quote.as_deref() {
            None => Some('"'),
            Some("") => None,
            Some(quote) => {
                let mut characters = quote.chars();
                let (Some(quote), None) = (characters.next(), characters.next()) else {
                    bail!("[file] quote must be one character, or empty where nothing is quoted, not {quote:?}");
                };
                Some(ascii("quote", quote)?)
            }
        };
        let delimiter = ascii("delimiter", self.delimiter.unwrap_or(','))?;
        if quote == Some(delimiter) {
            bail!("[file] delimiter and quote are both {delimiter:?}");
        }
        let end: Vec<String> = self.end.into();
        if end.iter().any(String::is_empty) {
            bail!("[file] end must not be empty: every row begins with nothing");
        }
        Ok(FileMapping {
            encoding: encoding.transpose()?.map(Encoding::name),
            delimiter,
            quote,
            skip_lines: self.skip_lines,
            comment: self.comment.map(|comment| ascii("comment", comment)).transpose()?,
            end,
            trim: self.trim.unwrap_or_else(|| Layout::default().trim),
        })
    }
}

impl OnlySection {
    fn only(self) -> Result<Only> {
        let column = self.column;
        let any_of: Vec<String> = self.equals.into_iter().chain(self.r#in).collect();
        let none_of: Vec<String> = self.not.into();
        if any_of.is_empty() == none_of.is_empty() {
            bail!("[[only]] column {column:?} takes one of equals, in and not");
        }
        Ok(Only { column, any_of, none_of })
    }
}
