//! Payments of a channel: each counts once, whoever presents it. A chargeback wins over its top-up whichever
//! comes first; a dispute that is won undoes it.
//!
//! | newest of the transaction | top-up | chargeback | reinstate |
//! |---|---|---|---|
//! | nothing, or reinstated before a top-up | claimed | remembered | refused |
//! | a top-up claimed, or reinstated | refused | claimed | refused |
//! | a chargeback claimed | refused | refused | claimed: gives back what was taken |
//! | a chargeback remembered | reversed: credits nothing | refused | remembered |
//! | a top-up reversed | refused | refused | claimed: credits |

use schemas::{
    ChargebackClaimed, ChargebackRemembered, CommandId, Dispatch, Event, ReinstateClaimed, ReinstateRemembered,
    Rejection, Subject, TopUp, TopUpClaimed, TopUpReversed, UserId,
};

use super::{Claim, Prefetched};
use crate::state::State;

/// How the newest record of a transaction left it.
enum Standing<'a> {
    /// No top-up has come, and no chargeback stands.
    Free,
    /// No top-up has come, and this command brought a chargeback.
    ChargebackFirst { chargeback: &'a CommandId },
    /// Credited, and not given back.
    Credited(Payment<'a>),
    /// Given back after it was credited.
    ChargedBack { payment: Payment<'a>, chargeback: &'a CommandId, take_back: u64 },
    /// Claimed after it was given back, so never credited.
    Reversed { reversed: &'a TopUpReversed, top_up: &'a CommandId },
}

/// A payment that was credited.
struct Payment<'a> {
    user: &'a UserId,
    coins: schemas::Coins,
    paid: schemas::Money,
    top_up: &'a CommandId,
    /// The number of the dispatch that credited it.
    credit: u64,
}

impl<'a> Standing<'a> {
    fn of(prefetched: &'a Prefetched) -> Self {
        let Some(Claim { id, event }) = &prefetched.transaction else { return Self::Free };
        match event {
            Event::ReinstateRemembered(_) => Self::Free,
            Event::ChargebackRemembered(_) => Self::ChargebackFirst { chargeback: id },
            Event::TopUpClaimed(TopUpClaimed { user, coins, paid, dispatch }) => {
                let (coins, paid, credit) = (*coins, *paid, dispatch.number);
                Self::Credited(Payment { user, coins, paid, top_up: id, credit })
            }
            Event::ReinstateClaimed(ReinstateClaimed { user, coins, paid, top_up, credit, .. }) => {
                let (coins, paid, credit) = (*coins, *paid, *credit);
                Self::Credited(Payment { user, coins, paid, top_up, credit })
            }
            Event::ChargebackClaimed(ChargebackClaimed { user, coins, returned, top_up, credit, dispatch }) => {
                let payment = Payment { user, coins: *coins, paid: *returned, top_up, credit: *credit };
                Self::ChargedBack { payment, chargeback: id, take_back: dispatch.number }
            }
            Event::TopUpReversed(reversed) => Self::Reversed { reversed, top_up: id },
            other => panic!("`{}` is no record of a transaction", other.kind()),
        }
    }
}

pub(super) fn top_up(state: &State, prefetched: &Prefetched, top_up: &TopUp) -> Result<Event, Rejection> {
    match Standing::of(prefetched) {
        Standing::Free => Ok(Event::TopUpClaimed(TopUpClaimed {
            user: top_up.user.clone(),
            coins: top_up.coins,
            paid: top_up.paid,
            dispatch: next_dispatch(state, &top_up.user),
        })),
        Standing::ChargebackFirst { chargeback } => Ok(Event::TopUpReversed(TopUpReversed {
            user: top_up.user.clone(),
            coins: top_up.coins,
            paid: top_up.paid,
            chargeback: chargeback.clone(),
        })),
        Standing::Credited(Payment { top_up, .. })
        | Standing::ChargedBack { payment: Payment { top_up, .. }, .. }
        | Standing::Reversed { top_up, .. } => Err(Rejection::TransactionClaimed { first: top_up.clone() }),
    }
}

pub(super) fn chargeback(state: &State, prefetched: &Prefetched) -> Result<Event, Rejection> {
    match Standing::of(prefetched) {
        Standing::Free => Ok(Event::ChargebackRemembered(ChargebackRemembered {})),
        Standing::Credited(Payment { user, coins, paid, top_up, credit }) => {
            Ok(Event::ChargebackClaimed(ChargebackClaimed {
                user: user.clone(),
                coins,
                returned: paid,
                top_up: top_up.clone(),
                credit,
                dispatch: next_dispatch(state, user),
            }))
        }
        Standing::ChargebackFirst { chargeback }
        | Standing::ChargedBack { chargeback, .. }
        | Standing::Reversed { reversed: TopUpReversed { chargeback, .. }, .. } => {
            Err(Rejection::AlreadyChargedBack { first: chargeback.clone() })
        }
    }
}

pub(super) fn reinstate(state: &State, prefetched: &Prefetched) -> Result<Event, Rejection> {
    match Standing::of(prefetched) {
        Standing::Free | Standing::Credited(_) => Err(Rejection::NotChargedBack),
        Standing::ChargebackFirst { .. } => Ok(Event::ReinstateRemembered(ReinstateRemembered {})),
        Standing::ChargedBack { payment: Payment { user, coins, paid, top_up, credit }, take_back, .. } => {
            Ok(Event::ReinstateClaimed(ReinstateClaimed {
                user: user.clone(),
                coins,
                paid,
                top_up: top_up.clone(),
                take_back: Some(take_back),
                credit,
                dispatch: next_dispatch(state, user),
            }))
        }
        Standing::Reversed { reversed: TopUpReversed { user, coins, paid, .. }, top_up } => {
            let dispatch = next_dispatch(state, user);
            Ok(Event::ReinstateClaimed(ReinstateClaimed {
                user: user.clone(),
                coins: *coins,
                paid: *paid,
                top_up: top_up.clone(),
                take_back: None,
                credit: dispatch.number,
                dispatch,
            }))
        }
    }
}

fn next_dispatch(state: &State, user: &UserId) -> Dispatch {
    let target = Subject::User(user.clone()).shard(state.shards());
    Dispatch { target, number: state.issued_to(target) + 1 }
}
