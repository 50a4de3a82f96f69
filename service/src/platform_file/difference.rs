//! What applying a file would change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chrono::NaiveDate;
use projections::Reference;
use schemars::JsonSchema;
use schemas::{
    Change, Entity, GiftItem, GuildId, GuildTerms, ItemId, Membership, StreamerId, StreamerTerms, Timestamp,
};
use serde::{Deserialize, Serialize};

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
    /// What is published and does not hold yet.
    pub scheduled: Vec<Scheduled>,
}

/// A change that a version makes later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// When.
    pub from: Timestamp,
    /// Which version.
    pub version: u64,
    /// What it changes.
    pub change: Change,
}

impl Current {
    /// What a ledger's log has published: what holds at `now`, and what is scheduled.
    pub fn of(history: &Reference, now: Timestamp) -> Self {
        let mut current = Self::default();
        let scheduled = history.scheduled(now).into_iter();
        current.scheduled = scheduled
            .map(|one| Scheduled { from: one.from, version: one.version, change: one.change.clone() })
            .collect();
        let reference = history.at(now);
        let items = reference.items().cloned().map(Change::Item);
        let entity = reference.entity().copied().map(Change::Entity);
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReferenceDifference")]
pub struct Difference {
    /// The changes, in the file's order, withdrawals last.
    pub changes: Vec<Change>,
    /// A line for each of them, for people.
    pub lines: Vec<String>,
    /// What a person should know besides.
    pub notes: Vec<String>,
}

impl Difference {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The items that would be withdrawn.
    pub fn withdrawn(&self) -> impl Iterator<Item = &ItemId> {
        self.changes.iter().filter_map(|change| match change {
            Change::WithdrawItem(item) => Some(item),
            _ => None,
        })
    }

    /// Whether it would change the entity.
    pub fn is_about_the_entity(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Entity(_)))
    }

    fn put<T: PartialEq>(&mut self, old: Option<&T>, new: &T, change: &Change, show: impl Fn(&T) -> String) {
        let what = change.title();
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

/// What becomes of an item that a file does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unnamed {
    /// It stays: another file may have named it.
    #[default]
    Stays,
    /// It is withdrawn: the file says what is sold.
    IsWithdrawn,
}

/// What has to change so that `wanted`, all of a file, holds after `current`.
pub fn difference(current: &Current, wanted: &[Change], unnamed: Unnamed) -> Difference {
    let mut difference = Difference::default();
    let mut after = Current::default();
    for change in wanted {
        match change {
            Change::Item(new) => difference.put(current.items.get(&new.item), new, change, show_item),
            Change::WithdrawItem(item) => {
                difference.lines.push(format!("- item {item}"));
                difference.changes.push(change.clone());
            }
            Change::Entity(new) => difference.put(current.entity.as_ref(), new, change, |entity| show_entity(*entity)),
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
    if unnamed == Unnamed::IsWithdrawn {
        for item in current.items.keys().filter(|item| !after.items.contains_key(item)) {
            difference.lines.push(format!("- item {item}"));
            difference.changes.push(Change::WithdrawItem(item.clone()));
        }
    }
    difference.notes = notes(current, &after, unnamed);
    difference.notes.extend(scheduled(current, &difference.changes));
    difference
}

/// How many of those that a note is about are named.
const NAMED: usize = 3;

/// What the file does not say or cannot do.
fn notes(current: &Current, file: &Current, unnamed: Unnamed) -> Vec<String> {
    let mut notes = Vec::new();
    let mut stay = |what: &str, titles: Vec<String>, hint: &str| {
        let named = titles[..titles.len().min(NAMED)].join(", ");
        let more = if titles.len() > NAMED { ", …" } else { "" };
        match titles.len() {
            0 => {}
            1 => notes.push(format!("{named} is not in the file; it stays as it is{hint}")),
            n => notes.push(format!("{n} {what} are not in the file; they stay as they are ({named}{more}){hint}")),
        }
    };
    if let Some(entity) = current.entity.as_ref().filter(|_| file.entity.is_none()) {
        stay("entities", vec![Change::Entity(*entity).title()], "");
    }
    if unnamed == Unnamed::Stays {
        let items = missing(&current.items, &file.items, |item| Change::Item(item.clone()));
        stay("items", items, "; pruning withdraws what a file does not name");
    }
    let streamers = missing(&current.streamers, &file.streamers, |terms| Change::Streamer(terms.clone()));
    stay("terms of streamers", streamers, "");
    let guilds = missing(&current.guilds, &file.guilds, |terms| Change::Guild(terms.clone()));
    stay("terms of guilds", guilds, "");
    let memberships = missing(&current.memberships, &file.memberships, |one| Change::Membership(one.clone()));
    stay("memberships", memberships, "");
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

/// What the file does not name of what there is.
fn missing<K: Ord, T>(current: &BTreeMap<K, T>, file: &BTreeMap<K, T>, change: impl Fn(&T) -> Change) -> Vec<String> {
    let missing = current.iter().filter(|(key, _)| !file.contains_key(key));
    missing.map(|(_, one)| change(one).title()).collect()
}

/// What is scheduled: it stays, unless this version says otherwise of the same, for from its time on
/// the later version holds.
fn scheduled(current: &Current, changes: &[Change]) -> Vec<String> {
    let replaced: BTreeSet<String> = changes.iter().map(Change::title).collect();
    let line = |one: &Scheduled| {
        let (what, from, version) = (one.change.title(), one.from, one.version);
        let shown = match &one.change {
            Change::Item(item) => show_item(item),
            Change::WithdrawItem(_) => "withdrawn".to_owned(),
            Change::Entity(entity) => show_entity(*entity),
            Change::Streamer(StreamerTerms { share, .. }) | Change::Guild(GuildTerms { share, .. }) => {
                format!("share {share}")
            }
            Change::Membership(one) => show_guild(one),
        };
        let becomes = if replaced.contains(&what) { "this version REPLACES it" } else { "it stays" };
        format!("{what} {shown} is scheduled for {from} by version {version}; {becomes}")
    };
    current.scheduled.iter().map(line).collect()
}

fn show_item(item: &GiftItem) -> String {
    let from = item.from.map(|from| format!(" from {from}")).unwrap_or_default();
    let until = item.until.map(|until| format!(" until {until}")).unwrap_or_default();
    format!("price {} value {}{from}{until}", item.price, item.value)
}

fn show_entity(entity: Entity) -> String {
    format!("{} {} coins_per_unit {}", entity.currency, entity.zone.0.name(), entity.coins_per_unit)
}

fn show_guild(membership: &Membership) -> String {
    membership.guild.as_ref().map_or_else(|| "no guild".to_owned(), |guild| format!("guild {guild}"))
}

#[cfg(test)]
mod tests {
    use super::{
        super::parsing::tests::{WHOLE, parse},
        *,
    };

    fn current(text: &str) -> Current {
        let mut current = Current::default();
        parse(text).unwrap().into_iter().for_each(|change| current.take(change));
        current
    }

    #[test]
    fn the_first_time_everything_is_new_and_the_second_nothing() {
        let wanted = parse(WHOLE).unwrap();
        let first = difference(&Current::default(), &wanted, Unnamed::Stays);
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
        let second = difference(&current(WHOLE), &wanted, Unnamed::IsWithdrawn);
        assert!(second.is_empty());
        assert_eq!(second.to_string(), "nothing changes");
    }

    /// A file with one more guild must not withdraw the catalogue.
    #[test]
    fn what_a_file_does_not_name_stays() {
        let one_more = "[[guild]]\nguild = 'g2'\nshare = 0.1\nfrom = 2026-12-01\n";
        let difference = difference(&current(WHOLE), &parse(one_more).unwrap(), Unnamed::Stays);
        let expected = "\
            + guild g2 from 2026-12-01 share 0.1\n\
            ! entity is not in the file; it stays as it is\n\
            ! 2 items are not in the file; they stay as they are (item car, item rose); \
            pruning withdraws what a file does not name\n\
            ! 2 terms of streamers are not in the file; they stay as they are \
            (every other streamer from 2026-11-01, streamer s1 from 2026-11-16)\n\
            ! guild g1 from 2026-11-01 is not in the file; it stays as it is\n\
            ! 2 memberships are not in the file; they stay as they are \
            (membership of streamer s1 from 2026-11-01, membership of streamer s1 from 2026-11-16)";
        assert_eq!(difference.to_string(), expected);
        assert_eq!((difference.changes.len(), difference.withdrawn().count()), (1, 0));
    }

    #[test]
    fn pruning_withdraws_items_and_terms_stay() {
        let edited = "[entity]\ncurrency = 'CNY'\nzone = 'UTC'\ncoins_per_unit = 100\n\
                      [[item]]\nitem = 'rose'\nprice = 12\n\
                      [[streamer]]\nshare = 0.4\nfrom = 2026-11-01\n\
                      [[membership]]\nstreamer = 's1'\nguild = 'g2'\nfrom = 2026-11-16\n";
        let mut current = current(WHOLE);
        let difference = difference(&current, &parse(edited).unwrap(), Unnamed::IsWithdrawn);
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
        assert_eq!(difference.withdrawn().map(ItemId::as_str).collect::<Vec<_>>(), ["car"]);
        difference.changes.into_iter().for_each(|change| current.take(change));
        let again = super::difference(&current, &parse(edited).unwrap(), Unnamed::IsWithdrawn);
        assert!(again.is_empty(), "{again}");
    }

    #[test]
    fn what_the_log_has_published_is_current() {
        let changes = parse(WHOLE).unwrap();
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
            origin: schemas::Origin::Caller(schemas::Source::cli()),
            id: "v1".parse().unwrap(),
            digest: schemas::Digest::of(&schemas::Command::Publish(publish), None),
            actor: None,
            on_behalf_of: None,
            client: None,
            body: schemas::Body::Event(Box::new(schemas::Event::ReferencePublished(published))),
            moved: schemas::Moved::new(),
        };
        let mut reference = Reference::new();
        reference.apply(&record);
        assert_eq!(Current::of(&reference, record.time), current(WHOLE));
        let before = Current::of(&reference, Timestamp::MIN);
        assert_eq!((before.items.len(), before.scheduled.len()), (0, current(WHOLE).items.len() + 6), "not yet");
    }

    #[test]
    fn what_a_settlement_would_lack_is_said() {
        let expected = "\
            nothing changes\n\
            ! there is no entity: gifts can be given, months cannot be settled\n\
            ! streamers without terms of their own have none: their months cannot be settled";
        assert_eq!(difference(&Current::default(), &[], Unnamed::IsWithdrawn).to_string(), expected);
    }
}
