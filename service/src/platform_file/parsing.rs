//! Reads a platform file. What is wrong with it is said with its file and line.

use std::{collections::BTreeMap, ops::Range};

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use schemas::{
    Change, Coins, Currency, Entity, GiftItem, GuildId, GuildTerms, ItemId, Membership, Share, StreamerId,
    StreamerTerms, Timestamp, Zone,
};
use serde::{Deserialize, de::IgnoredAny};
use toml::Spanned;

use crate::toml_text::TomlText;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlatformFile {
    entity: Option<EntitySection>,
    #[serde(default)]
    item: Vec<ItemEntry>,
    #[serde(default)]
    streamer: Vec<StreamerEntry>,
    #[serde(default)]
    guild: Vec<GuildEntry>,
    #[serde(default)]
    membership: Vec<MembershipEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntitySection {
    currency: Currency,
    zone: Zone,
    coins_per_unit: Spanned<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemEntry {
    item: Spanned<ItemId>,
    price: Spanned<i64>,
    value: Option<Spanned<i64>>,
    from: Option<Literal>,
    until: Option<Literal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamerEntry {
    streamer: Option<StreamerId>,
    share: Literal,
    from: Literal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuildEntry {
    guild: GuildId,
    share: Literal,
    from: Literal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipEntry {
    streamer: StreamerId,
    guild: Option<GuildId>,
    from: Literal,
}

/// A value that is read from the file's own characters, so that `0.45` and `"0.45"` are the same
/// exact share, and a day or time may be quoted or not.
type Literal = Spanned<IgnoredAny>;

/// Reads the reference data of a text that `name` is said to be.
pub fn read_toml(text: &str, name: &str) -> Result<Vec<Change>> {
    changes(&TomlText::new(text, name))
}

/// Reads the reference data. In this order: entity, items, streamers, guilds, memberships, each as in the file.
pub fn changes(text: &TomlText) -> Result<Vec<Change>> {
    let parsed: PlatformFile = text.parse()?;
    let mut source = Source { text, seen: BTreeMap::new() };
    let mut changes = Vec::new();
    changes.extend(parsed.entity.map(|entity| source.entity(&entity)).transpose()?);
    for entry in parsed.item {
        let place = entry.item.span();
        let change = source.item(entry)?;
        source.once(&change, place)?;
        changes.push(change);
    }
    for entry in parsed.streamer {
        let (share, from) = (source.share(&entry.share)?, source.day(&entry.from)?);
        let change = Change::Streamer(StreamerTerms { streamer: entry.streamer, share, from });
        source.once(&change, entry.from.span())?;
        changes.push(change);
    }
    for entry in parsed.guild {
        let (share, from) = (source.share(&entry.share)?, source.day(&entry.from)?);
        let change = Change::Guild(GuildTerms { guild: entry.guild, share, from });
        source.once(&change, entry.from.span())?;
        changes.push(change);
    }
    for entry in parsed.membership {
        let from = source.day(&entry.from)?;
        let change = Change::Membership(Membership { streamer: entry.streamer, guild: entry.guild, from });
        source.once(&change, entry.from.span())?;
        changes.push(change);
    }
    Ok(changes)
}

/// The file's text, to read literals from and to name lines.
struct Source<'a> {
    text: &'a TomlText,
    /// What was named, and on which line.
    seen: BTreeMap<String, usize>,
}

impl<'a> Source<'a> {
    fn entity(&self, entity: &EntitySection) -> Result<Change> {
        if *entity.coins_per_unit.get_ref() == 0 {
            bail!("{}: coins_per_unit must be at least 1", self.at(&entity.coins_per_unit.span()));
        }
        let coins_per_unit = *entity.coins_per_unit.get_ref();
        Ok(Change::Entity(Entity { currency: entity.currency, zone: entity.zone, coins_per_unit }))
    }

    fn item(&self, entry: ItemEntry) -> Result<Change> {
        let (item, price) = (entry.item.into_inner(), self.coins("price", &entry.price)?);
        if price.is_zero() {
            bail!("{}: item {item}: price must be at least 1", self.at(&entry.price.span()));
        }
        let value = entry.value.as_ref().map(|value| self.coins("value", value)).transpose()?.unwrap_or(price);
        let from = entry.from.as_ref().map(|from| self.time(from)).transpose()?;
        let until = entry.until.as_ref().map(|until| self.time(until)).transpose()?;
        if let (Some(start), Some(end), Some(literal)) = (from, until, &entry.until)
            && end <= start
        {
            bail!("{}: item {item}: until {end} is not after from {start}", self.at(&literal.span()));
        }
        Ok(Change::Item(GiftItem { item, price, value, from, until }))
    }

    fn coins(&self, key: &str, number: &Spanned<i64>) -> Result<Coins> {
        let at = || format!("{}: {key}", self.at(&number.span()));
        let coins = u64::try_from(*number.get_ref()).ok().context("coins must not be negative").with_context(at)?;
        Coins::new(coins).with_context(at)
    }

    fn share(&self, literal: &Literal) -> Result<Share> {
        self.characters(literal).parse().with_context(|| format!("{}: share", self.at(&literal.span())))
    }

    fn day(&self, literal: &Literal) -> Result<NaiveDate> {
        let text = self.characters(literal);
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|day| day.to_string() == text);
        day.with_context(|| format!("{}: from: {text:?} is not a day such as 2026-11-01", self.at(&literal.span())))
    }

    fn time(&self, literal: &Literal) -> Result<Timestamp> {
        self.characters(literal).parse().with_context(|| self.at(&literal.span()))
    }

    /// Refuses what no publish may say, and what an earlier entry has said already.
    fn once(&mut self, change: &Change, place: Range<usize>) -> Result<()> {
        change.check().with_context(|| self.at(&place))?;
        let what = change.title();
        let line = self.text.line(&place);
        if let Some(earlier) = self.seen.get(&what) {
            bail!("{}: {what} stands here and on line {earlier}", self.at(&place));
        }
        self.seen.insert(what, line);
        Ok(())
    }

    fn characters(&self, literal: &Literal) -> &'a str {
        self.text.characters(&literal.span())
    }

    fn at(&self, place: &Range<usize>) -> String {
        self.text.at(place)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn parse(text: &str) -> Result<Vec<Change>> {
        changes(&TomlText::new(text, "p.toml"))
    }

    pub const WHOLE: &str = r#"
[entity]
currency = "CNY"
zone = "Asia/Shanghai"
coins_per_unit = 100

[[item]]
item = "rose"
price = 10
value = 9
from = 2026-11-01T00:00:00+08:00
until = "2026-12-01T00:00:00Z"

[[item]]
item = "car"
price = 1000

[[streamer]]
share = 0.45
from = 2026-11-01

[[streamer]]
streamer = "s1"
share = "0.500"
from = "2026-11-16"

[[guild]]
guild = "g1"
share = 0.1
from = 2026-11-01

[[membership]]
streamer = "s1"
guild = "g1"
from = 2026-11-01

[[membership]]
streamer = "s1"
from = 2026-11-16
"#;

    #[test]
    fn a_file_is_read_exactly() {
        let changes = parse(WHOLE).unwrap();
        let lines: Vec<String> = changes.iter().map(|change| serde_json::to_string(change).unwrap()).collect();
        let expected = [
            r#"{"entity":{"currency":"CNY","zone":"Asia/Shanghai","coins_per_unit":100}}"#,
            r#"{"item":{"item":"rose","price":10,"value":9,"from":"2026-10-31T16:00:00Z","until":"2026-12-01T00:00:00Z"}}"#,
            r#"{"item":{"item":"car","price":1000,"value":1000,"from":null,"until":null}}"#,
            r#"{"streamer":{"streamer":null,"share":"0.45","from":"2026-11-01"}}"#,
            r#"{"streamer":{"streamer":"s1","share":"0.5","from":"2026-11-16"}}"#,
            r#"{"guild":{"guild":"g1","share":"0.1","from":"2026-11-01"}}"#,
            r#"{"membership":{"streamer":"s1","guild":"g1","from":"2026-11-01"}}"#,
            r#"{"membership":{"streamer":"s1","guild":null,"from":"2026-11-16"}}"#,
        ];
        assert_eq!(lines, expected);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn the_shipped_platform_reads() {
        let changes = parse(include_str!("../../../docs/marathon/platform.toml")).unwrap();
        let titles: Vec<String> = changes.iter().map(Change::title).collect();
        assert_eq!(titles, ["entity", "item donation", "every other streamer from 2011-01-01"]);
    }

    #[test]
    fn a_wrong_file_says_where_and_what() {
        let item = |rest: &str| format!("[[item]]\nitem = 'rose'\n{rest}\n");
        let guild = |rest: &str| format!("[[guild]]\nguild = 'g'\n{rest}\n");
        for (text, said) in [
            (item(""), vec!["p.toml, line 1 ([[item]]): ", "missing field `price`"]),
            (item("price = 0"), vec!["p.toml, line 3: item rose: price must be at least 1"]),
            (item("price = -1"), vec!["p.toml, line 3: price: coins must not be negative"]),
            (item("price = 1.5"), vec!["p.toml, line 3 (price = 1.5): ", "expected i64"]),
            (item("price = 1\nvalue = -1"), vec!["p.toml, line 4: value: coins must not be negative"]),
            (item("price = 9007199254740992"), vec!["p.toml, line 3: price: ", "the most an amount can be"]),
            (item("price = 1\ncolour = 'red'"), vec!["line 4", "unknown field `colour`"]),
            (item("price = 1\nfrom = 2026-11-01"), vec!["p.toml, line 4: \"2026-11-01\" is not a time"]),
            (
                item("price = 1\nfrom = 2026-11-02T00:00:00Z\nuntil = 2026-11-02T00:00:00Z"),
                vec!["p.toml, line 5: item rose: until 2026-11-02T00:00:00Z is not after from"],
            ),
            (
                item("price = 1\n[[item]]\nitem = 'rose'\nprice = 2"),
                vec!["p.toml, line 5: item rose stands here and on line 2"],
            ),
            ("[[item]]\nitem = 'a b'\nprice = 1".to_owned(), vec!["line 2", "an item id may contain"]),
            ("[[items]]\nitem = 'a'\n".to_owned(), vec!["line 1", "unknown field `items`"]),
            (guild("share = '1.1'\nfrom = 2026-11-01"), vec!["p.toml, line 3: share", "\"1.1\" is not a share"]),
            (guild("share = 0.1234567\nfrom = 2026-11-01"), vec!["\"0.1234567\" is not a share"]),
            (guild("share = [1]\nfrom = 2026-11-01"), vec!["\"[1]\" is not a share"]),
            (
                "[[streamer]]\nstreamer = 'house'\nshare = 0.1\nfrom = 2026-11-01".to_owned(),
                vec!["p.toml, line 4: streamer.streamer: found \"house\"", "`house` is reserved"],
            ),
            (
                "[[membership]]\nstreamer = 'house'\nguild = 'g'\nfrom = 2026-11-01".to_owned(),
                vec!["p.toml, line 4: membership.streamer: found \"house\"", "`house` is reserved"],
            ),
            (guild("share = 0.1\nfrom = 9999-12-31"), vec!["p.toml, line 4: guild.from: found 9999-12-31"]),
            (guild("share = 1e-1\nfrom = 2026-11-01"), vec!["\"1e-1\" is not a share"]),
            (guild("share = 0.1\nfrom = '1.11.2026'"), vec!["p.toml, line 4: from: \"1.11.2026\" is not a day"]),
            (guild("share = 0.1\nfrom = '2026-11-31'"), vec!["\"2026-11-31\" is not a day"]),
            (guild("share = 0.1\nfrom = '2026-1-1'"), vec!["\"2026-1-1\" is not a day"]),
            (
                guild("share = 0\nfrom = 2026-11-01\n[[guild]]\nguild = 'g'\nshare = 1\nfrom = 2026-11-01"),
                vec!["p.toml, line 8: guild g from 2026-11-01 stands here and on line 4"],
            ),
            ("[entity]\ncurrency = 'XX'\n".to_owned(), vec!["line 2", "is not a currency code"]),
            (
                "[entity]\ncurrency = 'USD'\nzone = 'Mars'\ncoins_per_unit = 1".to_owned(),
                vec!["line 3", "is not a time zone"],
            ),
            (
                "[entity]\ncurrency = 'USD'\nzone = 'UTC'\ncoins_per_unit = 0".to_owned(),
                vec!["p.toml, line 4: coins_per_unit must be at least 1"],
            ),
        ] {
            let error = format!("{:#}", parse(&text).unwrap_err());
            for said in said.into_iter().chain(["p.toml"]) {
                assert!(error.contains(said), "{text}\n{error}\nlacks {said:?}");
            }
        }
    }

    /// As many as a large catalogue has, within what a debug build counts lines in: the time grows with the
    /// entries, not with their square.
    #[test]
    fn a_large_catalogue_names_its_lines() {
        let entry = |n: usize| format!("[[item]]\nitem = 'item-{n}'\nprice = {n}\n\n");
        let text: String = (1..=40_000).map(entry).collect();
        let begun = std::time::Instant::now();
        assert_eq!(parse(&text).unwrap().len(), 40_000);
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
        let twice = format!("{text}{}", entry(39_999));
        let error = parse(&twice).unwrap_err().to_string();
        assert_eq!(error, "p.toml, line 160002: item item-39999 stands here and on line 159994");
    }
}
