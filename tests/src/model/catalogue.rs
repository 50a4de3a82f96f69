//! What is sold, as one shard has taken it.

use schemas::{Change, GiftItem, ItemId, Publish, Rejection, Timestamp};

/// The versions that a shard took, each with when it began to hold.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    versions: Vec<(Timestamp, Publish)>,
}

impl Catalogue {
    /// Takes a version: it holds from when it says, though not before now.
    pub fn take(&mut self, publish: Publish, now: Timestamp) {
        self.versions.push((publish.from.max(now), publish));
    }

    /// At which conditions an item is sold now.
    pub fn on_sale(&self, item: &ItemId, now: Timestamp) -> Result<GiftItem, Rejection> {
        let in_force = self.versions.iter().filter(|(from, _)| *from <= now);
        let changes = in_force.flat_map(|(_, publish)| &publish.changes);
        let mut sold = None;
        for change in changes {
            match change {
                Change::Item(changed) if changed.item == *item => sold = Some(changed.clone()),
                Change::WithdrawItem(withdrawn) if withdrawn == item => sold = None,
                _ => {}
            }
        }
        // What a version has named, be it sold later or withdrawn, is known.
        let mut all = self.versions.iter().flat_map(|(_, publish)| &publish.changes);
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
