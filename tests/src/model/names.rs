//! How a command names what earlier ones did, and what it means: said without a source it is the asker's own.

use schemas::{
    Capture, Command, Digest, Envelope, HandOver, OrderName, OrderRef, PartName, Query, Refund, Release,
    RollBackRefund, Send, Source, Unresolved,
};

/// Everything that a command names by the id of an earlier one.
pub fn names(command: &mut Command) -> Vec<&mut PartName> {
    match command {
        Command::Group(members) => members.iter_mut().flat_map(names).collect(),
        Command::Send(Send { order })
        | Command::Query(Query { order })
        | Command::Unresolved(Unresolved { order, .. })
        | Command::HandOver(HandOver { order, .. })
        | Command::Capture(Capture { order, .. })
        | Command::Release(Release { order, .. })
        | Command::Refund(Refund { order, .. }) => of_order(order).into_iter().collect(),
        Command::RollBackRefund(RollBackRefund { order, refund, .. }) => {
            of_order(order).into_iter().chain([refund]).collect()
        }
        Command::Publish(_)
        | Command::TopUp(_)
        | Command::Chargeback(_)
        | Command::Reinstate(_)
        | Command::Grant(_)
        | Command::Gift(_)
        | Command::Hold(_)
        | Command::Credit(_)
        | Command::TakeBack(_)
        | Command::GiveBack(_)
        | Command::TakeReference(_)
        | Command::ExpireLot(_)
        | Command::ExpireHold(_) => Vec::new(),
    }
}

fn of_order(order: &mut OrderRef) -> Option<&mut PartName> {
    match &mut order.name {
        OrderName::Command(name) => Some(name),
        OrderName::Number(_) => None,
    }
}

/// What a command of that service means: with another meaning it is another command.
pub fn content(asker: &Source, envelope: &Envelope) -> Digest {
    let mut command = envelope.command.clone();
    for name in names(&mut command) {
        name.source.take_if(|source| source == asker);
    }
    Digest::of(&command, envelope.occurred_at)
}
