//! Gifts: what is charged, what the recipients are credited with, and what of it pays out.

use schemas::{Coins, Event, FirstShare, Gift, GiftGiven, Rejection, ShareHeld, StreamerId, held_shares, paid_of};
use smallvec::SmallVec;

use super::{Decided, Desk};

impl Desk<'_> {
    pub(super) fn gift(&self, gift: &Gift) -> Result<Decided, Rejection> {
        let (offer, item) = self.catalogue.offer(&gift.item, self.now)?;
        if gift.expected_price.is_some_and(|expected| expected != item.price) {
            return Err(Rejection::PriceChanged { price: item.price });
        }
        if let Some(order) = self.prefetched.combo {
            return Err(Rejection::ComboCounted { order });
        }
        let amount = |one: Coins| one.times(gift.quantity).map_err(|_| Rejection::AmountTooLarge);
        let charged = amount(item.price);
        let value = amount(item.value);
        // Debt and missing funds come before an amount that could never be paid.
        let used = self.spend(*charged.as_ref().unwrap_or(&Coins::MAX))?;
        let (charged, value) = (charged?, value?);
        let base = value.portion_floor(paid_of(&used), charged);
        Ok(Decided::only(Event::GiftGiven(GiftGiven {
            item: gift.item.clone(),
            version: offer.version,
            quantity: gift.quantity,
            price: item.price,
            charged,
            shares: shares(gift, value, base),
            used,
            room: gift.room.clone(),
            combo: gift.combo.clone(),
            activity: gift.activity.clone(),
        })))
    }
}

/// Splits value and base among the recipients; the house receives what names nobody.
fn shares(gift: &Gift, value: Coins, base: Coins) -> SmallVec<[ShareHeld; 1]> {
    let single = |streamer| SmallVec::from_buf([ShareHeld { streamer, value, base }]);
    match &gift.to[..] {
        [] => single(StreamerId::house()),
        [only] => single(only.streamer.clone()),
        several => {
            let weights: Vec<u64> = several.iter().map(|r| r.weight.into()).collect();
            let values = schemas::split_by_largest_remainder(value, &weights);
            let each = several.iter().zip(values);
            let first: Vec<_> = each.map(|(r, value)| FirstShare { streamer: r.streamer.clone(), value }).collect();
            held_shares(&first, value, base)
        }
    }
}
