//! What falls due: lots that lapse and holds that are not sent. Derived from the state; an entry
//! whose lot or hold is gone by then is dropped without a record.

use std::{cmp::Reverse, collections::BinaryHeap};

use schemas::{
    Command, CommandId, Event, ExpireHold, ExpireLot, LotId, LotKind, OrderId, OrderKind, Record, Status, Subject,
    Timestamp, UserId,
};

use crate::state::{State, User};

/// What is due when.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BinaryHeap<Reverse<(Timestamp, UserId, What)>>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Lot(LotId),
    Hold(OrderId),
}

impl Timers {
    /// Everything that a state waits for.
    pub(crate) fn note_state(&mut self, state: &State) {
        for (user, known) in state.users() {
            for lot in known.wallet().lots() {
                self.note_lot(user, lot.id, lot.kind);
            }
            for order in known.open_orders() {
                if let (Status::Held, OrderKind::Game { deadline, .. }) = (order.status, &order.kind) {
                    self.due.push(Reverse((*deadline, user.clone(), What::Hold(order.id))));
                }
            }
        }
    }

    /// What a new record makes wait.
    pub(crate) fn note(&mut self, record: &Record) {
        let Subject::User(user) = &record.subject else { return };
        for (part, event) in record.events() {
            match event {
                Event::Granted(e) => {
                    let id = LotId { sequence: record.sequence, part };
                    self.note_lot(user, id, LotKind::Bonus { expires: e.expires });
                }
                Event::Held(e) => self.due.push(Reverse((e.deadline, user.clone(), What::Hold(record.order_id(part))))),
                // A lot that was used up had its entry dropped if its time came meanwhile.
                Event::Captured(e) => self.note_lots(user, &e.released.restored),
                Event::Released(e) => self.note_lots(user, &e.released.restored),
                Event::Refunded(e) => self.note_lots(user, &e.returned.restored),
                _ => {}
            }
        }
    }

    fn note_lots(&mut self, user: &UserId, lots: &[schemas::Lot]) {
        for lot in lots {
            self.note_lot(user, lot.id, lot.kind);
        }
    }

    fn note_lot(&mut self, user: &UserId, id: LotId, kind: LotKind) {
        if let LotKind::Bonus { expires: Some(expires) } = kind {
            self.due.push(Reverse((expires, user.clone(), What::Lot(id))));
        }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next one that is due at `now` and still there: its id and command.
    pub(crate) fn pop(&mut self, now: Timestamp, states: &[State]) -> Option<(CommandId, Command)> {
        while self.next().is_some_and(|at| at <= now) {
            let Reverse((_, user, what)) = self.due.pop()?;
            let shards = states.len().try_into().expect("a ledger has at most 65,535 shards");
            let shard = Subject::User(user.clone()).shard(shards);
            let known = states[usize::from(shard)].user(&user);
            if known.is_some_and(|known| what.is_due(known, now)) {
                return Some(what.command(user));
            }
        }
        None
    }
}

impl What {
    fn is_due(self, user: &User, now: Timestamp) -> bool {
        match self {
            Self::Lot(lot) => user.wallet().lot(lot).is_some_and(|lot| lot.kind.has_expired(now)),
            Self::Hold(order) => user.open_order(order).is_some_and(|order| order.status == Status::Held),
        }
    }

    fn command(self, user: UserId) -> (CommandId, Command) {
        let (id, command) = match self {
            Self::Lot(lot) => (format!("lot:{lot}"), Command::ExpireLot(ExpireLot { user, lot })),
            Self::Hold(order) => (format!("hold:{order}"), Command::ExpireHold(ExpireHold { user, order })),
        };
        (CommandId::new(&id).expect("a word and a number are a command id"), command)
    }
}
