//! A provider that misbehaves as real ones do, from a seed: it delivers or refuses each order once
//! and for good, but its answers get lost, come late, or are about something else. What it does
//! follows from the seed, the order and how often it was called for it, not from when.

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
    seed: u64,
    truth: BTreeMap<OrderId, Truth>,
}

#[derive(Debug, Clone, Copy)]
struct Truth {
    verdict: Verdict,
    silent: bool,
    calls: u64,
}

impl Simulator {
    /// A provider whose every answer follows from the seed.
    pub fn new(seed: u64, behaviour: Behaviour) -> Self {
        Self { behaviour, seed, truth: BTreeMap::new() }
    }

    /// What it did with an order that it was sent: the truth that the ledger should come to.
    pub fn verdict(&self, order: OrderId) -> Option<Verdict> {
        self.truth.get(&order).map(|truth| truth.verdict)
    }

    /// Whether it never answers about the order.
    pub fn is_silent(&self, order: OrderId) -> bool {
        self.truth.get(&order).is_some_and(|truth| truth.silent)
    }

    /// The dice for a call about an order; those of call 0 decide what becomes of it.
    fn dice(&self, order: OrderId, call: u64) -> Dice {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(order.shard) << 48 | order.sequence << 8 | u64::from(order.part));
        rng.set_word_pos(u128::from(call) * 64);
        Dice(rng)
    }

    fn decide(&self, order: &Order) -> Truth {
        let mut dice = self.dice(order.id, 0);
        let silent = dice.show(self.behaviour.silent);
        let verdict = if dice.show(self.behaviour.refuses) {
            Verdict::Rejected
        } else if order.left.get() > 1 && dice.show(self.behaviour.delivers_part) {
            let part = dice.0.random_range(1..order.left.get());
            Verdict::Delivered(Coins::new(part).expect("less than was held"))
        } else {
            Verdict::Delivered(order.left)
        };
        Truth { verdict, silent, calls: 0 }
    }

    fn answer(&mut self, order: &Order) -> Option<Reply> {
        let decided = self.decide(order);
        let truth = self.truth.entry(order.id).or_insert(decided);
        truth.calls += 1;
        let Truth { verdict, silent, calls } = *truth;
        let mut dice = self.dice(order.id, calls);
        if silent || dice.show(self.behaviour.loses) {
            return None;
        }
        if dice.show(self.behaviour.late) {
            return Some(Reply { order: order.id, verdict: Verdict::Pending });
        }
        if dice.show(self.behaviour.wrong) {
            let other = OrderId { sequence: order.id.sequence + 1, ..order.id };
            let too_much = Coins::new(order.left.get() + 1).unwrap_or(Coins::MAX);
            return Some(if dice.show(50) {
                Reply { order: other, verdict }
            } else {
                Reply { order: order.id, verdict: Verdict::Delivered(too_much) }
            });
        }
        Some(Reply { order: order.id, verdict })
    }
}

struct Dice(ChaCha8Rng);

impl Dice {
    /// True in so many of a hundred throws.
    fn show(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }
}

impl Partner for Simulator {
    fn send(&mut self, _: &UserId, order: &Order) -> Option<Reply> {
        self.answer(order)
    }

    fn query(&mut self, _: &UserId, order: &Order) -> Option<Reply> {
        self.answer(order)
    }
}
