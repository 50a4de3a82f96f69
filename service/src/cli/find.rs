//! `find`: whatever has an id.

use std::io::Write;

use anyhow::Result;
use chrono_tz::Tz;
use schemas::UserId;

use super::{Ended, Global, show};
use crate::{
    app::questions::find::{Answer, Named, Question},
    ledger_dir::shell_quoted,
    local_time::{local, titled},
    output::{table, thousands},
    words,
};

/// Find whatever has an id.
///
/// Shows every record that the id names: a command's id, the number of an order or a record, a channel's
/// transaction, alone or as CHANNEL/TRANSACTION. Of a user it says how to see the wallet.
#[derive(Debug, clap::Args)]
pub struct Find {
    #[command(flatten)]
    question: Question,
}

impl Find {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let home = global.home()?;
        let answer = home.ask(&self.question)?;
        let wallet = |user: &UserId| home.typed(&format!("wallet {}", shell_quoted(user.as_str())));
        show(global, &home, (&answer, self.question.as_of), |out, answer, zone| {
            print(out, answer, zone)?;
            if let Some(user) = &answer.user {
                writeln!(out, "it is a user: {}", wallet(user))?;
            }
            Ok(())
        })
    }
}

fn print(out: &mut dyn Write, answer: &Answer, zone: Tz) -> Result<()> {
    if answer.more > 0 {
        writeln!(out, "older ones are left out ({}): raise --limit", thousands(answer.more))?;
    }
    let rows = answer.found.iter().flat_map(|found| {
        let record = &found.record;
        words::sentences(record, zone, |_, _| true).into_iter().map(move |what| {
            let (time, place, whose) = (local(record.time, zone), words::place(record), record.subject.to_string());
            let named = match found.named {
                Named::Command => "command",
                Named::Order => "order",
                Named::Record => "record",
                Named::Transaction => "transaction",
            };
            vec![time, place, named.to_owned(), whose, what, words::actor(record), record.id.to_string()]
        })
    });
    let header = [&*titled("recorded", zone), "record", "it is its", "whose", "what", "by", "command"];
    if !answer.found.is_empty() {
        writeln!(out, "{}", table(&header, &[], rows))?;
    }
    writeln!(out, "as of {} ({})", local(answer.as_of, zone), zone.name())?;
    Ok(())
}
