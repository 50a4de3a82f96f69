//! The choices of a schedule. Each concern has its own stream of the seed's numbers, so that one more
//! choice in one of them leaves the others as they were, and a seed keeps most of its meaning.

use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What choices are about.
#[derive(Debug, Clone, Copy)]
pub enum Concern {
    /// How large the world is, and what can go wrong in it.
    World = 1,
    /// What clients ask for.
    Commands = 2,
    /// When and how often they ask.
    Clients = 3,
    /// Which step comes next.
    Schedule = 4,
    /// How the clock moves.
    Clock = 5,
    /// What fails, and when.
    Faults = 6,
    /// How a process ends and starts.
    Ends = 7,
    /// How the index and the snapshots are kept.
    Keeping = 8,
    /// What of them decays.
    Decay = 9,
    /// Who asks for more than there is, again and again.
    Greed = 10,
    /// When somebody asks for a snapshot.
    ByHand = 11,
    /// Which schedules are long.
    Length = 12,
    /// Which have records as large as they can be.
    Crowd = 13,
    /// Which services the clients belong to, and what these name of each other.
    Services = 14,
}

/// The choices of one concern.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of a concern.
    pub fn of(seed: u64, concern: Concern) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(concern as u64);
        Self(random)
    }

    /// Whether something happens that does so `times` in a thousand.
    pub fn happens(&mut self, times: u32) -> bool {
        self.0.random_range(0..1_000) < times
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    /// A number of a range.
    pub fn within(&mut self, range: RangeInclusive<i64>) -> i64 {
        self.0.random_range(range)
    }

    /// An amount of a range.
    pub fn amount(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.random_range(range)
    }

    /// One of some things.
    ///
    /// # Panics
    /// If there are none.
    pub fn one_of<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[self.below(things.len())]
    }

    /// One of some things by their weights.
    ///
    /// # Panics
    /// If there are none.
    pub fn weighed<T: Copy>(&mut self, things: &[(u32, T)]) -> T {
        let sum: u32 = things.iter().map(|(weight, _)| weight).sum();
        let mut at = self.0.random_range(0..sum);
        for (weight, thing) in things {
            if at < *weight {
                return *thing;
            }
            at -= weight;
        }
        unreachable!("the number is below the sum of the weights")
    }
}
