//! What an operator watches: queues, the clock, what is due, what is on its way, how long the disk takes.

use std::time::Duration;

use schemas::Timestamp;

use super::{Engine, core::Core};
use crate::{Result, log::Stats, state::State};

/// How an engine is doing.
#[derive(Debug, Clone)]
pub struct Health {
    /// Commands that wait to be decided, and those that are decided and not answered.
    pub queued: usize,
    /// Whether the disk has room for what is decided next; unknown before the writer has looked.
    pub has_room: Option<bool>,
    /// What the log has asked of the disk.
    pub stats: Stats,
    /// How long batches took to become durable.
    pub writes: Latencies,
    /// The last sequence of each shard.
    pub sequences: Vec<u64>,
    /// Users with a wallet or an open order.
    pub users: u64,
    /// What the clock shows.
    pub now: Timestamp,
    /// By how much it is ahead of the time that has passed since the start, in nanoseconds; negative where behind.
    pub clock_offset_ns: i64,
    /// Whether it is not trusted: nothing new is decided by it.
    pub clock_is_ahead: bool,
    /// The time of the last record.
    pub last_record: Timestamp,
    /// When the next lot lapses or the next hold comes back; what is past is late.
    pub next_due: Option<Timestamp>,
    /// Dispatches that are on their way.
    pub untaken: u64,
    /// When the first of them was recorded.
    pub oldest_untaken: Option<Timestamp>,
    /// What the index holds in memory.
    pub index_bytes: usize,
}

/// How often something took how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latencies {
    /// How often it took less than [`Self::BOUNDS_US`], each without those before.
    pub counts: [u64; Self::BOUNDS_US.len()],
    /// How often it took longer.
    pub longer: u64,
    /// All of it together.
    pub total: Duration,
}

impl Latencies {
    /// Microseconds.
    pub const BOUNDS_US: [u64; 14] =
        [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 409_600, 1_638_400];

    /// It took that long.
    pub(super) fn note(&mut self, time: Duration) {
        self.total += time;
        let place = Self::BOUNDS_US.iter().position(|bound| time < Duration::from_micros(*bound));
        match place {
            Some(place) => self.counts[place] += 1,
            None => self.longer += 1,
        }
    }
}

/// What only the decider knows.
struct Known {
    sequences: Vec<u64>,
    users: u64,
    now: Timestamp,
    clock_offset_ns: i64,
    clock_is_ahead: bool,
    last_record: Timestamp,
    next_due: Option<Timestamp>,
    untaken: u64,
    index_bytes: usize,
}

impl Engine {
    /// How it is doing.
    ///
    /// # Errors
    /// [`Error::EngineStopped`](crate::Error::EngineStopped), or why it stopped.
    pub fn health(&self) -> Result<Health> {
        let known = self.look(|core| known(core))?;
        let Known { sequences, users, now, clock_offset_ns, clock_is_ahead, last_record, .. } = known;
        let queues = self.lanes.lock();
        Ok(Health {
            queued: queues.queued + queues.undecided,
            has_room: queues.room,
            stats: queues.stats,
            writes: queues.writes,
            oldest_untaken: queues.inbox.dispatches.front().map(|untaken| untaken.recorded_at),
            sequences,
            users,
            now,
            clock_offset_ns,
            clock_is_ahead,
            last_record,
            next_due: known.next_due,
            untaken: known.untaken,
            index_bytes: known.index_bytes,
        })
    }
}

fn known(core: &Core) -> Known {
    let seen = core.clock();
    let states = &core.states;
    let on_the_way = |source: &State| -> u64 {
        states.iter().map(|target| source.issued_to(target.shard()) - target.taken_from(source.shard())).sum()
    };
    Known {
        sequences: states.iter().map(State::sequence).collect(),
        users: states.iter().map(|state| state.users().len() as u64).sum(),
        now: seen.now,
        clock_offset_ns: seen.offset_ns,
        clock_is_ahead: seen.is_ahead,
        last_record: core.last_time(),
        next_due: core.next_due(),
        untaken: states.iter().map(on_the_way).sum(),
        index_bytes: core.index().bytes(),
    }
}
