//! What arrives at and leaves a wallet other than by orders.

use schemas::{
    ChargedBack, Coins, Credit, Event, ExpireLot, GiveBack, Grant, Granted, Lot, LotExpired, LotId, LotKind, Lots,
    Reinstated, Rejection, Shard, Subject, TakeBack, TopUpCredited,
};

use super::{Desk, at_most_max};
use crate::state::gather;

impl Desk<'_> {
    pub(super) fn grant(&self, grant: &Grant) -> Result<Event, Rejection> {
        match grant.expires {
            Some(expires) if expires <= self.now => Err(Rejection::DeadlinePassed { deadline: expires }),
            expires => Ok(Event::Granted(Granted { coins: grant.coins, expires, reason: grant.reason.clone() })),
        }
    }

    /// Never refused: the money was taken. A debt is paid first.
    pub(super) fn credit(&self, credit: &Credit) -> Event {
        let debt_paid = at_most_max(self.user.wallet().debt()).min(credit.coins);
        Event::TopUpCredited(TopUpCredited {
            source: self.claimed_in(&credit.channel, &credit.transaction),
            coins: credit.coins,
            debt_paid,
            channel: credit.channel.clone(),
            transaction: credit.transaction.clone(),
        })
    }

    /// What is left of the payment's own lot, then other paid lots, newest first; bonus lots stay;
    /// the rest is debt.
    pub(super) fn take_back(&self, take_back: &TakeBack) -> Event {
        let own = self.own_lot();
        let wallet = self.user.wallet();
        let first = wallet.same_lot(&Lot { id: own, kind: LotKind::Paid, coins: Coins::ZERO });
        // Paid lots burn last, the newest at the end.
        let others = wallet.lots().rev().take_while(|lot| lot.kind.is_paid()).filter(|lot| lot.id != own);
        let order = first.into_iter().chain(others);
        // Beyond the lots that one record holds, the rest is debt as well: it is paid by the next top-up.
        let (taken, debt) = gather(order.take(super::MAX_LOTS), take_back.coins);
        Event::ChargedBack(ChargedBack {
            source: self.claimed_in(&take_back.channel, &take_back.transaction),
            taken,
            debt,
            channel: take_back.channel.clone(),
            transaction: take_back.transaction.clone(),
        })
    }

    /// Never refused: the dispute was won. A debt is paid first; what is left refills the lots that the chargeback
    /// took from, the last one taken first. What it had made debt and is paid by now is a new lot: refunds may
    /// still fill the payment's own one, and no lot ever exceeds what it began with.
    pub(super) fn give_back_payment(&self, give_back: &GiveBack) -> Event {
        let charged_back = self.prefetched.charged_back.as_ref().expect("a reinstatement follows its chargeback");
        let debt_paid = at_most_max(self.user.wallet().debt()).min(give_back.coins);
        let (mut left, mut restored) = (give_back.coins.less(debt_paid), Lots::new());
        for lot in charged_back.taken.iter().rev() {
            let coins = lot.coins.min(left);
            left = left.less(coins);
            restored.push(Lot { coins, ..*lot });
        }
        restored.push(Lot { id: self.place.lot(), kind: LotKind::Paid, coins: left });
        restored.retain(|lot| !lot.coins.is_zero());
        Event::Reinstated(Reinstated {
            source: self.claimed_in(&give_back.channel, &give_back.transaction),
            debt_paid,
            restored,
            channel: give_back.channel.clone(),
            transaction: give_back.transaction.clone(),
        })
    }

    /// The lot that the payment was credited as.
    fn own_lot(&self) -> LotId {
        let sequence = self.prefetched.credited.expect("a chargeback follows the credit of its top-up");
        LotId { sequence, part: 0 }
    }

    pub(super) fn expire_lot(&self, expire: &ExpireLot) -> Result<Event, Rejection> {
        // The one that lapsed first is due first.
        let lot = self.user.wallet().lapsed(self.now).find(|lot| lot.id == expire.lot);
        let lot = lot.ok_or(Rejection::NothingToDo)?;
        Ok(Event::LotExpired(LotExpired { lot }))
    }

    fn claimed_in(&self, channel: &schemas::ChannelId, transaction: &schemas::TransactionId) -> Shard {
        Subject::Transaction { channel: channel.clone(), transaction: transaction.clone() }.shard(self.shards)
    }
}
