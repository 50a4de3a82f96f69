//! What support does to one order or user: built here as the command that it is, so that every door asks for the
//! same.

use ledger::{Caller, Checked, Engine, Lines};
use schemas::{
    ActorId, Capture, Coins, Command, CommandId, Envelope, Grant, OrderId, OrderName, OrderRef, PartName, ReasonCode,
    Record, Refund, Release, RollBackRefund, Timestamp, UserId,
};

use crate::app::{Error, Result, Said, questions::order::Which};

/// An order as commands name it. A number says where its record stands, and that says whose it is: `find` has the
/// record of a place, if there is one.
///
/// # Errors
/// [`Error::NotFound`] if the number is of no order; [`Error::Unasked`] if none is named.
fn named<E: From<Error>>(which: Which, find: impl FnOnce(OrderId) -> Result<Option<Record>, E>) -> Result<OrderRef, E> {
    which.check()?;
    if let (Some(user), Some(command)) = (which.user, which.command) {
        return Ok(OrderRef {
            user,
            name: OrderName::Command(PartName { command, part: which.part, source: which.source }),
        });
    }
    let Some(id) = which.number else { return Err(Which::unnamed().into()) };
    let placed = find(OrderId { part: 0, ..id })?;
    match placed.as_ref().filter(|record| record.order(id).is_some()).and_then(|record| record.subject.user()) {
        Some(user) => Ok(OrderRef { user: user.clone(), name: OrderName::Number(id) }),
        None => Err(Error::NotFound(format!("there is no order {id}: no record has placed one at that place")).into()),
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Deed {
    /// Give coins of a fulfilled order back: all that is left, unless some are named.
    Refund { order: Which, coins: Option<Coins>, reason: ReasonCode },
    /// Take a refund back.
    RollBack { order: Which, refund: PartName, reason: ReasonCode },
    /// End a hold without a charge.
    Release { order: Which, reason: ReasonCode },
    /// End a hold with a charge: all that is held, unless less is named.
    Capture { order: Which, coins: Option<Coins> },
    /// Give coins as goodwill.
    Grant { user: UserId, coins: Coins, expires: Option<Timestamp>, reason: ReasonCode },
}

/// The command that does it; `find` has the record of a place, if there is one.
///
/// # Errors
/// [`Error::NotFound`] if it is about an order that is not there.
pub fn envelope<E: From<Error>>(
    deed: Deed,
    (id, actor): (CommandId, Option<ActorId>),
    find: impl FnOnce(OrderId) -> Result<Option<Record>, E>,
) -> Result<Envelope, E> {
    let command = match deed {
        Deed::Refund { order, coins, reason } => Command::Refund(Refund { order: named(order, find)?, coins, reason }),
        Deed::RollBack { order, refund, reason } => {
            Command::RollBackRefund(RollBackRefund { order: named(order, find)?, refund, reason })
        }
        Deed::Release { order, reason } => Command::Release(Release { order: named(order, find)?, reason }),
        Deed::Capture { order, coins } => Command::Capture(Capture { order: named(order, find)?, coins }),
        Deed::Grant { user, coins, expires, reason } => Command::Grant(Grant { user, coins, expires, reason }),
    };
    Ok(Envelope { id, occurred_at: None, actor, client: None, command })
}

/// What would come of a command.
#[derive(Debug)]
pub enum Preview {
    /// This would be recorded, an event or a refusal.
    New(Box<Record>),
    /// Its id has this record already.
    Known(Box<Record>),
    /// Nothing would be recorded.
    Nothing(Said),
}

/// What would come of a command now; nothing is recorded.
pub fn preview(engine: &Engine, caller: &Caller, envelope: &Envelope) -> Result<Preview> {
    Ok(match engine.check(caller, envelope.clone())? {
        Checked::New(record) => Preview::New(record),
        Checked::Known(record) => Preview::Known(Box::new(record.as_ref().clone())),
        Checked::Nothing(answer) => Preview::Nothing(Said::of(&answer)),
    })
}

/// Does it.
pub fn carry_out(engine: &Engine, caller: &Caller, envelope: Envelope) -> Said {
    let mut answers = engine.execute(caller, vec![envelope], Lines::InOrder);
    Said::of(&answers.pop().expect("each command has an answer"))
}
