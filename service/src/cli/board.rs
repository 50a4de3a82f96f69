//! `board`: a leaderboard.

use std::io::Write;

use anyhow::Result;
use chrono_tz::Tz;

use super::{Ended, Global};
use crate::{
    app::questions::board::{Answer, Question},
    local_time::{local, titled},
    output::{json_line, stdout, table, thousands},
};

/// Show a leaderboard.
///
/// Ties go to who reached the score first.
#[derive(Debug, clap::Args)]
pub struct Board {
    #[command(flatten)]
    question: Question,
}

impl Board {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let home = global.home()?;
        let answer = home.ask(&self.question)?;
        if global.json {
            let mut out = stdout();
            answer.ranks.iter().try_for_each(|row| json_line(&mut out, row))?;
            out.flush()?;
            return Ok(Ended::Well);
        }
        let zone = match answer.zone {
            Some(month) => month.0,
            None => home.shown_zone(self.question.as_of)?,
        };
        print(&answer, zone)?;
        Ok(Ended::Well)
    }
}

/// The ranks, with times in a zone.
pub fn print(board: &Answer, zone: Tz) -> Result<()> {
    let rows = board.ranks.iter().map(|row| {
        let member = row.member.clone();
        vec![row.rank.to_string(), member, thousands(row.score), local(row.reached_at, zone)]
    });
    let mut out = stdout();
    writeln!(out, "{}", table(&["rank", "member", "score", &titled("reached", zone)], &[0, 2], rows))?;
    out.flush()?;
    Ok(())
}
