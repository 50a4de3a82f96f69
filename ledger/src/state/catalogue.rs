//! The gifts on sale as one shard knows them: what its decisions read of the reference data.

use std::collections::BTreeMap;

use schemas::{Change, GiftItem, ItemId, ReferenceTaken, Rejection, Timestamp};
use serde::{Deserialize, Serialize};

/// The items with the versions that hold now or will hold later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    version: u64,
    /// Parts of a version whose last part has not come.
    staged: Vec<Change>,
    items: BTreeMap<ItemId, Vec<Offer>>,
}

/// An item's conditions from an instant on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The version of the reference data that made it.
    pub version: u64,
    /// From when it holds.
    pub from: Timestamp,
    /// The conditions; absent once withdrawn.
    pub item: Option<GiftItem>,
}

impl Catalogue {
    /// The version that was taken last.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What an item is sold at, at `now`.
    pub fn offer(&self, item: &ItemId, now: Timestamp) -> Result<(&Offer, &GiftItem), Rejection> {
        let offers = self.items.get(item).ok_or(Rejection::ItemNotFound)?;
        let offer = offers.iter().rev().find(|offer| offer.from <= now).ok_or(Rejection::ItemNotOnSale)?;
        let item = offer.item.as_ref().ok_or(Rejection::ItemNotOnSale)?;
        let on_sale = item.from.is_none_or(|from| from <= now) && item.until.is_none_or(|until| now < until);
        if on_sale { Ok((offer, item)) } else { Err(Rejection::ItemNotOnSale) }
    }

    /// Takes a part of a version; with the last one the version holds, though not before `time`.
    pub(super) fn take(&mut self, taken: &ReferenceTaken, time: Timestamp) {
        if taken.part == 0 {
            self.staged.clear(); // the version starts anew: what had come of it is given up
        }
        self.staged.extend(taken.changes.iter().cloned());
        if !taken.last {
            return;
        }
        self.version = taken.version;
        let from = taken.from.max(time);
        for change in std::mem::take(&mut self.staged) {
            let (key, item) = match change {
                Change::Item(item) => (item.item.clone(), Some(item)),
                Change::WithdrawItem(item) => (item, None),
                Change::Entity(_) | Change::Streamer(_) | Change::Guild(_) | Change::Membership(_) => continue,
            };
            let offers = self.items.entry(key).or_default();
            // What this one replaces from `from` on, and what no later decision can reach any more.
            offers.retain(|offer| offer.from < from);
            if let Some(current) = offers.iter().rposition(|offer| offer.from <= time) {
                offers.drain(..current);
            }
            offers.push(Offer { version: taken.version, from, item });
        }
    }
}
