//! `board`: a leaderboard.

use std::io::Write;

use anyhow::Result;
use chrono_tz::Tz;
use projections::{Board as Fold, Members, Window};
use replay::AsOf;
use schemas::{ActivityId, Month};

use super::{Ended, Global};
use crate::{
    app::questions::board::{Gifts, Question},
    local_time::{local, titled},
    output::{json_line, stdout, table, thousands},
};

/// Show a leaderboard.
///
/// Ties go to who reached the score first.
#[derive(Debug, clap::Args)]
pub struct Board {
    #[command(flatten)]
    window: WindowArgs,
    /// Who competes: streamers by recipient value, or senders by coins charged.
    #[arg(long, value_enum, default_value_t)]
    members: Who,
    /// How many ranks.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Where the month begins; the entity's zone where absent.
    #[arg(long)]
    zone: Option<String>,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    as_of: Option<AsOf>,
}

/// Which gifts count.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct WindowArgs {
    /// Those of a month, such as 2026-11.
    #[arg(long)]
    month: Option<Month>,
    /// Those of a campaign.
    #[arg(long, value_name = "ID")]
    activity: Option<ActivityId>,
    /// All.
    #[arg(long)]
    all_time: bool,
}

#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Who {
    #[default]
    Streamers,
    Senders,
}

impl Board {
    pub fn run(self, global: &Global) -> Result<Ended> {
        if let Some(zone) = &self.zone {
            schemas::parse_zone(zone)?;
        }
        let gifts = match (self.window.month, self.window.activity) {
            (Some(month), _) => Gifts::Month(month, self.zone),
            (None, Some(activity)) => Gifts::Activity(activity),
            (None, None) => Gifts::AllTime,
        };
        let members = match self.members {
            Who::Streamers => Members::Streamers,
            Who::Senders => Members::Senders,
        };
        let ledger = global.ledger_to_read();
        let board = Question { gifts, members, as_of: self.as_of }.ask(&ledger)?;
        let shown_in = match (&board.key().window, global.json) {
            (Window::Month { zone, .. }, _) => *zone,
            (_, true) => Tz::UTC, // programs read UTC
            (Window::Activity(_) | Window::AllTime, false) => ledger.shown_zone(self.as_of.unwrap_or(AsOf::End))?,
        };
        print(&board, self.top, global.json, shown_in)?;
        Ok(Ended::Well)
    }
}

/// The first `top` ranks; for people with times in a zone.
pub fn print(board: &Fold, top: usize, json: bool, zone: Tz) -> Result<()> {
    let ranking = board.ranking();
    let rows = ranking.rows().iter().take(top);
    let mut out = stdout();
    if json {
        for row in rows {
            json_line(&mut out, row)?;
        }
    } else {
        let rows = rows.map(|row| {
            let member = row.member.as_str().to_owned();
            vec![row.rank.to_string(), member, thousands(row.score), local(row.reached_at, zone)]
        });
        writeln!(out, "{}", table(&["rank", "member", "score", &titled("reached", zone)], &[0, 2], rows))?;
    }
    out.flush()?;
    Ok(())
}
