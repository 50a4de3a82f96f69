//! Gifts: what is charged, what the recipients are credited with, and what of it pays out.

use schemas::{Coins, Event, Gift, GiftGiven, Rejection, ShareHeld, StreamerId, split_by_largest_remainder};
use smallvec::SmallVec;

use super::Desk;

impl Desk<'_> {
    pub(super) fn gift(&self, gift: &Gift) -> Result<Event, Rejection> {
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
        let paid = used.iter().filter(|lot| lot.kind.is_paid()).map(|lot| lot.coins);
        let paid = paid.fold(Coins::ZERO, |sum, coins| sum.plus(coins).expect("no more than was charged"));
        Ok(Event::GiftGiven(GiftGiven {
            item: gift.item.clone(),
            version: offer.version,
            quantity: gift.quantity,
            price: item.price,
            charged,
            shares: shares(gift, value, value.portion_floor(paid, charged)),
            used,
            room: gift.room.clone(),
            combo: gift.combo.clone(),
            activity: gift.activity.clone(),
        }))
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
            let values = split_by_largest_remainder(value, &weights);
            let bases = split_like(base, &values);
            let each = several.iter().zip(values).zip(bases);
            each.map(|((r, value), base)| ShareHeld { streamer: r.streamer.clone(), value, base }).collect()
        }
    }
}

/// Splits `total` in proportion to `parts`; nothing if they are all zero, which only no value can be.
pub(super) fn split_like(total: Coins, parts: &[Coins]) -> Vec<Coins> {
    let weights: Vec<u64> = parts.iter().map(|part| part.get()).collect();
    if weights.iter().all(|&weight| weight == 0) {
        return vec![Coins::ZERO; parts.len()];
    }
    split_by_largest_remainder(total, &weights)
}
