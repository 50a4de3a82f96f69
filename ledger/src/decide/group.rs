//! Atomic groups: each command is decided on what the ones before it would leave, and all are
//! taken or none.

use std::{collections::BTreeMap, sync::Arc};

use schemas::{
    Coins, Combo, Command, CommandId, Event, Gift, LotId, Moved, Order, OrderId, OrderName, PartName, Rejection, Source,
};

use super::{Decided, Desk, PastRefund, Prefetched, Request};
use crate::state::Place;

/// Decides the commands of a group.
pub(super) fn group(desk: &Desk<'_>, request: &Request<'_>, members: &[Command]) -> Result<Decided, Rejection> {
    let mut user = desk.user.clone();
    let mut before = Before::new(request);
    let mut events = Vec::with_capacity(members.len());
    for (part, command) in (0_u8..).zip(members) {
        let place = Place { part, ..desk.place };
        let prefetched = before.bring_up_to_date(&desk.prefetched.members[usize::from(part)], command);
        let at = Desk { user: &user, prefetched: &prefetched, place, ..*desk };
        let Decided { event, moved } = at
            .decide(command)
            .map_err(|rejection| Rejection::Member { member: part.into(), rejection: Box::new(rejection) })?;
        user.apply(&event, place);
        for order in &moved {
            user.keep(order);
        }
        before.note(command, &event, moved, place);
        events.push(event);
    }
    Ok(Decided { event: Event::Group(events), moved: before.moved() })
}

/// What the earlier members did, which later ones would otherwise look up.
struct Before<'a> {
    /// The group's own command: later members may name what earlier ones did by it.
    id: &'a CommandId,
    /// The service that asked for it.
    source: &'a Source,
    combos: Vec<(&'a Combo, OrderId)>,
    orders: Vec<Known>,
    refunds: Vec<PastRefund>,
    /// The roll-backs, by order, the refund's source, command and part.
    roll_backs: Vec<(OrderId, Source, CommandId, u8)>,
    /// Of lapsed lots, what the roll-backs left.
    lapsed: BTreeMap<LotId, Coins>,
}

/// An order as the members so far left it.
struct Known {
    order: Arc<Order>,
    /// Whether one of them placed it.
    placed: bool,
    /// Whether one of them moved it.
    moved: bool,
}

impl<'a> Before<'a> {
    fn new(request: &Request<'a>) -> Self {
        let source = request.origin.source().expect("only callers submit groups");
        let (combos, orders, refunds) = (Vec::new(), Vec::new(), Vec::new());
        Self { id: request.id, source, combos, orders, refunds, roll_backs: Vec::new(), lapsed: BTreeMap::new() }
    }

    /// Whether the group itself is named.
    fn is_own(&self, name: &PartName) -> bool {
        name.command == *self.id && name.source_for(self.source) == self.source
    }

    /// What was found for a member, with what the members before it changed.
    fn bring_up_to_date(&self, found: &Prefetched, command: &Command) -> Prefetched {
        let mut found = found.clone();
        if let Command::Gift(gift) = command
            && let Some(combo) = &gift.combo
            && let Some((_, order)) = self.combos.iter().find(|(seen, _)| *seen == combo)
        {
            found.combo = Some(*order);
        }
        if let Some(named) = command.order() {
            found.order = match &named.name {
                OrderName::Command(name) if self.is_own(name) => self.placed(name.part),
                OrderName::Number(number) => self.known(*number).or(found.order),
                OrderName::Command(_) => found.order.map(|order| self.known(order.id).unwrap_or(order)),
            };
        }
        if let (Command::RollBackRefund(roll_back), Some(order)) = (command, &found.order) {
            found.refund = self.refund(found.refund, &roll_back.refund, order.id);
        }
        found
    }

    /// The order that a member placed: the one of that part, or the first.
    fn placed(&self, part: Option<u8>) -> Option<Arc<Order>> {
        let mut placed = self.orders.iter().filter(|known| known.placed);
        placed.find(|known| part.is_none_or(|part| known.order.id.part == part)).map(|known| known.order.clone())
    }

    fn known(&self, order: OrderId) -> Option<Arc<Order>> {
        self.orders.iter().find(|known| known.order.id == order).map(|known| known.order.clone())
    }

    fn refund(&self, found: Option<PastRefund>, named: &PartName, order: OrderId) -> Option<PastRefund> {
        let is_it =
            |past: &&PastRefund| past.refunded.order == order && named.part.is_none_or(|part| part == past.part);
        let found = if self.is_own(named) { self.refunds.iter().find(is_it).cloned() } else { found };
        let mut past = found?;
        if self.roll_backs.contains(&(order, past.source.clone(), past.command.clone(), past.part)) {
            past.rolled_back = Some(self.id.clone());
        }
        for (lot, left) in &mut past.lapsed {
            if let Some(newer) = self.lapsed.get(lot) {
                *left = *newer;
            }
        }
        Some(past)
    }

    fn note(&mut self, command: &'a Command, event: &Event, moved: Moved, place: Place) {
        match event {
            Event::GiftGiven(gift) => {
                if let Command::Gift(Gift { combo: Some(combo), .. }) = command {
                    self.combos.push((combo, place.order()));
                }
                self.place(gift.order(place.order(), place.happened_at));
            }
            Event::Held(held) => self.place(held.order(place.order(), place.happened_at)),
            Event::Refunded(refunded) => self.refunds.push(PastRefund {
                source: self.source.clone(),
                command: self.id.clone(),
                part: place.part,
                refunded: (**refunded).clone(),
                happened_at: place.happened_at,
                rolled_back: None,
                lapsed: Vec::new(),
            }),
            Event::RefundRolledBack(back) => {
                self.roll_backs.push((back.order, back.source.clone(), back.refund.clone(), back.part));
                self.lapsed.extend(back.unlapsed.iter().map(|unlapsed| (unlapsed.lot.id, unlapsed.left)));
            }
            _ => {}
        }
        for order in moved {
            match self.orders.iter_mut().find(|known| known.order.id == order.id) {
                Some(known) => *known = Known { order: Arc::new(order), moved: true, ..*known },
                None => self.orders.push(Known { order: Arc::new(order), placed: false, moved: true }),
            }
        }
    }

    fn place(&mut self, order: Order) {
        self.orders.push(Known { order: Arc::new(order), placed: true, moved: false });
    }

    /// The orders that were moved, by number.
    fn moved(self) -> Moved {
        let moved = self.orders.into_iter().filter(|known| known.moved);
        let mut moved: Moved = moved.map(|known| Arc::unwrap_or_clone(known.order)).collect();
        moved.sort_unstable_by_key(|order| order.id);
        moved
    }
}
