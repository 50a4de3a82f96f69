//! `board`: a leaderboard.

use std::io::Write;

use anyhow::Result;
use projections::{Board as Fold, BoardKey, Members, Window};
use replay::AsOf;
use schemas::{ActivityId, Month};

use super::{Ended, Global};
use crate::output::{json_line, stdout, table, thousands};

/// Show a leaderboard: ties go to who reached the score first.
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
        let ledger = global.ledger();
        if let Some(zone) = &self.zone {
            schemas::parse_zone(zone)?;
        }
        let window = match (self.window.month, &self.window.activity) {
            (Some(month), _) => Window::Month { month, zone: ledger.zone(self.zone.as_deref())? },
            (None, Some(activity)) => Window::Activity(activity.clone()),
            (None, None) => Window::AllTime,
        };
        let members = match self.members {
            Who::Streamers => Members::Streamers,
            Who::Senders => Members::Senders,
        };
        let mut board = Fold::new(BoardKey { window, members });
        ledger.fold(self.as_of.unwrap_or(AsOf::End), |record| {
            board.apply(record);
            Ok(())
        })?;
        print(&board, self.top, global.json)?;
        Ok(Ended::Well)
    }
}

/// The first `top` ranks.
pub fn print(board: &Fold, top: usize, json: bool) -> Result<()> {
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
            vec![row.rank.to_string(), member, thousands(row.score), row.reached_at.to_string()]
        });
        writeln!(out, "{}", table(&["rank", "member", "score", "reached at"], &[0, 2], rows))?;
    }
    out.flush()?;
    Ok(())
}
