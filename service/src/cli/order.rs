//! `order`: one order, and everything that happened to it.

use std::io::Write;

use anyhow::{Result, bail};
use replay::AsOf;
use schemas::{CommandId, OrderId, Record, Subject, UserId};
use serde::Serialize;

use super::{Ended, Global, events};
use crate::output::{json_line, stdout};

/// Show an order by its number, or by user and the id of the command that placed it.
#[derive(Debug, clap::Args)]
pub struct Order {
    /// Its number, such as 3-17.
    #[arg(required_unless_present = "command")]
    number: Option<OrderId>,
    /// Whose order, with --command.
    #[arg(long, requires = "command", conflicts_with = "number")]
    user: Option<UserId>,
    /// The command that placed it, with --user.
    #[arg(long, requires = "user", value_name = "ID")]
    command: Option<CommandId>,
}

/// An order with its records.
#[derive(Debug, Serialize)]
struct Story {
    order: schemas::Order,
    user: Option<UserId>,
    records: Vec<Record>,
}

impl Order {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let Some(story) = self.story(global)? else {
            match (self.number, self.user, self.command) {
                (None, Some(user), Some(command)) => bail!("no command {command} of user {user} placed an order"),
                (number, ..) => bail!("there is no order {}", number.map(|n| n.to_string()).unwrap_or_default()),
            }
        };
        let mut out = stdout();
        if global.json {
            json_line(&mut out, &story)?;
        } else {
            let order = &story.order;
            writeln!(out, "order {}: {:?}, charged {}, left {}", order.id, order.status, order.charged, order.left)?;
            for record in &story.records {
                events::print(&mut out, record)?;
            }
        }
        out.flush()?;
        Ok(Ended::Well)
    }

    /// One pass over the log: the placing record comes before all others.
    fn story(&self, global: &Global) -> Result<Option<Story>> {
        let mut story: Option<Story> = None;
        global.ledger().fold(AsOf::End, |record| {
            let is_it = |order: &schemas::Order| match &story {
                Some(story) => story.order.id == order.id,
                None => self.names(record, order.id),
            };
            // The first of a group where its id names the order, and its newest state in any later record.
            let mut found = record.orders().filter(is_it);
            let order = if story.is_none() { found.next() } else { found.last() };
            if let Some(order) = order {
                let known = story.get_or_insert_with(|| Story {
                    order: order.clone(),
                    user: record.subject.user().cloned(),
                    records: Vec::new(),
                });
                known.order = order;
                known.records.push(record.clone());
            }
            Ok(())
        })?;
        Ok(story)
    }

    fn names(&self, record: &Record, order: OrderId) -> bool {
        match (&self.number, &self.user, &self.command) {
            (Some(number), ..) => *number == order,
            (None, Some(user), Some(command)) => {
                record.subject == Subject::User(user.clone())
                    && record.id == *command
                    && record.origin == schemas::Origin::Caller
                    && order == record.order_id(order.part)
            }
            _ => false,
        }
    }
}
