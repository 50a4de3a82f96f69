//! Leaderboards, exact after refunds and roll-backs.
//!
//! An *increase* is what one gift adds to one member: for a streamer their share of its recipient
//! value, for a sender the coins charged. It counts from when the gift was given, by what is left of
//! it: a refund in part lowers it, one in whole undoes it as if it had never been made, and a
//! roll-back of the refund restores it. Ties go to whose last standing increase is earlier, then to
//! the smaller member id. The house is no member.
//!
//! So a board is a function of the orders as they stand, and neither shards nor the order of
//! refunds show in it.

mod ranking;
mod standing;

use std::fmt;

use chrono_tz::Tz;
use hashbrown::{HashMap, hash_map::Entry};
use schemas::{ActivityId, Month, Record, StreamerId, Timestamp, UserId};
use serde::{Serialize, Serializer};

use crate::gift::{GiftChange, Step, gift_changes};
pub use ranking::{Ranking, Row};
use standing::Standing;

/// Which board.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BoardKey {
    /// Which gifts count.
    pub window: Window,
    /// Who competes.
    pub members: Members,
}

/// Which gifts count, by when they were given or what they named.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Window {
    /// Those of a month, from local midnight to local midnight.
    Month {
        /// The month.
        month: Month,
        /// Whose midnight.
        zone: Tz,
    },
    /// Those of a campaign.
    Activity(ActivityId),
    /// All.
    AllTime,
}

/// Who competes, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Members {
    /// Streamers, by recipient value.
    Streamers,
    /// Senders, by coins charged.
    Senders,
}

/// Who stands on a board. In JSON the id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// On a board of streamers.
    Streamer(StreamerId),
    /// On a board of senders.
    Sender(UserId),
}

impl Member {
    /// The id.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Streamer(id) => id.as_str(),
            Self::Sender(id) => id.as_str(),
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Member {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One board. Keeps a time per standing increase, some 20 bytes.
#[derive(Debug, Clone)]
pub struct Board {
    key: BoardKey,
    /// The first instant that counts and the first that no longer does, where the window is a month.
    bounds: Option<(Timestamp, Timestamp)>,
    members: HashMap<Member, Standing, foldhash::fast::RandomState>,
}

impl Board {
    /// Before the first record.
    pub fn new(key: BoardKey) -> Self {
        let bounds = match &key.window {
            Window::Month { month, zone } => Some(month.bounds(*zone)),
            Window::Activity(_) | Window::AllTime => None,
        };
        Self { key, bounds, members: HashMap::default() }
    }

    /// Takes the gifts, refunds and roll-backs of a record that count here.
    pub fn apply(&mut self, record: &Record) {
        for change in gift_changes(record) {
            if self.counts(&change) {
                self.take(&change);
            }
        }
    }

    /// Which board it is.
    pub fn key(&self) -> &BoardKey {
        &self.key
    }

    /// How many members stand on it.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody stands on it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The board as it stands.
    pub fn ranking(&self) -> Ranking {
        let members = self.members.iter().filter_map(|(member, standing)| {
            let reached_at = standing.last_increase()?;
            Some((member.clone(), standing.score(), reached_at))
        });
        Ranking::new(members.collect())
    }

    fn counts(&self, change: &GiftChange<'_>) -> bool {
        match &self.key.window {
            Window::Month { .. } => {
                self.bounds.is_some_and(|(from, until)| from <= change.given_at && change.given_at < until)
            }
            Window::Activity(activity) => change.activity == Some(activity),
            Window::AllTime => true,
        }
    }

    fn take(&mut self, change: &GiftChange<'_>) {
        match self.key.members {
            Members::Senders => {
                self.step(Member::Sender(change.sender.clone()), change.given_at, change.charged);
            }
            Members::Streamers => {
                for share in change.shares.iter().filter(|share| !share.streamer.is_house()) {
                    self.step(Member::Streamer(share.streamer.clone()), change.given_at, share.value);
                }
            }
        }
    }

    fn step(&mut self, member: Member, given_at: Timestamp, step: Step) {
        if step.before == step.after {
            return;
        }
        match self.members.entry(member) {
            Entry::Vacant(vacant) => {
                vacant.insert(Standing::default()).take(given_at, step);
            }
            Entry::Occupied(mut occupied) => {
                occupied.get_mut().take(given_at, step);
                if occupied.get().is_over() {
                    occupied.remove();
                }
            }
        }
    }
}

/// Every board there is: all time, each month of one zone, each campaign; of streamers and senders.
#[derive(Debug, Clone)]
pub struct Boards {
    zone: Tz,
    by_key: HashMap<BoardKey, Board, foldhash::fast::RandomState>,
    /// The month that the last gift fell in, with its bounds.
    last_month: Option<(Month, Timestamp, Timestamp)>,
}

impl Boards {
    /// Before the first record, with the months of `zone`.
    pub fn new(zone: Tz) -> Self {
        Self { zone, by_key: HashMap::default(), last_month: None }
    }

    /// Takes the gifts, refunds and roll-backs of a record.
    pub fn apply(&mut self, record: &Record) {
        for change in gift_changes(record) {
            let month = Window::Month { month: self.month_of(change.given_at), zone: self.zone };
            let activity = change.activity.map(|activity| Window::Activity(activity.clone()));
            for window in [Some(Window::AllTime), Some(month), activity].into_iter().flatten() {
                for members in [Members::Streamers, Members::Senders] {
                    let key = BoardKey { window: window.clone(), members };
                    let board = match self.by_key.entry(key) {
                        Entry::Occupied(occupied) => occupied.into_mut(),
                        Entry::Vacant(vacant) => {
                            let board = Board::new(vacant.key().clone());
                            vacant.insert(board)
                        }
                    };
                    board.take(&change);
                }
            }
        }
    }

    fn month_of(&mut self, time: Timestamp) -> Month {
        match self.last_month {
            Some((month, from, until)) if from <= time && time < until => month,
            _ => {
                let month = time.month_in(self.zone);
                let (from, until) = month.bounds(self.zone);
                self.last_month = Some((month, from, until));
                month
            }
        }
    }

    /// Whose months.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// A board, where a gift ever counted for it.
    pub fn board(&self, key: &BoardKey) -> Option<&Board> {
        self.by_key.get(key)
    }

    /// The windows in which a gift ever counted: all time, the months, the campaigns.
    pub fn windows(&self) -> Vec<Window> {
        let mut windows: Vec<Window> = self.by_key.keys().map(|key| key.window.clone()).collect();
        let place = |window: &Window| match window {
            Window::AllTime => (0, None, None),
            Window::Month { month, .. } => (1, Some(*month), None),
            Window::Activity(activity) => (2, None, Some(activity.clone())),
        };
        windows.sort_by_cached_key(place);
        windows.dedup();
        windows
    }
}

#[cfg(test)]
mod tests;
