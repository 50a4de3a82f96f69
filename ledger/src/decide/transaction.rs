//! Payments of a channel: each counts once, whoever presents it.

use schemas::{ChargebackClaimed, Dispatch, Event, Rejection, Subject, TopUp, TopUpClaimed, UserId};

use super::{Claim, Prefetched};
use crate::state::State;

pub(super) fn top_up(state: &State, prefetched: &Prefetched, top_up: &TopUp) -> Result<Event, Rejection> {
    if let Some(claim) = &prefetched.transaction {
        let first = match &claim.event {
            Event::ChargebackClaimed(charged_back) => &charged_back.top_up,
            _ => &claim.id,
        };
        return Err(Rejection::TransactionClaimed { first: first.clone() });
    }
    Ok(Event::TopUpClaimed(TopUpClaimed {
        user: top_up.user.clone(),
        coins: top_up.coins,
        paid: top_up.paid,
        dispatch: next_dispatch(state, &top_up.user),
    }))
}

pub(super) fn chargeback(state: &State, prefetched: &Prefetched) -> Result<Event, Rejection> {
    match &prefetched.transaction {
        None => Err(Rejection::TransactionNotFound),
        Some(Claim { event: Event::TopUpClaimed(claimed), id }) => Ok(Event::ChargebackClaimed(ChargebackClaimed {
            user: claimed.user.clone(),
            coins: claimed.coins,
            returned: claimed.paid,
            dispatch: next_dispatch(state, &claimed.user),
            top_up: id.clone(),
            credit: claimed.dispatch.number,
        })),
        Some(Claim { id, .. }) => Err(Rejection::AlreadyChargedBack { first: id.clone() }),
    }
}

fn next_dispatch(state: &State, user: &UserId) -> Dispatch {
    let target = Subject::User(user.clone()).shard(state.shards());
    Dispatch { target, number: state.issued_to(target) + 1 }
}
