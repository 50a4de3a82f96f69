//! The reference data that holds at one instant: catalogue, books, terms and memberships.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use schemas::{
    Change, Entity, GiftItem, GuildId, GuildTerms, ItemId, Membership, Share, StreamerId, StreamerTerms, Timestamp,
};

use super::Version;

/// What holds at one instant. Days are those of the entity's zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    at: Timestamp,
    version: u64,
    from: Option<Timestamp>,
    items: BTreeMap<ItemId, GiftItem>,
    entity: Option<Entity>,
    default_terms: ByDay<Share>,
    streamers: BTreeMap<StreamerId, ByDay<Share>>,
    guilds: BTreeMap<GuildId, ByDay<Share>>,
    memberships: BTreeMap<StreamerId, ByDay<Option<GuildId>>>,
}

/// What holds from a day on, until the next one.
type ByDay<T> = BTreeMap<NaiveDate, T>;

impl InForce {
    /// Before the first version.
    pub(super) fn nothing(at: Timestamp) -> Self {
        Self {
            at,
            version: 0,
            from: None,
            items: BTreeMap::new(),
            entity: None,
            default_terms: ByDay::new(),
            streamers: BTreeMap::new(),
            guilds: BTreeMap::new(),
            memberships: BTreeMap::new(),
        }
    }

    /// Takes the next version in the order in which they were published.
    pub(super) fn take_version(&mut self, version: &Version) {
        self.version = version.number;
        self.from = Some(version.starts);
        version.changes.iter().cloned().for_each(|change| self.take(change));
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

    /// The instant.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The newest version that holds; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Since when that version holds.
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

    /// An item that can be bought at this instant: in the catalogue, and between its own `from` and `until`.
    pub fn on_sale(&self, item: &ItemId) -> Option<&GiftItem> {
        let on_sale = |item: &&GiftItem| {
            item.from.is_none_or(|from| from <= self.at) && item.until.is_none_or(|until| self.at < until)
        };
        self.item(item).filter(on_sale)
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
