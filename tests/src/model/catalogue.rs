//! The reference data: what is sold, as one shard has taken it, and the versions that say so.

use schemas::{Change, Entity, GiftItem, ItemId, Publish, Rejection, Shard, Subject, Timestamp};

use super::{Dispatched, Done, Model, Place};

/// The versions that a shard took, each with when it began to hold.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    versions: Vec<(Timestamp, Vec<Change>)>,
    /// The changes of a version whose last part has not come.
    parts: Vec<Change>,
}

impl Catalogue {
    /// Takes a part of a version. With the last one the version holds from when that says, though not before
    /// now; a first one gives up what came of the version before.
    pub fn take(&mut self, publish: &Publish, now: Timestamp) {
        if publish.part == 0 {
            self.parts.clear();
        }
        self.parts.extend(publish.changes.iter().cloned());
        if publish.last {
            self.versions.push((publish.from.max(now), std::mem::take(&mut self.parts)));
        }
    }

    /// At which conditions an item is sold now.
    pub fn on_sale(&self, item: &ItemId, now: Timestamp) -> Result<GiftItem, Rejection> {
        let in_force = self.versions.iter().filter(|(from, _)| *from <= now);
        let mut sold = None;
        for change in in_force.flat_map(|(_, changes)| changes) {
            match change {
                Change::Item(changed) if changed.item == *item => sold = Some(changed.clone()),
                Change::WithdrawItem(withdrawn) if withdrawn == item => sold = None,
                _ => {}
            }
        }
        // What a version has named, be it sold later or withdrawn, is known.
        let mut all = self.versions.iter().flat_map(|(_, changes)| changes);
        let known = all.any(|change| match change {
            Change::Item(named) => named.item == *item,
            Change::WithdrawItem(named) => named == item,
            _ => false,
        });
        let missing = if known { Rejection::ItemNotOnSale } else { Rejection::ItemNotFound };
        let on_sale = sold.ok_or(missing)?;
        let early = on_sale.from.is_some_and(|from| now < from);
        let late = on_sale.until.is_some_and(|until| now >= until);
        if early || late { Err(Rejection::ItemNotOnSale) } else { Ok(on_sale) }
    }
}

/// How far the versions have come.
#[derive(Debug, Clone, Default)]
pub(super) struct Versions {
    /// The last whole one.
    whole: u64,
    /// How many parts there are of the next one.
    parts: u32,
    entity: Option<Entity>,
    /// The entity that the next one sets, as far as it has come.
    coming: Option<Entity>,
}

impl Model {
    pub(super) fn publish(&mut self, at: &Place, publish: &Publish) -> Result<Done, Rejection> {
        let Versions { whole, parts, entity, coming } = self.versions.clone();
        // The next part goes on, the first one begins anew.
        if publish.version != whole + 1 || (publish.part != parts && publish.part != 0) {
            return Err(Rejection::VersionNotNext { version: whole + 1, part: parts });
        }
        let coming = if publish.part == 0 { None } else { coming };
        let mut named = entity.or(coming);
        for change in &publish.changes {
            let Change::Entity(set) = change else { continue };
            let Entity { currency, zone, coins_per_unit } = *named.get_or_insert(*set);
            if named != Some(*set) {
                return Err(Rejection::EntityFixed { currency, zone, coins_per_unit });
            }
        }
        self.versions = if publish.last {
            Versions { whole: whole + 1, parts: 0, entity: named, coming: None }
        } else {
            Versions { whole, parts: publish.part + 1, entity, coming: named }
        };
        for target in 0..self.shards {
            self.dispatch(at, Subject::Reference, target, Dispatched::Reference(publish.clone()));
        }
        Ok(Done::plain("reference_published"))
    }

    pub(super) fn take_reference(&mut self, shard: Shard, publish: &Publish, now: Timestamp) {
        self.catalogues[usize::from(shard)].take(publish, now);
    }

    /// The last whole version of the reference data, and how many parts there are of the next one.
    pub fn version(&self) -> (u64, u32) {
        (self.versions.whole, self.versions.parts)
    }
}
