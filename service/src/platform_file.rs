//! `platform.toml`: the reference data as one file, and what applying it would change.
//!
//! ```toml
//! [entity]
//! currency = "CNY"
//! zone = "Asia/Shanghai"
//! coins_per_unit = 100
//!
//! [[item]]
//! item = "rose"
//! price = 10
//! value = 9                        # to the recipient; the price where absent
//! from = 2026-11-01T00:00:00Z      # on sale from; at once where absent
//! until = 2026-12-01T00:00:00Z     # on sale until; without an end where absent
//!
//! [[streamer]]
//! streamer = "s1"                  # every streamer without terms of their own where absent
//! share = "0.45"
//! from = 2026-11-01                # a day of the entity's zone
//!
//! [[guild]]
//! guild = "g1"
//! share = "0.10"
//! from = 2026-11-01
//!
//! [[membership]]
//! streamer = "s1"
//! guild = "g1"                     # none where absent: the streamer leaves
//! from = 2026-11-01
//! ```
//!
//! The file says what is sold: an item that it no longer has is withdrawn. Terms and memberships
//! have a history that settlements were calculated from: they are added or replaced, by key and
//! day, and never taken away by leaving them out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Range,
    path::Path,
};

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use projections::Reference;
use schemas::{
    Change, Coins, Currency, Entity, GiftItem, GuildId, GuildTerms, ItemId, Membership, Share, StreamerId,
    StreamerTerms, Timestamp, Zone,
};
use serde::{Deserialize, de::IgnoredAny};
use toml::Spanned;

/// The reference data that holds: a fold of its changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Current {
    /// The books.
    pub entity: Option<Entity>,
    /// What is sold.
    pub items: BTreeMap<ItemId, GiftItem>,
    /// Terms of streamers, and of all others under `None`, by the day they begin.
    pub streamers: BTreeMap<(Option<StreamerId>, NaiveDate), StreamerTerms>,
    /// Terms of guilds by the day they begin.
    pub guilds: BTreeMap<(GuildId, NaiveDate), GuildTerms>,
    /// Memberships by the day they begin.
    pub memberships: BTreeMap<(StreamerId, NaiveDate), Membership>,
}

impl Current {
    /// What a ledger's log has published.
    pub fn of(reference: &Reference) -> Self {
        let mut current = Self::default();
        let items = reference.items().cloned().map(Change::Item);
        let entity = reference.entity().cloned().map(Change::Entity);
        let streamers = reference.streamer_terms().map(Change::Streamer);
        let guilds = reference.guild_terms().map(Change::Guild);
        let memberships = reference.memberships().map(Change::Membership);
        items.chain(entity).chain(streamers).chain(guilds).chain(memberships).for_each(|change| current.take(change));
        current
    }

    /// Takes the next change.
    pub fn take(&mut self, change: Change) {
        match change {
            Change::Item(item) => drop(self.items.insert(item.item.clone(), item)),
            Change::WithdrawItem(item) => drop(self.items.remove(&item)),
            Change::Entity(entity) => self.entity = Some(entity),
            Change::Streamer(terms) => drop(self.streamers.insert((terms.streamer.clone(), terms.from), terms)),
            Change::Guild(terms) => drop(self.guilds.insert((terms.guild.clone(), terms.from), terms)),
            Change::Membership(one) => drop(self.memberships.insert((one.streamer.clone(), one.from), one)),
        }
    }
}

/// What applying a file changes. Prints as one line a change: `+` new, `~` replaced, `-` withdrawn;
/// then, after `!`, what a person should know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// The changes, in the file's order, withdrawals last.
    pub changes: Vec<Change>,
    lines: Vec<String>,
    notes: Vec<String>,
}

impl Difference {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    fn put<T: PartialEq>(&mut self, old: Option<&T>, new: &T, change: &Change, show: impl Fn(&T) -> String) {
        let what = title(change);
        match old {
            Some(old) if old == new => return,
            Some(old) => self.lines.push(format!("~ {what} {} (was {})", show(new), show(old))),
            None => self.lines.push(format!("+ {what} {}", show(new))),
        }
        self.changes.push(change.clone());
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nothing = self.changes.is_empty().then(|| "nothing changes".to_owned());
        let notes = self.notes.iter().map(|note| format!("! {note}"));
        let lines: Vec<String> = nothing.into_iter().chain(self.lines.iter().cloned()).chain(notes).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// What has to change so that `wanted`, all of a file, holds after `current`.
pub fn difference(current: &Current, wanted: &[Change]) -> Difference {
    let mut difference = Difference::default();
    let mut after = Current::default();
    for change in wanted {
        match change {
            Change::Item(new) => difference.put(current.items.get(&new.item), new, change, show_item),
            Change::WithdrawItem(_) => difference.changes.push(change.clone()),
            Change::Entity(new) => difference.put(current.entity.as_ref(), new, change, show_entity),
            Change::Streamer(new) => {
                let old = current.streamers.get(&(new.streamer.clone(), new.from));
                difference.put(old, new, change, |terms| format!("share {}", terms.share));
            }
            Change::Guild(new) => {
                let old = current.guilds.get(&(new.guild.clone(), new.from));
                difference.put(old, new, change, |terms| format!("share {}", terms.share));
            }
            Change::Membership(new) => {
                let old = current.memberships.get(&(new.streamer.clone(), new.from));
                difference.put(old, new, change, show_guild);
            }
        }
        after.take(change.clone());
    }
    for item in current.items.keys().filter(|item| !after.items.contains_key(item)) {
        difference.lines.push(format!("- item {item}"));
        difference.changes.push(Change::WithdrawItem(item.clone()));
    }
    difference.notes = notes(current, &after);
    difference
}

/// What the file does not say or cannot do.
fn notes(current: &Current, file: &Current) -> Vec<String> {
    let mut notes = Vec::new();
    let mut stays = |change: &Change| notes.push(format!("{} is not in the file; it stays as it is", title(change)));
    if let Some(entity) = current.entity.as_ref().filter(|_| file.entity.is_none()) {
        stays(&Change::Entity(entity.clone()));
    }
    let missing = current.streamers.iter().filter(|(key, _)| !file.streamers.contains_key(key));
    missing.for_each(|(_, terms)| stays(&Change::Streamer(terms.clone())));
    let missing = current.guilds.iter().filter(|(key, _)| !file.guilds.contains_key(key));
    missing.for_each(|(_, terms)| stays(&Change::Guild(terms.clone())));
    let missing = current.memberships.iter().filter(|(key, _)| !file.memberships.contains_key(key));
    missing.for_each(|(_, one)| stays(&Change::Membership(one.clone())));
    if current.entity.is_none() && file.entity.is_none() {
        notes.push("there is no entity: gifts can be given, months cannot be settled".to_owned());
    }
    if !current.streamers.keys().chain(file.streamers.keys()).any(|(streamer, _)| streamer.is_none()) {
        notes.push("streamers without terms of their own have none: their months cannot be settled".to_owned());
    }
    let guilds: BTreeSet<&GuildId> = current.guilds.keys().chain(file.guilds.keys()).map(|(guild, _)| guild).collect();
    let joined: BTreeSet<&GuildId> = file.memberships.values().filter_map(|one| one.guild.as_ref()).collect();
    notes.extend(
        joined
            .difference(&guilds)
            .map(|guild| format!("guild {guild} has members and no terms: their months cannot be settled")),
    );
    notes
}

/// Which piece of reference data a change is about.
fn title(change: &Change) -> String {
    match change {
        Change::Item(GiftItem { item, .. }) | Change::WithdrawItem(item) => format!("item {item}"),
        Change::Entity(_) => "entity".to_owned(),
        Change::Streamer(StreamerTerms { streamer: Some(streamer), from, .. }) => {
            format!("streamer {streamer} from {from}")
        }
        Change::Streamer(StreamerTerms { streamer: None, from, .. }) => format!("every other streamer from {from}"),
        Change::Guild(terms) => format!("guild {} from {}", terms.guild, terms.from),
        Change::Membership(one) => format!("membership of streamer {} from {}", one.streamer, one.from),
    }
}

fn show_item(item: &GiftItem) -> String {
    let from = item.from.map(|from| format!(" from {from}")).unwrap_or_default();
    let until = item.until.map(|until| format!(" until {until}")).unwrap_or_default();
    format!("price {} value {}{from}{until}", item.price, item.value)
}

fn show_entity(entity: &Entity) -> String {
    format!("{} {} coins_per_unit {}", entity.currency, entity.zone.0.name(), entity.coins_per_unit)
}

fn show_guild(membership: &Membership) -> String {
    membership.guild.as_ref().map_or_else(|| "no guild".to_owned(), |guild| format!("guild {guild}"))
}

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

/// Reads the reference data of the file at `path`.
pub fn read(path: &Path) -> Result<Vec<Change>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse(&text, &path.display().to_string())
}

/// Reads the reference data from the `text` of `file`. In this order: entity, items, streamers,
/// guilds, memberships, each as in the file.
pub fn parse(text: &str, file: &str) -> Result<Vec<Change>> {
    let parsed: PlatformFile = toml::from_str(text).map_err(|e| anyhow::anyhow!("{file}: {e}"))?;
    let mut source = Source { text, file, seen: BTreeMap::new() };
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
    text: &'a str,
    file: &'a str,
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

    /// Refuses what an earlier entry has said already.
    fn once(&mut self, change: &Change, place: Range<usize>) -> Result<()> {
        let what = title(change);
        let line = self.line(&place);
        if let Some(earlier) = self.seen.get(&what) {
            bail!("{}: {what} stands here and on line {earlier}", self.at(&place));
        }
        self.seen.insert(what, line);
        Ok(())
    }

    fn characters(&self, literal: &Literal) -> &'a str {
        let text = &self.text[literal.span()];
        let quoted = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
        quoted('"').or_else(|| quoted('\'')).unwrap_or(text)
    }

    fn line(&self, place: &Range<usize>) -> usize {
        1 + self.text[..place.start].matches('\n').count()
    }

    fn at(&self, place: &Range<usize>) -> String {
        format!("{}, line {}", self.file, self.line(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
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

    fn current(text: &str) -> Current {
        let mut current = Current::default();
        parse(text, "p.toml").unwrap().into_iter().for_each(|change| current.take(change));
        current
    }

    #[test]
    fn a_file_is_read_exactly() {
        let changes = parse(WHOLE, "p.toml").unwrap();
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
        assert_eq!(parse("", "p.toml").unwrap(), []);
    }

    #[test]
    fn the_shipped_platform_reads() {
        let changes = parse(include_str!("../../docs/marathon/platform.toml"), "platform.toml").unwrap();
        let titles: Vec<String> = changes.iter().map(title).collect();
        assert_eq!(titles, ["entity", "item donation", "every other streamer from 2011-01-01"]);
    }

    #[test]
    fn a_wrong_file_says_where_and_what() {
        let item = |rest: &str| format!("[[item]]\nitem = 'rose'\n{rest}\n");
        let guild = |rest: &str| format!("[[guild]]\nguild = 'g'\n{rest}\n");
        for (text, said) in [
            (item(""), vec!["line 1", "[[item]]", "missing field `price`"]),
            (item("price = 0"), vec!["p.toml, line 3: item rose: price must be at least 1"]),
            (item("price = -1"), vec!["p.toml, line 3: price: coins must not be negative"]),
            (item("price = 1.5"), vec!["line 3", "price = 1.5", "expected i64"]),
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
            let error = format!("{:#}", parse(&text, "p.toml").unwrap_err());
            for said in said.into_iter().chain(["p.toml"]) {
                assert!(error.contains(said), "{text}\n{error}\nlacks {said:?}");
            }
        }
        let error = format!("{:#}", read(Path::new("no/such.toml")).unwrap_err());
        assert!(error.starts_with("reading no/such.toml: "), "{error}");
    }

    #[test]
    fn the_first_time_everything_is_new_and_the_second_nothing() {
        let wanted = parse(WHOLE, "p.toml").unwrap();
        let first = difference(&Current::default(), &wanted);
        assert_eq!(first.changes, wanted);
        let expected = "\
            + entity CNY Asia/Shanghai coins_per_unit 100\n\
            + item rose price 10 value 9 from 2026-10-31T16:00:00Z until 2026-12-01T00:00:00Z\n\
            + item car price 1000 value 1000\n\
            + every other streamer from 2026-11-01 share 0.45\n\
            + streamer s1 from 2026-11-16 share 0.5\n\
            + guild g1 from 2026-11-01 share 0.1\n\
            + membership of streamer s1 from 2026-11-01 guild g1\n\
            + membership of streamer s1 from 2026-11-16 no guild";
        assert_eq!(first.to_string(), expected);
        let second = difference(&current(WHOLE), &wanted);
        assert!(second.is_empty());
        assert_eq!(second.to_string(), "nothing changes");
    }

    #[test]
    fn items_are_withdrawn_and_terms_stay() {
        let edited = "[entity]\ncurrency = 'CNY'\nzone = 'UTC'\ncoins_per_unit = 100\n\
                      [[item]]\nitem = 'rose'\nprice = 12\n\
                      [[streamer]]\nshare = 0.4\nfrom = 2026-11-01\n\
                      [[membership]]\nstreamer = 's1'\nguild = 'g2'\nfrom = 2026-11-16\n";
        let mut current = current(WHOLE);
        let difference = difference(&current, &parse(edited, "p.toml").unwrap());
        let expected = "\
            ~ entity CNY UTC coins_per_unit 100 (was CNY Asia/Shanghai coins_per_unit 100)\n\
            ~ item rose price 12 value 12 (was price 10 value 9 from 2026-10-31T16:00:00Z until 2026-12-01T00:00:00Z)\n\
            ~ every other streamer from 2026-11-01 share 0.4 (was share 0.45)\n\
            ~ membership of streamer s1 from 2026-11-16 guild g2 (was no guild)\n\
            - item car\n\
            ! streamer s1 from 2026-11-16 is not in the file; it stays as it is\n\
            ! guild g1 from 2026-11-01 is not in the file; it stays as it is\n\
            ! membership of streamer s1 from 2026-11-01 is not in the file; it stays as it is\n\
            ! guild g2 has members and no terms: their months cannot be settled";
        assert_eq!(difference.to_string(), expected);
        difference.changes.into_iter().for_each(|change| current.take(change));
        let again = super::difference(&current, &parse(edited, "p.toml").unwrap());
        assert!(again.is_empty(), "{again}");
    }

    #[test]
    fn what_the_log_has_published_is_current() {
        let changes = parse(WHOLE, "p.toml").unwrap();
        let published = schemas::ReferencePublished {
            version: 1,
            part: 0,
            last: true,
            from: Timestamp::MIN,
            changes,
            dispatches: vec![],
        };
        let publish = schemas::Publish { version: 1, part: 0, last: true, from: Timestamp::MIN, changes: vec![] };
        let record = schemas::Record {
            shard: 0,
            sequence: 1,
            time: Timestamp::from_nanos(1),
            occurred_at: None,
            subject: schemas::Subject::Reference,
            origin: schemas::Origin::Caller,
            id: "v1".parse().unwrap(),
            digest: schemas::Digest::of(&schemas::Command::Publish(publish), None),
            actor: None,
            client: None,
            body: schemas::Body::Event(Box::new(schemas::Event::ReferencePublished(published))),
        };
        let mut reference = Reference::new();
        reference.apply(&record);
        assert_eq!(Current::of(&reference), current(WHOLE));
    }

    #[test]
    fn what_a_settlement_would_lack_is_said() {
        let expected = "\
            nothing changes\n\
            ! there is no entity: gifts can be given, months cannot be settled\n\
            ! streamers without terms of their own have none: their months cannot be settled";
        assert_eq!(difference(&Current::default(), &[]).to_string(), expected);
    }
}
