//! A leaderboard.

use chrono_tz::Tz;
use projections::{Board, BoardKey, Members, Window};
use replay::AsOf;
use schemas::{ActivityId, Month};

use crate::app::{Ledger, Result};

/// Which gifts count.
#[derive(Debug)]
pub enum Gifts {
    /// Those of a month, in a zone; in the entity's where none is named.
    Month(Month, Option<String>),
    /// Those of a campaign.
    Activity(ActivityId),
    /// All.
    AllTime,
}

/// A leaderboard: ties go to who reached the score first.
#[derive(Debug)]
pub struct Question {
    /// Which gifts count.
    pub gifts: Gifts,
    /// Who competes.
    pub members: Members,
    /// By what was recorded by then.
    pub as_of: Option<AsOf>,
}

impl Question {
    /// Folds the log.
    pub fn ask(&self, ledger: &Ledger) -> Result<Board> {
        let as_of = self.as_of.unwrap_or(AsOf::End);
        let window = match &self.gifts {
            Gifts::Month(month, zone) => Window::Month { month: *month, zone: self.zone(ledger, zone.as_deref())? },
            Gifts::Activity(activity) => Window::Activity(activity.clone()),
            Gifts::AllTime => Window::AllTime,
        };
        let mut board = Board::new(BoardKey { window, members: self.members });
        ledger.fold(as_of, |record| {
            board.apply(record);
        })?;
        Ok(board)
    }

    fn zone(&self, ledger: &Ledger, asked: Option<&str>) -> Result<Tz> {
        ledger.zone(asked, self.as_of.unwrap_or(AsOf::End))
    }
}
