//! Payments of a channel. Each counts once, whoever presents it; a chargeback wins over its top-up, whichever
//! comes first; a dispute that is won undoes the chargeback.

use schemas::{
    Account, ChannelId, Chargeback, CommandId, LotId, LotKind, Money, Purpose, Reinstate, Rejection, Subject,
    Timestamp, TopUp, TransactionId, UserId,
};

use super::{
    Dispatched, Done, Model, Place,
    purse::{Piece, total},
};

/// What names a payment.
pub type PaymentKey = (ChannelId, TransactionId);

/// What is known of a payment.
#[derive(Debug, Clone, Default)]
pub(super) struct Payment {
    /// Its top-up, once that came.
    claim: Option<Claim>,
    /// The chargeback that stands.
    charged_back_by: Option<CommandId>,
    /// Whether its coins were ever credited, or are on their way.
    credited: bool,
    /// Its lot, once that arrived.
    lot: Option<LotId>,
    /// What its last chargeback took.
    taken: Vec<Piece>,
}

#[derive(Debug, Clone)]
struct Claim {
    by: CommandId,
    user: UserId,
    coins: i128,
    paid: Money,
}

impl Model {
    pub(super) fn top_up(&mut self, at: &Place, top_up: &TopUp) -> Result<Done, Rejection> {
        let key = (top_up.channel.clone(), top_up.transaction.clone());
        let payment = self.payments.entry(key.clone()).or_default();
        if let Some(claim) = &payment.claim {
            return Err(Rejection::TransactionClaimed { first: claim.by.clone() });
        }
        let (user, coins, paid) = (top_up.user.clone(), i128::from(top_up.coins.get()), top_up.paid);
        payment.claim = Some(Claim { by: at.id.clone(), user, coins, paid });
        if payment.charged_back_by.is_some() {
            // The channel owes it and has it back: nothing to see in any account.
            return Ok(Done::plain("top_up_reversed"));
        }
        self.credit(at, &key);
        Ok(Done::plain("top_up_claimed"))
    }

    pub(super) fn chargeback(&mut self, at: &Place, chargeback: &Chargeback) -> Result<Done, Rejection> {
        let key = (chargeback.channel.clone(), chargeback.transaction.clone());
        let payment = self.payments.entry(key.clone()).or_default();
        if let Some(first) = &payment.charged_back_by {
            return Err(Rejection::AlreadyChargedBack { first: first.clone() });
        }
        payment.charged_back_by = Some(at.id.clone());
        let Some(Claim { user, coins, paid, .. }) = payment.claim.clone() else {
            return Ok(Done::plain("chargeback_remembered"));
        };
        self.sale(&key.0, paid, -1);
        self.post(Account::Platform(Purpose::Issued), coins);
        self.dispatch_payment(at, &user, key, Dispatched::TakeBack);
        Ok(Done::plain("chargeback_claimed"))
    }

    pub(super) fn reinstate(&mut self, at: &Place, reinstate: &Reinstate) -> Result<Done, Rejection> {
        let key = (reinstate.channel.clone(), reinstate.transaction.clone());
        let payment = self.payments.entry(key.clone()).or_default();
        payment.charged_back_by.take().ok_or(Rejection::NotChargedBack)?;
        let Some(Claim { user, coins, paid, .. }) = payment.claim.clone() else {
            return Ok(Done::plain("reinstate_remembered"));
        };
        if payment.credited {
            self.sale(&key.0, paid, 1);
            self.post(Account::Platform(Purpose::Issued), -coins);
            self.dispatch_payment(at, &user, key, Dispatched::GiveBack);
        } else {
            self.credit(at, &key);
        }
        Ok(Done::plain("reinstate_claimed"))
    }

    /// The payments of which a chargeback stands.
    pub fn charged_back(&self) -> impl Iterator<Item = &PaymentKey> {
        self.payments.iter().filter(|(_, payment)| payment.charged_back_by.is_some()).map(|(key, _)| key)
    }

    /// The channel owes what was paid; the coins are on their way.
    fn credit(&mut self, at: &Place, key: &PaymentKey) {
        let payment = self.payments.get_mut(key).expect("it is known");
        payment.credited = true;
        let Claim { user, coins, paid, .. } = payment.claim.clone().expect("a top-up brought it");
        self.sale(&key.0, paid, 1);
        self.post(Account::Platform(Purpose::Issued), -coins);
        self.dispatch_payment(at, &user, key.clone(), Dispatched::Credit);
    }

    fn dispatch_payment(&mut self, at: &Place, user: &UserId, key: PaymentKey, what: fn(PaymentKey) -> Dispatched) {
        let target = Subject::User(user.clone()).shard(self.shards);
        let subject = Subject::Transaction { channel: key.0.clone(), transaction: key.1.clone() };
        self.dispatch(at, subject, target, what(key));
    }

    /// The coins arrive, as a new lot. Debt is paid first.
    pub(super) fn take_credit(&mut self, key: &PaymentKey, lot: LotId) -> &'static str {
        let payment = self.payments.get_mut(key).expect("it was claimed");
        payment.lot = Some(lot);
        let (user, coins) = payment.whose();
        let purse = self.purse(&user);
        let rest = coins - purse.pay_debt(coins);
        purse.put(Piece { lot, kind: LotKind::Paid, coins: rest });
        self.post(Account::User(user), coins);
        "top_up_credited"
    }

    /// The coins leave: of their lot, then of other paid ones, and what is not there is owed.
    pub(super) fn take_take_back(&mut self, key: &PaymentKey, now: Timestamp) -> &'static str {
        let payment = &self.payments[key];
        let own = payment.lot.expect("a payment is charged back behind its credit");
        let (user, coins) = payment.whose();
        let purse = self.purse(&user);
        let taken = purse.take_back(own, coins, now);
        purse.debt += coins - total(&taken);
        self.payments.get_mut(key).expect("it was claimed").taken = taken;
        self.post(Account::User(user), -coins);
        "charged_back"
    }

    /// The coins come back: debt is paid first; then the lots are filled that they were taken from, the last
    /// one first; the rest, which had been owed and is paid by now, is a new lot.
    pub(super) fn take_give_back(&mut self, key: &PaymentKey, lot: LotId) -> &'static str {
        let payment = self.payments.get_mut(key).expect("it was claimed");
        let mut taken = std::mem::take(&mut payment.taken);
        let (user, coins) = payment.whose();
        let purse = self.purse(&user);
        let mut rest = coins - purse.pay_debt(coins);
        while let Some(piece) = taken.pop() {
            let some = rest.min(piece.coins);
            rest -= some;
            purse.put(Piece { coins: some, ..piece });
        }
        purse.put(Piece { lot, kind: LotKind::Paid, coins: rest });
        self.post(Account::User(user), coins);
        "reinstated"
    }
}

impl Payment {
    fn whose(&self) -> (UserId, i128) {
        let claim = self.claim.as_ref().expect("a top-up brought it");
        (claim.user.clone(), claim.coins)
    }
}
