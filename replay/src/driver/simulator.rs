//! A provider that misbehaves as real ones do, from a seed: it delivers or refuses each order once
//! and for good, but its answers get lost, come late, or are about something else.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::{Coins, Order, OrderId, UserId};

use super::{Partner, Reply, Verdict};

/// How often what happens, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// Orders that it refuses.
    pub refuses: u32,
    /// Orders that it delivers only in part.
    pub delivers_part: u32,
    /// Orders about which it never answers at all.
    pub silent: u32,
    /// Answers that get lost.
    pub loses: u32,
    /// Answers that say it is still going on.
    pub late: u32,
    /// Answers about another order or for an impossible amount.
    pub wrong: u32,
}

/// A simulated provider.
#[derive(Debug)]
pub struct Simulator {
    behaviour: Behaviour,
    rng: ChaCha8Rng,
    truth: BTreeMap<OrderId, Truth>,
}

#[derive(Debug, Clone, Copy)]
struct Truth {
    verdict: Verdict,
    silent: bool,
}

impl Simulator {
    /// A provider whose every answer follows from the seed.
    pub fn new(seed: u64, behaviour: Behaviour) -> Self {
        Self { behaviour, rng: ChaCha8Rng::seed_from_u64(seed), truth: BTreeMap::new() }
    }

    /// What it did with an order that it was sent: the truth that the ledger should come to.
    pub fn verdict(&self, order: OrderId) -> Option<Verdict> {
        self.truth.get(&order).map(|truth| truth.verdict)
    }

    /// Whether it never answers about the order.
    pub fn is_silent(&self, order: OrderId) -> bool {
        self.truth.get(&order).is_some_and(|truth| truth.silent)
    }

    fn happens(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn decide(&mut self, order: &Order) -> Truth {
        if let Some(truth) = self.truth.get(&order.id) {
            return *truth;
        }
        let silent = self.happens(self.behaviour.silent);
        let verdict = if self.happens(self.behaviour.refuses) {
            Verdict::Rejected
        } else if order.left.get() > 1 && self.happens(self.behaviour.delivers_part) {
            let part = self.rng.random_range(1..order.left.get());
            Verdict::Delivered(Coins::new(part).expect("less than was held"))
        } else {
            Verdict::Delivered(order.left)
        };
        let truth = Truth { verdict, silent };
        self.truth.insert(order.id, truth);
        truth
    }

    fn answer(&mut self, order: &Order, truth: Truth) -> Option<Reply> {
        if truth.silent || self.happens(self.behaviour.loses) {
            return None;
        }
        if self.happens(self.behaviour.late) {
            return Some(Reply { order: order.id, verdict: Verdict::Pending });
        }
        if self.happens(self.behaviour.wrong) {
            let other = OrderId { sequence: order.id.sequence + 1, ..order.id };
            let too_much = Coins::new(order.left.get() + 1).unwrap_or(Coins::MAX);
            return Some(if self.happens(50) {
                Reply { order: other, verdict: truth.verdict }
            } else {
                Reply { order: order.id, verdict: Verdict::Delivered(too_much) }
            });
        }
        Some(Reply { order: order.id, verdict: truth.verdict })
    }
}

impl Partner for Simulator {
    fn send(&mut self, _: &UserId, order: &Order) -> Option<Reply> {
        let truth = self.decide(order);
        self.answer(order, truth)
    }

    fn query(&mut self, _: &UserId, order: &Order) -> Option<Reply> {
        // A provider that was never reached has nothing to deliver: it decides when it is first asked.
        let truth = self.decide(order);
        self.answer(order, truth)
    }
}
