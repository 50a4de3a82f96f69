//! Atomic groups: each command is decided on what the ones before it would leave, and all are
//! taken or none.

use schemas::{Combo, Command, Event, Order, Rejection};

use super::{Desk, MAX_LOTS, Prefetched, within_lots};
use crate::state::Place;

pub(super) fn group(desk: &Desk<'_>, members: &[Command]) -> Result<Event, Rejection> {
    let mut user = desk.user.clone();
    let mut seen = Seen::default();
    let mut events = Vec::with_capacity(members.len());
    for (part, command) in (0_u8..).zip(members) {
        let place = Place { part, ..desk.place };
        let prefetched = seen.brought_up_to_date(&desk.prefetched.members[usize::from(part)], command);
        let at = Desk { user: &user, prefetched: &prefetched, place, ..*desk };
        let decided = at.decide(command).and_then(|event| {
            seen.lots += lots_moved(&event);
            within_lots(seen.lots)?;
            Ok(event)
        });
        let event =
            decided.map_err(|rejection| Rejection::Member { member: part.into(), rejection: Box::new(rejection) })?;
        user.apply(&event, place);
        seen.note(command, &event, place);
        events.push(event);
    }
    Ok(Event::Group(events))
}

/// What earlier members did that later ones would otherwise look up.
#[derive(Default)]
struct Seen<'a> {
    combos: Vec<(&'a Combo, schemas::OrderId)>,
    orders: Vec<Order>,
    lots: usize,
}

impl<'a> Seen<'a> {
    fn brought_up_to_date(&self, found: &Prefetched, command: &Command) -> Prefetched {
        let mut found = found.clone();
        if let Command::Gift(gift) = command
            && let Some(combo) = &gift.combo
            && let Some((_, order)) = self.combos.iter().find(|(seen, _)| *seen == combo)
        {
            found.combo = Some(*order);
        }
        if let Some(order) = &mut found.order
            && let Some(newer) = self.orders.iter().rev().find(|seen| seen.id == order.id)
        {
            order.clone_from(newer);
        }
        found
    }

    fn note(&mut self, command: &'a Command, event: &Event, place: Place) {
        if let Command::Gift(gift) = command
            && let Some(combo) = &gift.combo
        {
            self.combos.push((combo, place.order()));
        }
        self.orders.extend(event.moved_order().cloned());
    }
}

/// How many pieces of lots an event names, so that a group's record stays within its size.
fn lots_moved(event: &Event) -> usize {
    let order = event.moved_order().map_or(0, |order| order.used.len());
    let own = match event {
        Event::GiftGiven(e) => e.used.len(),
        Event::Held(e) => e.used.len(),
        Event::Captured(e) => e.released.restored.len(),
        Event::Released(e) => e.released.restored.len(),
        Event::Refunded(e) => e.returned.restored.len(),
        _ => 0,
    };
    debug_assert!(own <= MAX_LOTS);
    order + own
}
