//! What support does to one order or user: built here as the command that it is, so that every door asks for the
//! same.

use ledger::{Answer, Caller, Checked, Engine, Lines};
use schemas::{
    ActorId, Capture, Coins, Command, CommandId, Envelope, Grant, OrderName, OrderRef, PartName, ReasonCode, Refund,
    Release, RollBackRefund, Timestamp, UserId,
};

use crate::app::{Error, Result, questions::order::Which};

/// An order as commands name it. A number says where its record stands, and that says whose it is.
///
/// # Errors
/// [`Error::NotFound`] if the number is of no order; [`Error::Unasked`] if none is named.
fn named(engine: &Engine, which: Which) -> Result<OrderRef> {
    which.check()?;
    if let (Some(user), Some(command)) = (which.user, which.command) {
        return Ok(OrderRef {
            user,
            name: OrderName::Command(PartName { command, part: which.part, source: which.source }),
        });
    }
    let Some(id) = which.number else { return Err(Which::unnamed()) };
    let placed = if id.shard < engine.shards() { engine.reader().find(id.shard, id.sequence)? } else { None };
    let user = placed.as_ref().filter(|(_, record)| record.order(id).is_some());
    match user.and_then(|(_, record)| record.subject.user()) {
        Some(user) => Ok(OrderRef { user: user.clone(), name: OrderName::Number(id) }),
        None => Err(Error::NotFound(format!("there is no order {id}: no record has placed one at that place"))),
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

/// The command that does it.
///
/// # Errors
/// [`Error::NotFound`] if it is about an order that is not there.
pub fn envelope(engine: &Engine, deed: Deed, id: CommandId, actor: Option<ActorId>) -> Result<Envelope> {
    let command = match deed {
        Deed::Refund { order, coins, reason } => {
            Command::Refund(Refund { order: named(engine, order)?, coins, reason })
        }
        Deed::RollBack { order, refund, reason } => {
            Command::RollBackRefund(RollBackRefund { order: named(engine, order)?, refund, reason })
        }
        Deed::Release { order, reason } => Command::Release(Release { order: named(engine, order)?, reason }),
        Deed::Capture { order, coins } => Command::Capture(Capture { order: named(engine, order)?, coins }),
        Deed::Grant { user, coins, expires, reason } => Command::Grant(Grant { user, coins, expires, reason }),
    };
    Ok(Envelope { id, occurred_at: None, actor, client: None, command })
}

/// What would come of a command now; nothing is recorded.
pub fn preview(engine: &Engine, caller: &Caller, envelope: &Envelope) -> Result<Checked> {
    Ok(engine.check(caller, envelope.clone())?)
}

/// Does it.
pub fn carry_out(engine: &Engine, caller: &Caller, envelope: Envelope) -> Answer {
    let mut answers = engine.execute(caller, vec![envelope], Lines::InOrder);
    answers.pop().expect("each command has an answer")
}
