//! A leaderboard.

use chrono_tz::Tz;
use clap::ArgGroup;
use projections::{Board, BoardKey, Members, Window};
use replay::AsOf;
use schemars::JsonSchema;
use schemas::{ActivityId, Month, Timestamp, Zone};
use serde::{Deserialize, Serialize};

use crate::app::{Error, Ledger, Result, asked};

/// A leaderboard: ties go to who reached the score first.
#[derive(Debug, clap::Args, Deserialize, JsonSchema)]
#[command(group(ArgGroup::new("window").required(true).args(["month", "activity", "all_time"])))]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The gifts of a month, such as 2026-11.
    #[arg(long)]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<Month>")]
    pub month: Option<Month>,
    /// Those of a campaign.
    #[arg(long, value_name = "ID")]
    pub activity: Option<ActivityId>,
    /// All.
    #[arg(long)]
    #[serde(default)]
    pub all_time: bool,
    /// Who competes: streamers by recipient value, or senders by coins charged.
    #[arg(long, value_enum, default_value_t)]
    #[serde(default)]
    pub members: Who,
    /// How many ranks.
    #[arg(long, value_name = "N", default_value_t = ranks())]
    #[serde(default = "ranks")]
    pub top: usize,
    /// Where the month begins; the entity's zone where absent.
    #[arg(long)]
    pub zone: Option<String>,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub as_of: Option<AsOf>,
}

/// Who competes, as it is asked for.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BoardMembers")]
pub enum Who {
    /// By recipient value.
    #[default]
    Streamers,
    /// By coins charged.
    Senders,
}

fn ranks() -> usize {
    10
}

/// The first ranks of a board.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Board")]
pub struct Answer {
    /// The clock of the answer.
    pub as_of: Timestamp,
    /// Where the month begins and ends; absent where no month is asked for.
    pub zone: Option<Zone>,
    /// From the first rank on.
    pub ranks: Vec<Place>,
    /// How many more members there are.
    pub more: usize,
}

/// A place on a board.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "BoardPlace")]
pub struct Place {
    /// From 1; no two members share one.
    pub rank: u64,
    /// The id of who it is.
    pub member: String,
    /// Recipient value or coins charged: a sum, so a decimal string.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "String")]
    pub score: i128,
    /// When the last standing increase was made.
    pub reached_at: Timestamp,
}

impl Place {
    fn of(row: &projections::Row) -> Self {
        let (rank, member, score, reached_at) = (row.rank, row.member.to_string(), row.score, row.reached_at);
        Self { rank, member, score, reached_at }
    }
}

impl Question {
    /// The board of a month, in the entity's zone.
    pub fn of_month(month: Month, members: Who, top: usize) -> Self {
        Self { month: Some(month), activity: None, all_time: false, members, top, zone: None, as_of: None }
    }

    /// Folds the log.
    ///
    /// # Errors
    /// [`Error::Unasked`] unless it is about one of a month, a campaign and all gifts.
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        let as_of = self.as_of.unwrap_or(AsOf::End);
        let asked = self.zone.as_deref().map(schemas::parse_zone).transpose()?;
        let (window, zone) = match (self.month, &self.activity, self.all_time) {
            (Some(month), None, false) => {
                let zone: Tz = asked.map_or_else(|| ledger.zone(None, as_of), Ok)?;
                (Window::Month { month, zone }, Some(Zone(zone)))
            }
            (None, Some(activity), false) => (Window::Activity(activity.clone()), None),
            (None, None, true) => (Window::AllTime, None),
            _ => return Err(Error::Unasked("name one of `month`, `activity` and `all_time`".to_owned())),
        };
        let members = match self.members {
            Who::Streamers => Members::Streamers,
            Who::Senders => Members::Senders,
        };
        let mut board = Board::new(BoardKey { window, members });
        let clock = ledger.fold(as_of, |record| {
            board.apply(record);
        })?;
        let ranking = board.ranking();
        let ranks: Vec<Place> = ranking.rows().iter().take(self.top).map(Place::of).collect();
        let more = ranking.rows().len() - ranks.len();
        Ok(Answer { as_of: clock, zone, ranks, more })
    }
}
