//! What the columns of a file of gifts mean: a TOML file of the user's.
//!
//! ```toml
//! [columns]                  # the titles in the file's header
//! gift = "gift_id"           # the gift's id, once in the file
//! time = "occurred_at"       # RFC 3339
//! sender = "sender"
//! amount = "amount_usd"
//! room = "room"              # optional, as are the two below
//! streamers = "streamers"    # without it, or empty: the house
//! activity = "campaign"
//!
//! [streamers]
//! separator = "|"            # between several; they share equally
//!
//! [amount]
//! currency = "USD"
//! decimals = 2               # 12.34 is 1,234 coins; the currency's own where absent
//!
//! [gift]
//! item = "donation"          # sold at 1 coin; a gift is as many of it as the amount has coins
//! id_prefix = "gift-"        # before the gift's id; empty where absent
//! actor = "import"           # who the records name as having acted
//!
//! [top_up]                   # optional: lays a top-up of the same amount before each gift
//! channel = "overlay"        # its transaction is the gift's id
//! id_prefix = "topup-"
//! actor = "overlay"
//! ```

use std::path::Path;

use anyhow::{Context, Result, bail};
use schemas::{ActorId, ChannelId, Currency, ItemId};
use serde::Deserialize;

/// How the rows of a file become commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The mapping's file, for messages.
    pub file: String,
    /// The titles of the columns.
    pub columns: Columns,
    /// What stands between several streamers.
    pub separator: String,
    /// The currency of the amounts.
    pub currency: Currency,
    /// Decimals of an amount that make coins.
    pub decimals: u32,
    /// The gifts.
    pub gift: GiftMapping,
    /// The top-up before each gift, where one is laid.
    pub top_up: Option<TopUpMapping>,
}

/// The titles of the columns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// The gift's id.
    pub gift: String,
    /// When it was given.
    pub time: String,
    /// Who paid.
    pub sender: String,
    /// How much.
    pub amount: String,
    /// In which room.
    pub room: Option<String>,
    /// To whom.
    pub streamers: Option<String>,
    /// For which campaign.
    pub activity: Option<String>,
}

/// The gifts that the rows become.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GiftMapping {
    /// The item, sold at 1 coin.
    pub item: ItemId,
    /// What stands before the row's id in the command's.
    #[serde(default)]
    pub id_prefix: String,
    /// Who acted.
    pub actor: ActorId,
}

/// The top-ups that are laid before the gifts, because the file has none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopUpMapping {
    /// The channel; the transaction is the row's id.
    pub channel: ChannelId,
    /// What stands before the row's id in the command's.
    #[serde(default)]
    pub id_prefix: String,
    /// Who acted.
    pub actor: ActorId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFile {
    columns: Columns,
    #[serde(default)]
    streamers: StreamersSection,
    amount: AmountSection,
    gift: GiftMapping,
    top_up: Option<TopUpMapping>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamersSection {
    separator: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AmountSection {
    currency: Currency,
    decimals: Option<u32>,
}

/// The longest prefix of an id: half of what an id may have.
const MAX_PREFIX_BYTES: usize = 32;
const DEFAULT_SEPARATOR: &str = "|";

impl Mapping {
    /// Reads a mapping's file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading the mapping {}", path.display()))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a mapping from the `text` of `file`.
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let parsed: MappingFile = toml::from_str(text).map_err(|e| anyhow::anyhow!("the mapping {file}: {e}"))?;
        let MappingFile { columns, streamers, amount, gift, top_up } = parsed;
        let separator = streamers.separator.unwrap_or_else(|| DEFAULT_SEPARATOR.to_owned());
        if separator.is_empty() {
            bail!("the mapping {file}: [streamers] separator must not be empty");
        }
        let scale = amount.currency.scale();
        let decimals = amount.decimals.unwrap_or(scale);
        if decimals > scale {
            let currency = amount.currency;
            bail!("the mapping {file}: [amount] decimals is {decimals}, and {currency} has {scale}");
        }
        let top_up_prefix = top_up.as_ref().map(|top_up| ("top_up", &top_up.id_prefix));
        for (section, prefix) in [("gift", &gift.id_prefix)].into_iter().chain(top_up_prefix) {
            if prefix.len() > MAX_PREFIX_BYTES {
                let bytes = prefix.len();
                bail!("the mapping {file}: [{section}] id_prefix has {bytes} bytes, more than {MAX_PREFIX_BYTES}");
            }
        }
        Ok(Self { file: file.to_owned(), columns, separator, currency: amount.currency, decimals, gift, top_up })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "[columns]\ngift = 'i'\ntime = 't'\nsender = 's'\namount = 'a'\n\
                            [amount]\ncurrency = 'JPY'\n[gift]\nitem = 'x'\nactor = 'import'\n";

    #[test]
    fn the_shipped_mapping_reads() {
        let mapping = Mapping::parse(include_str!("../../../docs/marathon/mapping.toml"), "mapping.toml").unwrap();
        assert_eq!((mapping.currency.code(), mapping.decimals, mapping.separator.as_str()), ("USD", 2, "|"));
        assert_eq!(mapping.columns.activity.as_deref(), Some("campaign"));
        assert_eq!((mapping.gift.item.as_str(), mapping.gift.id_prefix.as_str()), ("donation", "gift-"));
        let top_up = mapping.top_up.unwrap();
        assert_eq!(
            [top_up.channel.as_str(), top_up.id_prefix.as_str(), top_up.actor.as_str()],
            ["overlay", "topup-", "overlay"]
        );
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let mapping = Mapping::parse(SMALLEST, "m.toml").unwrap();
        assert_eq!((mapping.decimals, mapping.separator.as_str(), mapping.gift.id_prefix.as_str()), (0, "|", ""));
        assert_eq!((mapping.columns.room, mapping.columns.streamers, mapping.top_up), (None, None, None));
    }

    #[test]
    fn a_wrong_mapping_says_which_key() {
        let with = |old: &str, new: &str| {
            assert!(SMALLEST.contains(old), "{old}");
            SMALLEST.replace(old, new)
        };
        for (text, said) in [
            (with("sender = 's'\n", ""), vec!["line 1", "[columns]", "missing field `sender`"]),
            (with("item = 'x'", "item = 'a b'"), vec!["line 9", "item = 'a b'", "' ' in \"a b\": an item id"]),
            (with("[gift]", "[gift]\ncolour = 1"), vec!["colour = 1", "unknown field `colour`", "`item`"]),
            (with("[gift]", "[present]"), vec!["unknown field `present`"]),
            (with("currency = 'JPY'", "currency = 'Yen'"), vec!["currency = 'Yen'", "is not a currency code"]),
            (with("'JPY'", "'JPY'\ndecimals = 2"), vec!["[amount] decimals is 2, and JPY has 0"]),
            (with("'JPY'", "'JPY'\ndecimals = -1"), vec!["decimals = -1", "expected u32"]),
            (with("[gift]", "[streamers]\nseparator = ''\n[gift]"), vec!["[streamers] separator must not be empty"]),
            (with("[gift]", &format!("[gift]\nid_prefix = '{}'", "x".repeat(33))), vec!["[gift] id_prefix has 33"]),
            (with("[gift]", "[top_up]\nactor = 'a'\n[gift]"), vec!["[top_up]", "missing field `channel`"]),
            ("[columns".to_owned(), vec!["line 1", "unclosed table"]),
            (String::new(), vec!["missing field `columns`"]),
        ] {
            let error = Mapping::parse(&text, "m.toml").unwrap_err().to_string();
            for said in said.into_iter().chain(["the mapping m.toml: "]) {
                assert!(error.contains(said), "{text}\n{error}\nlacks {said:?}");
            }
        }
        let error = Mapping::read(Path::new("no/such.toml")).unwrap_err().to_string();
        assert_eq!(error, "reading the mapping no/such.toml");
    }
}
