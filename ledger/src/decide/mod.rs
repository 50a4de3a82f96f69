//! The decision: from the state, what was looked up, a command and the clock to an event or a
//! refusal. Pure and synchronous: no clock, no randomness, no IO, no unordered iteration.
//!
//! Which command stands where: `transaction` top-up and chargeback · `gift` · `hold` the life of a
//! game order up to its capture or release · `refund` refunds and their roll-back · `wallet` what
//! arrives at and leaves a wallet by dispatch, grant and timer · `reference` versions.

mod gift;
mod group;
mod hold;
mod reference;
mod refund;
mod transaction;
mod wallet;

use std::sync::Arc;

use schemas::{
    ChargedBack, Coins, Command, CommandId, Event, Lot, LotId, Moved, Order, OrderId, Origin, Refunded, Rejection,
    Source, Subject, Timestamp,
};

use crate::state::{Catalogue, Place, State, User};

/// The most lots that one charge may consume, or one chargeback take: at most 32 bytes each, and three times
/// named by the record that ends a hold, they stay below `schemas::MAX_RECORD_BYTES`. So the ledger's own
/// commands, which cannot be refused, always have room; a caller's record is measured when it is made.
pub const MAX_LOTS: usize = 4_096;

/// A command about to be decided.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Whose state it changes.
    pub subject: &'a Subject,
    /// Who submitted it.
    pub origin: &'a Origin,
    /// Its id.
    pub id: &'a CommandId,
    /// When it happened, where that is not now.
    pub occurred_at: Option<Timestamp>,
    /// What is asked for.
    pub command: &'a Command,
}

/// What a command names and memory does not hold; looked up before deciding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prefetched {
    /// Gift: the order that counted the step of the combo before.
    pub combo: Option<OrderId>,
    /// Order commands: the number of the order that a command id stands for, and its newest state.
    pub order: Option<Arc<Order>>,
    /// Top-up, chargeback and reinstatement: the newest record of the transaction.
    pub transaction: Option<Claim>,
    /// Take-back: the sequence of the record that credited the payment.
    pub credited: Option<u64>,
    /// Give-back: what the chargeback took.
    pub charged_back: Option<ChargedBack>,
    /// Roll-back: the refund.
    pub refund: Option<PastRefund>,
    /// Group: the same for each member.
    pub members: Vec<Prefetched>,
}

/// A transaction that was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The command that made its newest record.
    pub id: CommandId,
    /// That record's event.
    pub event: Event,
}

/// A refund that stands on the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRefund {
    /// The service that asked for it.
    pub source: Source,
    /// Its command.
    pub command: CommandId,
    /// Its part of the group that refunded; 0 where it was alone.
    pub part: u8,
    /// What it did.
    pub refunded: Refunded,
    /// When it happened.
    pub happened_at: Timestamp,
    /// The command that rolled it back, if one did.
    pub rolled_back: Option<CommandId>,
    /// Of the lots that it restored and that have lapsed since: what of those coins no roll-back has charged again.
    pub lapsed: Vec<(LotId, Coins)>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What happens.
    pub event: Event,
    /// The orders that it moves, as it leaves them, by number.
    pub moved: Moved,
}

impl Decided {
    /// What moves no order that was there before.
    fn only(event: Event) -> Self {
        Self { event, moved: Moved::new() }
    }

    fn moving(event: Event, order: Order) -> Self {
        Self { event, moved: Moved::from([order]) }
    }
}

/// Decides a command that is well formed and whose id is new.
///
/// # Errors
/// The first refusal that applies, in the order in which [`Rejection`] lists them.
pub fn decide(
    state: &State,
    prefetched: &Prefetched,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Decided, Rejection> {
    match request.command {
        Command::Publish(publish) => reference::publish(state, publish).map(Decided::only),
        Command::TakeReference(take) => Ok(Decided::only(reference::take(take))),
        Command::TopUp(top_up) => transaction::top_up(state, prefetched, top_up).map(Decided::only),
        Command::Chargeback(_) => transaction::chargeback(state, prefetched).map(Decided::only),
        Command::Reinstate(_) => transaction::reinstate(state, prefetched).map(Decided::only),
        Command::Group(members) => group::group(&Desk::new(state, prefetched, request, now), request, members),
        command => Desk::new(state, prefetched, request, now).decide(command),
    }
}

/// Everything that a decision about one user reads.
struct Desk<'a> {
    user: &'a User,
    catalogue: &'a Catalogue,
    prefetched: &'a Prefetched,
    place: Place,
    now: Timestamp,
    shards: schemas::Shard,
}

static NOBODY: std::sync::LazyLock<User> = std::sync::LazyLock::new(User::default);

impl<'a> Desk<'a> {
    fn new(state: &'a State, prefetched: &'a Prefetched, request: &'a Request<'_>, now: Timestamp) -> Self {
        let user = request.subject.user().and_then(|user| state.user(user));
        Self {
            user: user.unwrap_or(&NOBODY),
            catalogue: state.catalogue(),
            prefetched,
            place: Place {
                shard: state.shard(),
                sequence: state.sequence() + 1,
                part: 0,
                happened_at: request.occurred_at.unwrap_or(now),
            },
            now,
            shards: state.shards(),
        }
    }

    fn decide(&self, command: &Command) -> Result<Decided, Rejection> {
        match command {
            Command::Grant(grant) => self.grant(grant).map(Decided::only),
            Command::Gift(gift) => self.gift(gift),
            Command::Hold(hold) => self.hold(hold),
            Command::Send(_) => self.send(),
            Command::Query(_) => self.query(),
            Command::Unresolved(unresolved) => self.unresolved(unresolved),
            Command::HandOver(hand_over) => self.hand_over(hand_over),
            Command::Capture(capture) => self.capture(capture),
            Command::Release(release) => self.release(release),
            Command::Refund(refund) => self.refund(refund),
            Command::RollBackRefund(roll_back) => self.roll_back_refund(roll_back),
            Command::Credit(credit) => Ok(Decided::only(self.credit(credit))),
            Command::TakeBack(take_back) => Ok(Decided::only(self.take_back(take_back))),
            Command::GiveBack(give_back) => Ok(Decided::only(self.give_back_payment(give_back))),
            Command::ExpireLot(expire) => self.expire_lot(expire).map(Decided::only),
            Command::ExpireHold(expire) => self.expire_hold(expire),
            Command::Publish(_)
            | Command::TakeReference(_)
            | Command::TopUp(_)
            | Command::Chargeback(_)
            | Command::Reinstate(_)
            | Command::Group(_) => panic!("`{}` is not about one user", command.kind()),
        }
    }

    /// The order that the command names: open in memory, or as it was looked up.
    fn order(&self) -> Result<&Order, Rejection> {
        let found = self.prefetched.order.as_ref().ok_or(Rejection::OrderNotFound)?;
        Ok(self.user.open_order(found.id).unwrap_or(found))
    }

    /// The lots that pay `coins`, in burn order.
    fn spend(&self, coins: Coins) -> Result<schemas::Lots, Rejection> {
        let wallet = self.user.wallet();
        if wallet.debt() > 0 {
            return Err(Rejection::InDebt { debt: at_most_max(wallet.debt()) });
        }
        if let Some(first) = wallet.first_live(self.now).filter(|first| first.coins >= coins && !coins.is_zero()) {
            return Ok(schemas::Lots::from_buf([Lot { coins, ..first }])); // as nearly always
        }
        // One lot more says that they are too many, however many there are.
        let (used, missing) = crate::state::gather(wallet.live(self.now).take(MAX_LOTS + 1), coins);
        if !missing.is_zero() {
            let available = wallet.available(self.now);
            if available < coins.get().into() {
                return Err(Rejection::InsufficientFunds { available: at_most_max(available) });
            }
        }
        within_lots(used.len())?;
        Ok(used)
    }
}

fn within_lots(lots: usize) -> Result<(), Rejection> {
    if lots > MAX_LOTS {
        return Err(Rejection::TooManyLots { limit: u32::try_from(MAX_LOTS).expect("a small constant") });
    }
    Ok(())
}

fn at_most_max(coins: u128) -> Coins {
    u64::try_from(coins).ok().and_then(|coins| Coins::new(coins).ok()).unwrap_or(Coins::MAX)
}
