//! The third party that delivers game orders.

use schemas::{Coins, Order, OrderId, UserId};

/// A provider as the driver calls it. A call may be repeated; the provider knows the order by its
/// number and answers a repetition alike.
pub trait Partner {
    /// Asks for delivery. Nothing comes back where the answer is lost or late.
    fn send(&mut self, user: &UserId, order: &Order) -> Option<Reply>;
    /// Asks what became of an order.
    fn query(&mut self, user: &UserId, order: &Order) -> Option<Reply>;
}

/// What a provider says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// About which order.
    pub order: OrderId,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered, for so many of the coins held.
    Delivered(Coins),
    /// Not delivered, and never will be.
    Rejected,
    /// Still going on.
    Pending,
}
