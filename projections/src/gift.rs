//! What a record changed about gifts: each gift, refund or roll-back as a step from before to after.
//!
//! A refund's record carries the order as it left it and what each of its events took, so what stood before
//! each is their sum, and no fold has to remember orders.

use schemas::{ActivityId, Event, GiftGiven, Order, OrderId, OrderKind, Record, StreamerId, Timestamp, UserId};
use smallvec::SmallVec;

/// What one event changed about one gift.
pub(crate) struct GiftChange<'a> {
    /// Who gave it.
    pub sender: &'a UserId,
    /// When it was given, whenever this change was made.
    pub given_at: Timestamp,
    /// The campaign that it named.
    pub activity: Option<&'a ActivityId>,
    /// What the sender was charged and did not get back.
    pub charged: Step,
    /// What each recipient holds of it, each named once.
    pub shares: SmallVec<[ShareChange<'a>; 1]>,
}

/// What one event changed about a recipient's share.
pub(crate) struct ShareChange<'a> {
    /// Who.
    pub streamer: &'a StreamerId,
    /// Of the recipient value.
    pub value: Step,
    /// Of the paid base.
    pub base: Step,
}

/// An amount before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub before: i128,
    pub after: i128,
}

impl Step {
    /// What was added; negative if taken.
    pub fn change(self) -> i128 {
        self.after - self.before
    }

    /// 1 if there is something where there was nothing, −1 the other way round, else 0.
    pub fn standing(self) -> i64 {
        i64::from(self.after > 0) - i64::from(self.before > 0)
    }
}

/// The steps of a record in the order in which they happened; none where it moved no gift.
pub(crate) fn gift_changes(record: &Record) -> impl Iterator<Item = GiftChange<'_>> {
    let sender = record.subject.user();
    // Of each order the record shows what it left. So the events are walked from the last to the first, and
    // what stood before one is what stands after the one before it.
    let mut standing: Vec<Standing> = Vec::new();
    let mut changes: SmallVec<[GiftChange<'_>; 1]> = SmallVec::new();
    for (part, event) in record.events().collect::<SmallVec<[_; 1]>>().into_iter().rev() {
        changes.extend(sender.and_then(|sender| change_of(record, sender, part, event, &mut standing)));
    }
    changes.into_iter().rev()
}

/// What stands of a gift at some time.
struct Standing {
    order: OrderId,
    charged: i128,
    /// By recipient in the order named: value and base.
    shares: SmallVec<[(i128, i128); 1]>,
}

impl Standing {
    fn of(order: &Order) -> Self {
        let shares = order.shares().iter().map(|share| (share.value.signed(), share.base.signed())).collect();
        Self { order: order.id, charged: order.left.signed(), shares }
    }
}

fn change_of<'a>(
    record: &'a Record,
    sender: &'a UserId,
    part: u8,
    event: &'a Event,
    standing: &mut Vec<Standing>,
) -> Option<GiftChange<'a>> {
    let (id, sign, coins, moved) = match event {
        Event::GiftGiven(gift) => return Some(given(sender, record.happened_at(), gift)),
        Event::Refunded(refund) => (refund.order, -1, refund.coins.signed(), &refund.taken),
        Event::RefundRolledBack(back) => {
            let lapsed = back.unexpired.iter().chain(back.unlapsed.iter().map(|unlapsed| &unlapsed.lot));
            let coins = back.taken.iter().chain(lapsed).map(|lot| lot.coins.signed()).sum();
            (back.order, 1, coins, &back.given)
        }
        Event::ReferencePublished(_)
        | Event::ReferenceTaken(_)
        | Event::TopUpClaimed(_)
        | Event::TopUpCredited(_)
        | Event::ChargebackClaimed(_)
        | Event::ChargedBack(_)
        | Event::Granted(_)
        | Event::LotExpired(_)
        | Event::Held(_)
        | Event::Sent(_)
        | Event::Queried(_)
        | Event::Unresolved(_)
        | Event::HandedOver(_)
        | Event::Captured(_)
        | Event::Released(_)
        | Event::ChargebackRemembered(_)
        | Event::TopUpReversed(_)
        | Event::ReinstateRemembered(_)
        | Event::ReinstateClaimed(_)
        | Event::Reinstated(_)
        | Event::Group(_) => return None,
    };
    let order =
        record.moved(id).unwrap_or_else(|| panic!("part {part} moved order {id}, which its record does not show"));
    let OrderKind::Gift { activity, shares: first, .. } = &order.kind else { return None };
    let at = standing.iter().position(|known| known.order == id).unwrap_or_else(|| {
        standing.push(Standing::of(order));
        standing.len() - 1
    });
    let known = &mut standing[at];
    let step = |amount: &mut i128, change: i128| {
        let after = *amount;
        *amount -= sign * change;
        Step { before: *amount, after }
    };
    let charged = step(&mut known.charged, coins);
    let each = first.iter().zip(&mut known.shares).zip(moved);
    let shares = each.map(|((first, (value, base)), moved)| ShareChange {
        streamer: &first.streamer,
        value: step(value, moved.value.signed()),
        base: step(base, moved.base.signed()),
    });
    let shares = shares.collect();
    Some(GiftChange { sender, given_at: order.placed_at, activity: activity.as_ref(), charged, shares })
}

fn given<'a>(sender: &'a UserId, given_at: Timestamp, gift: &'a GiftGiven) -> GiftChange<'a> {
    let from_nothing = |after| Step { before: 0, after };
    let shares = gift.shares.iter().map(|share| ShareChange {
        streamer: &share.streamer,
        value: from_nothing(share.value.signed()),
        base: from_nothing(share.base.signed()),
    });
    let charged = from_nothing(gift.charged.signed());
    GiftChange { sender, given_at, activity: gift.activity.as_ref(), charged, shares: shares.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Sample, at};

    fn shown(record: &Record) -> Vec<String> {
        let share = |share: &ShareChange<'_>| {
            let ShareChange { streamer, value, base } = share;
            format!("{streamer} {}→{} base {}→{}", value.before, value.after, base.before, base.after)
        };
        gift_changes(record).flat_map(|change| change.shares.iter().map(share).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn a_refund_and_its_roll_back_are_steps_from_what_stood_before() {
        let mut sample = Sample::new(1);
        let gift = sample.gift("u1", at(1, 0), &[("a", 6), ("b", 2)], 3, 1);
        sample.refund(gift, 2, at(2, 0));
        sample.roll_back(gift, 2, at(3, 0));
        let records = sample.records();
        assert_eq!(shown(&records[0]), ["a 0→6 base 0→5", "b 0→2 base 0→1"]);
        assert_eq!(shown(&records[1]), ["a 6→3 base 5→2", "b 2→1 base 1→0"]);
        assert_eq!(shown(&records[2]), ["a 3→6 base 2→5", "b 1→2 base 0→1"], "the first shares again");
        let charged = |record| gift_changes(record).map(|change| change.charged).next();
        assert_eq!(charged(&records[1]), Some(Step { before: 4, after: 2 }));
        assert_eq!(charged(&records[2]), Some(Step { before: 2, after: 4 }));
        assert!(gift_changes(&records[1]).all(|change| change.given_at == at(1, 0)));
    }

    /// Values only fall with a refund; which of the recipients the paid base left falls to may change.
    #[test]
    fn a_single_base_may_rise_by_a_coin_with_a_refund() {
        let mut sample = Sample::new(1);
        let gift = sample.gift("u1", at(1, 0), &[("a", 1), ("b", 1), ("c", 5)], 5, 2);
        sample.refund(gift, 2, at(2, 0));
        sample.refund(gift, 1, at(3, 0));
        let records = sample.records();
        assert_eq!(shown(&records[2]), ["a 1→0 base 1→0", "b 1→1 base 0→1", "c 3→3 base 2→1"]);
        let mut tallies = crate::Tallies::new(chrono_tz::Tz::UTC);
        for record in &records {
            tallies.apply(record);
        }
        let last = tallies.lines().filter(|line| line.booked.to_string() == "2026-11-03");
        let bases: Vec<_> = last.map(|line| (line.streamer.to_string(), line.tally.base)).collect();
        assert_eq!(bases, [("a".to_owned(), -1), ("b".to_owned(), 1), ("c".to_owned(), -1)]);
    }
}
