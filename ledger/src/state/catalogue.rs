//! The gifts on sale as one shard knows them: what its decisions read of the reference data.

use std::{cmp::Ordering, sync::Arc};

use schemas::{Change, GiftItem, ItemId, ReferenceTaken, Rejection, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};
use smallvec::{SmallVec, smallvec};

use super::sorted::Sorted;

/// The items with the versions that hold now or will hold later. Shards that have taken the same versions keep
/// what is equal once: see [`Catalogue::share`].
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    version: u64,
    /// Parts of a version whose last part has not come.
    staged: Vec<Arc<Vec<Change>>>,
    items: Sorted<Item>,
}

/// An item with its conditions, the later ones behind; nearly always one, which stands right here: a version copies
/// the items around those that it changes, once for each shard.
type Item = (ItemId, SmallVec<[Offer; 1]>);

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
        let (_, offers) = self.items.get(called(item)).ok_or(Rejection::ItemNotFound)?;
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
        self.staged.push(Arc::new(taken.changes.clone()));
        if !taken.last {
            return;
        }
        self.version = taken.version;
        let from = taken.from.max(time);
        for change in std::mem::take(&mut self.staged).iter().flat_map(|part| part.iter()) {
            let (key, item) = match change {
                Change::Item(item) => (&item.item, Some(item.clone())),
                Change::WithdrawItem(item) => (item, None),
                Change::Entity(_) | Change::Streamer(_) | Change::Guild(_) | Change::Membership(_) => continue,
            };
            let offer = Offer { version: taken.version, from, item };
            let Some((_, offers)) = self.items.get_mut(called(key)) else {
                self.items.put((key.clone(), smallvec![offer]), called(key));
                continue;
            };
            // What this one replaces from `from` on, and what no later decision can reach any more.
            offers.retain(|offer| offer.from < from);
            if let Some(current) = offers.iter().rposition(|offer| offer.from <= time) {
                offers.drain(..current);
            }
            offers.push(offer);
        }
    }

    fn staged(&self) -> impl Iterator<Item = &Change> {
        self.staged.iter().flat_map(|part| part.iter())
    }

    /// Whether both have come as far.
    pub(super) fn is_as_far_as(&self, other: &Self) -> bool {
        (self.version, self.staged.len()) == (other.version, other.staged.len())
    }

    /// Keeps only once what another shard has as well: each shard folds its own records, and so comes to items of
    /// its own.
    pub(super) fn share(&mut self, other: &Self) {
        self.items.share(&other.items);
        for (own, other) in self.staged.iter_mut().zip(&other.staged) {
            if own == other {
                own.clone_from(other);
            }
        }
    }
}

/// How items compare with the one of that name.
fn called(item: &ItemId) -> impl Fn(&Item) -> Ordering {
    move |(name, _)| name.cmp(item)
}

/// The same, however it is kept.
impl PartialEq for Catalogue {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.items == other.items && self.staged().eq(other.staged())
    }
}
impl Eq for Catalogue {}

/// Version, staged changes and items, however they are kept.
impl Serialize for Catalogue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let staged: Vec<&Change> = self.staged().collect();
        let items: Vec<&Item> = self.items.iter().collect();
        let mut catalogue = serializer.serialize_struct("Catalogue", 3)?;
        catalogue.serialize_field("version", &self.version)?;
        catalogue.serialize_field("staged", &staged)?;
        catalogue.serialize_field("items", &items)?;
        catalogue.end()
    }
}

/// Refuses what no catalogue is: items that do not rise by name.
impl<'de> Deserialize<'de> for Catalogue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Catalogue")]
        struct Plain {
            version: u64,
            staged: Vec<Change>,
            items: Vec<Item>,
        }
        let Plain { version, staged, items } = Plain::deserialize(deserializer)?;
        if !items.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(de::Error::custom("the items of a catalogue stand in the order of their names"));
        }
        let staged = if staged.is_empty() { Vec::new() } else { vec![Arc::new(staged)] };
        Ok(Self { version, staged, items: items.into() })
    }
}

#[cfg(test)]
mod tests {
    use schemas::Coins;

    use super::*;

    fn version(version: u64, part: u32, last: bool, changes: Vec<Change>) -> ReferenceTaken {
        ReferenceTaken { version, part, last, from: Timestamp::from_nanos(100), changes }
    }

    fn item(number: u64, price: u64) -> Change {
        let (item, price) = (ItemId::new(&format!("i{number:06}")).unwrap(), Coins::new(price).unwrap());
        Change::Item(GiftItem { item, price, value: price, from: None, until: None })
    }

    /// Forty thousand items in sixteen shards were kept sixteen times: 300 MiB.
    #[test]
    fn shards_keep_the_same_items_once() {
        let (first, second) = ((0..3_000).map(|n| item(n, 1)).collect(), (3_000..5_000).map(|n| item(n, 1)).collect());
        let parts = [version(1, 0, false, first), version(1, 1, true, second)];
        let mut shards = [Catalogue::default(), Catalogue::default(), Catalogue::default()];
        for part in &parts {
            for (at, shard) in (1_i64..).zip(&mut shards) {
                shard.take(part, Timestamp::from_nanos(at));
            }
            let [one, others @ ..] = &mut shards;
            for other in &mut *others {
                other.share(one);
            }
            let staged = |shard: &Catalogue| shard.staged.first().map(Arc::as_ptr);
            assert_eq!(staged(one), staged(&others[1]));
        }
        let [one, two, three] = &mut shards;
        assert_eq!(two.items.shared_with(&one.items), (10, 10));
        assert_eq!((&*one, &*one), (&*two, &*three));

        // A version of one item: what it does not touch stays shared.
        let bytes = postcard::to_stdvec(one).unwrap();
        let next = version(2, 0, true, vec![item(7, 5)]);
        two.take(&next, Timestamp::from_nanos(200));
        assert_eq!(two.items.shared_with(&one.items), (9, 10));
        assert_eq!(postcard::to_stdvec(one).unwrap(), bytes, "one shard's version is not another's");
        one.take(&next, Timestamp::from_nanos(200));
        two.share(one);
        assert_eq!(two.items.shared_with(&one.items), (10, 10));
        let restored: Catalogue = postcard::from_bytes(&postcard::to_stdvec(two).unwrap()).unwrap();
        assert_eq!(&restored, two);
        let now = Timestamp::from_nanos(300);
        let price = |n: u64| restored.offer(&format!("i{n:06}").parse().unwrap(), now).unwrap().1.price.get();
        assert_eq!([price(6), price(7), price(4_999)], [1, 5, 1]);
    }
}
