//! Chargebacks that found less than they had to take.

use std::collections::BTreeMap;

use schemas::{ChannelId, Coins, Event, Lots, Record, Timestamp, TransactionId, UserId};
use serde::Serialize;

/// Every chargeback that left a debt, by user.
///
/// What pays a debt (a later top-up, a refund) pays the user's oldest first. All records of a user
/// stand in one shard, so their order is certain.
#[derive(Debug, Clone, Default)]
pub struct Debts {
    users: BTreeMap<UserId, Vec<Debt>>,
}

/// A chargeback that left a debt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Debt {
    /// Who owes.
    pub user: UserId,
    /// The channel that gave the payment back.
    pub channel: ChannelId,
    /// Its number of the payment.
    pub transaction: TransactionId,
    /// When it happened.
    pub happened_at: Timestamp,
    /// What was not there to take.
    pub debt: Coins,
    /// What of it is still owed.
    pub left: Coins,
}

impl Debts {
    /// Before the first record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what a record leaves or pays of debts.
    pub fn apply(&mut self, record: &Record) {
        let Some(user) = record.subject.user() else { return };
        for (_, event) in record.events() {
            match event {
                Event::ChargedBack(back) if back.debt.is_zero() => {}
                Event::ChargedBack(back) => {
                    self.users.entry(user.clone()).or_default().push(Debt {
                        user: user.clone(),
                        channel: back.channel.clone(),
                        transaction: back.transaction.clone(),
                        happened_at: record.happened_at(),
                        debt: back.debt,
                        left: back.debt,
                    });
                }
                Event::TopUpCredited(credit) => self.pay(user, credit.debt_paid),
                Event::Reinstated(reinstated) => self.pay(user, reinstated.debt_paid),
                Event::Captured(captured) => self.pay_lots(user, &captured.released.debt_paid),
                Event::Released(released) => self.pay_lots(user, &released.released.debt_paid),
                Event::Refunded(refund) => self.pay_lots(user, &refund.returned.debt_paid),
                Event::ReferencePublished(_)
                | Event::ReferenceTaken(_)
                | Event::TopUpClaimed(_)
                | Event::ChargebackClaimed(_)
                | Event::Granted(_)
                | Event::LotExpired(_)
                | Event::GiftGiven(_)
                | Event::Held(_)
                | Event::Sent(_)
                | Event::Queried(_)
                | Event::Unresolved(_)
                | Event::HandedOver(_)
                | Event::RefundRolledBack(_)
                | Event::ChargebackRemembered(_)
                | Event::TopUpReversed(_)
                | Event::ReinstateRemembered(_)
                | Event::ReinstateClaimed(_)
                | Event::Group(_) => {}
            }
        }
    }

    /// Each lot by itself: their sum may be more than one amount holds.
    fn pay_lots(&mut self, user: &UserId, paid: &Lots) {
        paid.iter().for_each(|lot| self.pay(user, lot.coins));
    }

    fn pay(&mut self, user: &UserId, paid: Coins) {
        let mut paid = paid;
        for debt in self.users.get_mut(user).into_iter().flatten() {
            let piece = debt.left.min(paid);
            (debt.left, paid) = (debt.left.less(piece), paid.less(piece));
        }
    }

    /// All of them, by user, oldest first; those that were paid since included.
    pub fn iter(&self) -> impl Iterator<Item = &Debt> {
        self.users.values().flatten()
    }

    /// What `user` still owes.
    pub fn owed_by(&self, user: &UserId) -> i128 {
        self.users.get(user).into_iter().flatten().map(|debt| debt.left.signed()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn chargebacks_that_left_debt_are_listed_and_paid_oldest_first() {
        let mut sample = Sample::new(16);
        sample.chargeback("u1", 200, 0, "5.00 CNY", "t1");
        sample.chargeback("u1", 700, 300, "10.00 CNY", "t2");
        sample.chargeback("u1", 0, 100, "1.00 CNY", "t3");
        sample.chargeback("u0", 0, 7, "0.07 CNY", "t4");
        let fold = |sample: &Sample| {
            let mut debts = Debts::new();
            for record in &sample.records() {
                debts.apply(record);
            }
            debts
        };
        let shown = |debts: &Debts| -> Vec<(String, u64, u64)> {
            debts.iter().map(|d| (format!("{} {}", d.user, d.transaction), d.debt.get(), d.left.get())).collect()
        };
        let line = |who: &str, debt, left| (who.to_owned(), debt, left);
        assert_eq!(shown(&fold(&sample)), [line("u0 t4", 7, 7), line("u1 t2", 300, 300), line("u1 t3", 100, 100)]);
        sample.top_up("u1", 500, "5.00 CNY", "t5");
        sample.which_paid_debt("u1", 350);
        let debts = fold(&sample);
        assert_eq!(shown(&debts), [line("u0 t4", 7, 7), line("u1 t2", 300, 0), line("u1 t3", 100, 50)]);
        assert_eq!(debts.owed_by(&"u1".parse().unwrap()), 50);
    }
}
