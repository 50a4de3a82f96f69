//! The reference data that is in force: catalogue, books, terms and memberships.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use schemas::{
    Change, Entity, Event, GiftItem, GuildId, GuildTerms, ItemId, Membership, Record, Share, StreamerId, StreamerTerms,
    Timestamp,
};

/// The fold of all complete versions of the reference data. Days are those of the entity's zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    version: u64,
    from: Option<Timestamp>,
    items: BTreeMap<ItemId, GiftItem>,
    entity: Option<Entity>,
    default_terms: ByDay<Share>,
    streamers: BTreeMap<StreamerId, ByDay<Share>>,
    guilds: BTreeMap<GuildId, ByDay<Share>>,
    memberships: BTreeMap<StreamerId, ByDay<Option<GuildId>>>,
    /// Parts of versions whose last part has not been published.
    incomplete: BTreeMap<u64, Vec<Change>>,
}

/// What holds from a day on, until the next one.
type ByDay<T> = BTreeMap<NaiveDate, T>;

impl Reference {
    /// Before the first version.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what a record published. A version counts from its last part on, as a whole.
    pub fn apply(&mut self, record: &Record) {
        for (_, event) in record.events() {
            let Event::ReferencePublished(published) = event else { continue };
            let changes = self.incomplete.entry(published.version).or_default();
            if published.part == 0 {
                changes.clear();
            }
            changes.extend(published.changes.iter().cloned());
            if published.last {
                let changes = std::mem::take(changes);
                self.incomplete.retain(|version, _| *version > published.version);
                self.version = published.version;
                self.from = Some(published.from);
                for change in changes {
                    self.take(change);
                }
            }
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Item(item) => {
                self.items.insert(item.item.clone(), item);
            }
            Change::WithdrawItem(item) => {
                self.items.remove(&item);
            }
            Change::Entity(entity) => self.entity = Some(entity),
            Change::Streamer(terms) => {
                let by_day = match terms.streamer {
                    Some(streamer) => self.streamers.entry(streamer).or_default(),
                    None => &mut self.default_terms,
                };
                by_day.insert(terms.from, terms.share);
            }
            Change::Guild(terms) => {
                self.guilds.entry(terms.guild).or_default().insert(terms.from, terms.share);
            }
            Change::Membership(membership) => {
                self.memberships.entry(membership.streamer).or_default().insert(membership.from, membership.guild);
            }
        }
    }

    /// The newest complete version; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// From when that version holds.
    pub fn from(&self) -> Option<Timestamp> {
        self.from
    }

    /// The catalogue, by id.
    pub fn items(&self) -> impl Iterator<Item = &GiftItem> {
        self.items.values()
    }

    /// An item of the catalogue.
    pub fn item(&self, item: &ItemId) -> Option<&GiftItem> {
        self.items.get(item)
    }

    /// Whose books these are.
    pub fn entity(&self) -> Option<&Entity> {
        self.entity.as_ref()
    }

    /// What streamers are paid: the default terms first, then by streamer, each by day.
    pub fn streamer_terms(&self) -> impl Iterator<Item = StreamerTerms> {
        let terms = |streamer: Option<StreamerId>| {
            move |(from, share): (&NaiveDate, &Share)| StreamerTerms {
                streamer: streamer.clone(),
                share: *share,
                from: *from,
            }
        };
        let own = self.streamers.iter().flat_map(move |(id, by_day)| by_day.iter().map(terms(Some(id.clone()))));
        self.default_terms.iter().map(terms(None)).chain(own)
    }

    /// What guilds are paid, by guild and day.
    pub fn guild_terms(&self) -> impl Iterator<Item = GuildTerms> {
        self.guilds.iter().flat_map(|(guild, by_day)| {
            by_day.iter().map(|(from, share)| GuildTerms { guild: guild.clone(), share: *share, from: *from })
        })
    }

    /// Who belongs where, by streamer and day.
    pub fn memberships(&self) -> impl Iterator<Item = Membership> {
        self.memberships.iter().flat_map(|(streamer, by_day)| {
            by_day.iter().map(|(from, guild)| Membership {
                streamer: streamer.clone(),
                guild: guild.clone(),
                from: *from,
            })
        })
    }

    /// What a streamer is paid for gifts of `day`: by terms of their own if any hold by then, else by
    /// the default terms.
    pub fn streamer_share(&self, streamer: &StreamerId, day: NaiveDate) -> Option<Share> {
        let own = self.streamers.get(streamer).and_then(|by_day| in_force(by_day, day));
        own.or_else(|| in_force(&self.default_terms, day)).copied()
    }

    /// The guild to which a streamer belonged on `day`.
    pub fn guild_of(&self, streamer: &StreamerId, day: NaiveDate) -> Option<&GuildId> {
        in_force(self.memberships.get(streamer)?, day)?.as_ref()
    }

    /// What a guild is paid for gifts of `day` to its streamers.
    pub fn guild_share(&self, guild: &GuildId, day: NaiveDate) -> Option<Share> {
        in_force(self.guilds.get(guild)?, day).copied()
    }
}

/// What the latest entry up to `day` says.
fn in_force<T>(by_day: &ByDay<T>, day: NaiveDate) -> Option<&T> {
    by_day.range(..=day).next_back().map(|(_, held)| held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, change, day};

    /// Version, part, whether it is the last, changes.
    type Part<'a> = (u64, u32, bool, &'a [&'a str]);

    fn fold(parts: &[Part<'_>]) -> Reference {
        let mut sample = Sample::new(1);
        for (version, part, last, changes) in parts {
            sample.publish(*version, *part, *last, changes.iter().map(|text| change(text)).collect());
        }
        let mut reference = Reference::new();
        for record in &sample.records() {
            reference.apply(record);
        }
        reference
    }

    const ROSE: &str = r#"{"item": {"item": "rose", "price": 10, "value": 10}}"#;

    #[test]
    fn a_version_counts_once_its_last_part_is_published() {
        let withdraw = r#"{"withdraw_item": "rose"}"#;
        let cases: [(&[Part<'_>], u64, usize); 5] = [
            (&[], 0, 0),
            (&[(1, 0, false, &[ROSE])], 0, 0),
            (&[(1, 0, false, &[ROSE]), (1, 1, true, &[])], 1, 1),
            (&[(1, 0, true, &[ROSE]), (2, 0, false, &[withdraw])], 1, 1),
            (&[(1, 0, true, &[ROSE]), (2, 0, false, &[]), (2, 0, true, &[withdraw])], 2, 0),
        ];
        for (parts, version, items) in cases {
            let reference = fold(parts);
            assert_eq!((reference.version(), reference.items().count()), (version, items), "{parts:?}");
        }
    }

    #[test]
    fn the_latest_terms_up_to_the_day_hold_and_own_ones_come_first() {
        let reference = fold(&[
            (
                1,
                0,
                true,
                &[
                    r#"{"streamer": {"share": "0.40", "from": "2026-11-01"}}"#,
                    r#"{"streamer": {"share": "0.42", "from": "2026-11-20"}}"#,
                    r#"{"streamer": {"streamer": "s1", "share": "0.50", "from": "2026-11-10"}}"#,
                ],
            ),
            (2, 0, true, &[r#"{"streamer": {"streamer": "s1", "share": "0.55", "from": "2026-11-10"}}"#]),
        ]);
        let cases = [
            ("s1", "2026-10-31", None),
            ("s1", "2026-11-01", Some("0.4")),
            ("s1", "2026-11-09", Some("0.4")),
            ("s1", "2026-11-10", Some("0.55")), // version 2 replaced 0.50
            ("s1", "2026-11-30", Some("0.55")), // own terms, though the default ones are later
            ("s2", "2026-11-19", Some("0.4")),
            ("s2", "2026-11-20", Some("0.42")),
        ];
        for (streamer, on, share) in cases {
            let found = reference.streamer_share(&streamer.parse().unwrap(), day(on));
            assert_eq!(found, share.map(|share| share.parse().unwrap()), "{streamer} on {on}");
        }
        assert_eq!(reference.streamer_terms().count(), 3);
    }

    #[test]
    fn a_streamer_changes_guild_and_leaves() {
        let reference = fold(&[(
            1,
            0,
            true,
            &[
                r#"{"membership": {"streamer": "s1", "guild": "g1", "from": "2026-11-01"}}"#,
                r#"{"membership": {"streamer": "s1", "guild": "g2", "from": "2026-11-16"}}"#,
                r#"{"membership": {"streamer": "s1", "guild": null, "from": "2026-12-01"}}"#,
                r#"{"guild": {"guild": "g1", "share": "0.1", "from": "2026-11-01"}}"#,
            ],
        )]);
        let cases = [
            ("2026-10-31", None),
            ("2026-11-15", Some("g1")),
            ("2026-11-16", Some("g2")),
            ("2026-11-30", Some("g2")),
            ("2026-12-01", None),
        ];
        for (on, guild) in cases {
            let found = reference.guild_of(&"s1".parse().unwrap(), day(on));
            assert_eq!(found.map(GuildId::as_str), guild, "on {on}");
        }
        let share = |guild: &str, on| reference.guild_share(&guild.parse().unwrap(), day(on));
        assert_eq!(share("g1", "2026-11-15"), Some("0.1".parse().unwrap()));
        assert_eq!(share("g1", "2026-10-31"), None);
        assert_eq!(share("g2", "2026-11-15"), None);
        assert_eq!((reference.memberships().count(), reference.guild_terms().count()), (3, 1));
    }
}
