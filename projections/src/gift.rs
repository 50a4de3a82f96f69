//! What a record changed about gifts: each gift, refund or roll-back as a step from before to after.
//!
//! A refund's record carries the order after it and what it took, so what stood before is their sum,
//! and no fold has to remember orders.

use schemas::{ActivityId, Event, Order, OrderKind, Record, ShareHeld, StreamerId, Timestamp, UserId};
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

/// The steps of a record; none where it moved no gift.
pub(crate) fn gift_changes(record: &Record) -> impl Iterator<Item = GiftChange<'_>> {
    let sender = record.subject.user();
    record.events().filter_map(move |(_, event)| change_of(sender?, record.happened_at(), event))
}

fn change_of<'a>(sender: &'a UserId, happened_at: Timestamp, event: &'a Event) -> Option<GiftChange<'a>> {
    match event {
        Event::GiftGiven(gift) => Some(GiftChange {
            sender,
            given_at: happened_at,
            activity: gift.activity.as_ref(),
            charged: Step { before: 0, after: gift.charged.signed() },
            shares: steps(&gift.shares, &gift.shares, 1),
        }),
        Event::Refunded(refund) => moved(sender, &refund.order, &refund.taken, refund.coins.signed(), -1),
        Event::RefundRolledBack(back) => {
            let again = sum(&back.taken) + sum(&back.unexpired);
            moved(sender, &back.order, &back.given, again, 1)
        }
        _ => None,
    }
}

/// A step that left `order`, having moved `coins` and `shares` with `sign`.
fn moved<'a>(
    sender: &'a UserId,
    order: &'a Order,
    shares: &'a [ShareHeld],
    coins: i128,
    sign: i128,
) -> Option<GiftChange<'a>> {
    let OrderKind::Gift { shares: held, given_at, activity, .. } = &order.kind else { return None };
    let after = order.left.signed();
    Some(GiftChange {
        sender,
        given_at: *given_at,
        activity: activity.as_ref(),
        charged: Step { before: after - sign * coins, after },
        shares: steps(held, shares, sign),
    })
}

/// From what is `held` after and what was `moved` with `sign`: the steps, by recipient in the order named.
fn steps<'a>(held: &'a [ShareHeld], moved: &'a [ShareHeld], sign: i128) -> SmallVec<[ShareChange<'a>; 1]> {
    fn find<'s, 'a>(steps: &'s mut SmallVec<[ShareChange<'a>; 1]>, of: &'a StreamerId) -> &'s mut ShareChange<'a> {
        let at = steps.iter().position(|step| step.streamer == of).unwrap_or_else(|| {
            steps.push(ShareChange { streamer: of, value: Step::default(), base: Step::default() });
            steps.len() - 1
        });
        &mut steps[at]
    }
    let mut steps = SmallVec::new();
    for share in held {
        let step = find(&mut steps, &share.streamer);
        step.value.after += share.value.signed();
        step.base.after += share.base.signed();
        step.value.before += share.value.signed();
        step.base.before += share.base.signed();
    }
    for share in moved {
        let step = find(&mut steps, &share.streamer);
        step.value.before -= sign * share.value.signed();
        step.base.before -= sign * share.base.signed();
    }
    steps
}

fn sum(lots: &[schemas::Lot]) -> i128 {
    lots.iter().map(|lot| lot.coins.signed()).sum()
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
        assert_eq!(shown(&records[2]), ["a 3→6 base 2→6", "b 1→2 base 0→0"]);
        let charged = |record| gift_changes(record).map(|change| change.charged).next();
        assert_eq!(charged(&records[1]), Some(Step { before: 4, after: 2 }));
        assert_eq!(charged(&records[2]), Some(Step { before: 2, after: 4 }));
        assert!(gift_changes(&records[1]).all(|change| change.given_at == at(1, 0)));
    }

    #[test]
    fn a_share_that_the_order_no_longer_names_ends_all_the_same() {
        let mut sample = Sample::new(1);
        let gift = sample.gift("u1", at(1, 0), &[("a", 6)], 6, 0);
        sample.refund(gift, 6, at(2, 0));
        let mut record = sample.records().remove(1);
        let schemas::Body::Event(event) = &mut record.body else { panic!("a refusal") };
        let Event::Refunded(refund) = event.as_mut() else { panic!("no refund") };
        let OrderKind::Gift { shares, .. } = &mut refund.order.kind else { panic!("no gift") };
        shares.clear();
        assert_eq!(shown(&record), ["a 6→0 base 6→0"]);
    }
}
