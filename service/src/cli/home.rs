//! Where the ledger of a command is: in a folder here, or behind a server. Commands ask and act; only in here it makes a
//! difference which of them it is.

use std::io::{Read, Write};

use anyhow::{Result, bail};
use chrono_tz::Tz;
use ledger::{Caller, Engine, Lines};
use replay::AsOf;
use schemas::{Envelope, OrderId, Record, Shard, Source};

use super::ToWrite;
use crate::{
    app::{
        self, Said,
        actions::{
            append::{self, Answered, Appended},
            reference::{self, How, PlatformFile},
            support::{self, Preview},
        },
        questions::{
            Asked,
            events::{Question, Seen},
            record,
            reference::Question as ReferenceQuestion,
        },
    },
    client::Server,
    ledger_dir::{shell_quoted, working},
    output::{complain, json_line},
    platform_file::{Applied, Difference, Published},
};

/// Where the ledger is.
#[derive(Debug)]
pub enum Home {
    /// In a folder.
    Folder(app::Ledger),
    /// Behind a server.
    Server(Box<Server>),
}

/// What a command needs of a ledger that it writes to.
#[derive(Debug, Clone, Copy)]
pub enum Start {
    /// There must be one.
    Existing,
    /// One is made, of so many shards, where there is none.
    OrMake(Option<Shard>),
}

impl Home {
    /// Asks it a question.
    pub fn ask<Q: Asked>(&self, question: &Q) -> Result<Q::Answer> {
        Ok(match self {
            Self::Folder(ledger) => question.answer_of(ledger)?,
            Self::Server(server) => server.ask(question)?,
        })
    }

    /// The zone in which people are shown times: the entity's, UTC before there is one.
    pub fn shown_zone(&self, as_of: Option<AsOf>) -> Result<Tz> {
        match self {
            Self::Folder(ledger) => Ok(ledger.shown_zone(as_of.unwrap_or(AsOf::End))?),
            Self::Server(_) => {
                let reference = self.ask(&ReferenceQuestion { as_of })?;
                Ok(reference.entity.map_or(Tz::UTC, |entity| entity.zone.0))
            }
        }
    }

    /// Gives each record that is asked for to `visit`.
    pub fn each(&self, question: &Question, visit: impl FnMut(&Record) -> Result<()>) -> Result<()> {
        match self {
            Self::Folder(ledger) => question.each(ledger, visit),
            Self::Server(server) => server.each(question, visit),
        }
    }

    /// The same, and those that come from now on.
    pub fn follow(&self, question: &Question, visit: impl FnMut(Seen<'_>) -> Result<()>) -> Result<()> {
        match self {
            Self::Folder(ledger) => question.follow(ledger, visit),
            Self::Server(server) => server.follow(question, visit),
        }
    }

    /// A command on this ledger as it is typed.
    pub fn typed(&self, command: &str) -> String {
        match self {
            Self::Folder(ledger) => ledger.folder().typed(command),
            Self::Server(server) => {
                format!("giftledger {command} --server {}", shell_quoted(&server.address().to_string()))
            }
        }
    }

    /// What a platform file would change; nothing is written, and there may be no ledger yet.
    pub fn difference(&self, file: &PlatformFile, prune: bool) -> Result<Difference> {
        match self {
            Self::Folder(ledger) => {
                let there = ledger.folder().exists()?;
                let published = if there { Published::read(ledger)? } else { Published::default() };
                Ok(reference::preview(&published, &file.wanted, prune)?)
            }
            Self::Server(server) => published_by(server, None, file, How { dry_run: true, prune }).map(|done| done.0),
        }
    }

    /// Lets `work` write to it: to a folder through an engine, which is closed whatever came of it.
    pub fn write<T>(&self, how: &ToWrite, start: Start, work: impl FnOnce(&Writing<'_>) -> Result<T>) -> Result<T> {
        match self {
            Self::Folder(ledger) => {
                let folder = ledger.folder().clone().accepting_clock(how.accept_clock);
                let engine = match start {
                    Start::Existing => folder.start(None)?,
                    Start::OrMake(shards) => folder.start_or_make(shards)?,
                };
                working(engine, |engine| work(&Writing::Engine { engine, ledger, caller: how.caller() }))
            }
            Self::Server(server) => {
                if how.accept_clock {
                    bail!("--accept-clock is about the clock of the machine that writes: say it to giftledger serve");
                }
                if let Start::OrMake(Some(_)) = start {
                    bail!("--shards is for a new ledger, and the one of {} is there", server.address());
                }
                if let (Some(source), true) = (&how.source, server.has_token()) {
                    bail!("a token fixes the source of what is sent with it: leave --source {source} out");
                }
                crate::signals::catch();
                work(&Writing::Server { server, source: how.caller().source().clone() })
            }
        }
    }
}

/// A ledger that is open for commands.
#[derive(Debug)]
pub enum Writing<'a> {
    /// Through an engine of this process.
    Engine {
        /// The engine.
        engine: &'a Engine,
        /// Its log.
        ledger: &'a app::Ledger,
        /// Who asks.
        caller: Caller,
    },
    /// Through a server.
    Server {
        /// The server.
        server: &'a Server,
        /// The service that asks, where no token says so.
        source: Source,
    },
}

impl Writing<'_> {
    /// Appends lines of commands; their answers are written to `out`.
    pub fn append(&self, input: impl Read + Send + 'static, order: Lines, out: &mut impl Write) -> Result<Appended> {
        match self {
            Self::Engine { engine, caller, .. } => {
                let print = |answers: &[Answered]| -> Result<()> {
                    answers.iter().try_for_each(|answered| json_line(out, answered))?;
                    Ok(out.flush()?)
                };
                Ok(append::append(engine, caller, input, order, print)?)
            }
            Self::Server { server, source } => {
                Ok(server.append(Some(source), input, matches!(order, Lines::InOrder), out)?)
            }
        }
    }

    /// The record at a place, if there is one.
    pub fn record(&self, place: OrderId) -> Result<Option<Record>> {
        match self {
            Self::Engine { engine, .. } if place.shard >= engine.shards() => Ok(None),
            Self::Engine { engine, .. } => {
                Ok(engine.reader().find(place.shard, place.sequence)?.map(|(_, record)| record))
            }
            Self::Server { server, .. } => match server.ask(&record::Question { record: place }) {
                Err(error) if error.is_not_found() => Ok(None),
                found => Ok(Some(found?)),
            },
        }
    }

    /// What would come of a command.
    pub fn preview(&self, envelope: &Envelope) -> Result<Preview> {
        Ok(match self {
            Self::Engine { engine, caller, .. } => support::preview(engine, caller, envelope)?,
            Self::Server { server, source } => server.check(Some(source), envelope)?,
        })
    }

    /// Sends a command.
    pub fn carry_out(&self, envelope: Envelope) -> Result<Said> {
        Ok(match self {
            Self::Engine { engine, caller, .. } => support::carry_out(engine, caller, envelope),
            Self::Server { server, source } => server.send(Some(source), &envelope)?,
        })
    }

    /// Publishes a platform file once `confirm` has seen what it changes.
    pub fn publish(
        &self,
        file: &PlatformFile,
        prune: bool,
        confirm: impl FnOnce(&Difference) -> Result<()>,
    ) -> Result<Applied> {
        match self {
            Self::Engine { engine, ledger, .. } => {
                let published = Published::read(ledger)?;
                let difference = reference::preview(&published, &file.wanted, prune)?;
                confirm(&difference)?;
                Ok(reference::publish(engine, &Caller::cli(), &published, &difference)?)
            }
            Self::Server { server, .. } => {
                let source = Some(&Source::cli()).filter(|_| !server.has_token()).cloned();
                let look = How { dry_run: true, prune };
                let (shown, _) = published_by(server, source.as_ref(), file, look)?;
                confirm(&shown)?;
                let (done, applied) = published_by(server, source.as_ref(), file, How { dry_run: false, prune })?;
                if done.changes != shown.changes {
                    complain(&"somebody published something meanwhile, so this differs from what was shown:");
                    complain(&schemas::visible_lines(&done.to_string()));
                }
                match applied {
                    Some(applied) => Ok(applied),
                    None => bail!("the server did not say what it published; ask it: GET /v1/reference"),
                }
            }
        }
    }
}

fn published_by(
    server: &Server,
    source: Option<&Source>,
    file: &PlatformFile,
    how: How,
) -> Result<(Difference, Option<Applied>)> {
    let reference::Answer { difference, applied } = server.publish(source, (file.text.as_bytes(), file.form), how)?;
    Ok((difference, applied))
}
