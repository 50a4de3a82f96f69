//! `bench --costs`: what an operation costs where there is as much of something as usual, ten times and a hundred
//! times that. What is right costs the same: a user with many lots, an order with many refunds, a large catalogue
//! must not take the time of others.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use ledger::{Caller, Engine, Lines, SystemClock};
use schemas::{
    Capture, Change, ChannelId, Coins, Command, CommandId, Envelope, Gift, GiftItem, Grant, Hold, ItemId, Money,
    OrderName, OrderRef, PartName, Publish, Recipient, Refund, StreamerId, Timestamp, TopUp, TransactionId, UserId,
};
use serde::Serialize;
use smallvec::SmallVec;

use super::{Bench, gifts::all_taken, machine};
use crate::{
    cli::Ended,
    ledger_dir::LedgerDir,
    output::{json_line, say, stdout, table, thousands},
};

/// How often each is measured: the least counts, since others use the machine too.
const ROUNDS: u64 = 3;
/// Lines of one submission.
const LINES: usize = 4_096;

/// One line of the table.
#[derive(Debug, Serialize)]
struct Cost {
    operation: &'static str,
    /// What there is much of.
    among: &'static str,
    /// How many of those there are.
    numbers: [u64; 3],
    /// Processor time of one operation, of all threads, in µs.
    us: [f64; 3],
    /// The dearer of more and most to the usual.
    ratio: f64,
}

impl Bench {
    pub(super) fn costs(&self, folder: &Path, json: bool) -> Result<Ended> {
        let mut costs = Vec::new();
        let mut add = |operation, among, numbers: [u64; 3], measure: &dyn Fn(&mut Desk, u64) -> Result<f64>| {
            let mut us = [0.0; 3];
            for (us, number) in us.iter_mut().zip(numbers) {
                let ledger = LedgerDir::new(&folder.join(format!("{}-{number}", costs.len())));
                let mut desk = Desk::new(ledger, self.shards)?;
                *us = (measure(&mut desk, number)? * 100.0).round() / 100.0;
                desk.close()?;
                std::fs::remove_dir_all(desk.ledger.path())?;
            }
            let most = us[1].max(us[2]);
            costs.push(Cost { operation, among, numbers, us, ratio: (most / us[0].max(0.01) * 100.0).round() / 100.0 });
            anyhow::Ok(())
        };
        let thousand = [1_000, 10_000, 100_000];
        add("grant", "lots of the wallet", thousand, &grants)?;
        add("gift", "lots of the wallet", thousand, &gifts)?;
        add("group of 8 gifts", "lots of the wallet", thousand, &groups_of_gifts)?;
        add("a lot, at the start", "lots of the wallet", thousand, &starts)?;
        add("hold and capture", "open holds of the user", thousand, &holds)?;
        add("refund", "refunds of the order", [100, 1_000, 10_000], &refunds)?;
        add("refund, a lot of it", "lots of the order", [40, 400, 4_000], &refunds_of_lots)?;
        add("refund in a group", "members of the group", [1, 8, 64], &groups_of_refunds)?;
        add("gift", "items of the catalogue", [400, 4_000, 40_000], &gifts_of_items)?;
        add("version of one item", "items of the catalogue", [400, 4_000, 40_000], &versions)?;
        if json {
            let mut out = stdout();
            costs.iter().try_for_each(|cost| json_line(&mut out, cost))?;
        } else {
            print(&costs)?;
        }
        Ok(Ended::Well)
    }
}

fn print(costs: &[Cost]) -> Result<()> {
    let rows = costs.iter().map(|cost| {
        let number = |at: usize| format!("{:.2} µs at {}", cost.us[at], thousands(cost.numbers[at]));
        let (what, among) = (cost.operation.to_owned(), cost.among.to_owned());
        vec![what, among, number(0), number(1), number(2), format!("{:.2}", cost.ratio)]
    });
    say(&table(&["operation", "among", "usual", "more", "most", "ratio"], &[2, 3, 4, 5], rows))?;
    say(&"processor time of all threads; the ratio is that of the dearer of the last two to the first")
}

/// Lots that burn in another order than they come in.
fn many_lots(desk: &mut Desk, lots: u64) -> Result<()> {
    let grants = (0..lots).map(|_| desk.grant(2)).collect::<Result<_>>()?;
    desk.execute(grants)
}

fn grants(desk: &mut Desk, lots: u64) -> Result<f64> {
    many_lots(desk, lots)?;
    desk.least(200, |desk| Ok(vec![desk.grant(2)?]))
}

fn gifts(desk: &mut Desk, lots: u64) -> Result<f64> {
    many_lots(desk, lots)?;
    // Each ends a lot and begins the next one.
    desk.least(200, |desk| Ok(vec![desk.gift(2)?]))
}

fn groups_of_gifts(desk: &mut Desk, lots: u64) -> Result<f64> {
    many_lots(desk, lots)?;
    desk.least(20, |desk| {
        let members = (0..8).map(|_| Ok(desk.gift(2)?.command)).collect::<Result<_>>()?;
        Ok(vec![desk.envelope(Command::Group(members))?])
    })
}

fn starts(desk: &mut Desk, lots: u64) -> Result<f64> {
    many_lots(desk, lots)?;
    let mut least = Duration::MAX;
    for _ in 0..ROUNDS {
        desk.close()?;
        let before = machine::cpu_time();
        desk.engine = Some(desk.ledger.start(None)?);
        least = least.min(machine::cpu_time().saturating_sub(before));
    }
    Ok(per(least, lots))
}

fn holds(desk: &mut Desk, open: u64) -> Result<f64> {
    let mut names = Vec::new();
    for _ in 0..open {
        names.push(desk.hold()?);
    }
    let (mut ids, holds): (Vec<CommandId>, Vec<Envelope>) = names.into_iter().unzip();
    desk.top_up(1_000_000_000)?;
    desk.execute(holds)?;
    let mut at = ids.len() / 2 - 300;
    desk.least(200, |desk| {
        // In the middle, each beside the one before: so the log is read alike, however long it is. As many stay open.
        at += 1;
        let (id, hold) = desk.hold()?;
        let captured = desk.named(&std::mem::replace(&mut ids[at], id));
        let capture = desk.envelope(Command::Capture(Capture { order: captured, coins: None }))?;
        Ok(vec![hold, capture])
    })
}

fn refunds(desk: &mut Desk, before: u64) -> Result<f64> {
    desk.top_up(1_000_000)?;
    let gift = desk.gift(1_000_000)?;
    let order = desk.named(&gift.id);
    desk.execute(vec![gift])?;
    let refunds = (0..before).map(|_| desk.refund(&order, Some(1))).collect::<Result<_>>()?;
    desk.execute(refunds)?;
    desk.least(50, |desk| Ok(vec![desk.refund(&order, Some(1))?]))
}

fn refunds_of_lots(desk: &mut Desk, lots: u64) -> Result<f64> {
    let orders = usize::try_from(16_000 / lots)?;
    let mut gifts = Vec::new();
    many_lots(desk, ROUNDS * 16_000)?;
    for _ in 0..ROUNDS {
        let given = (0..orders).map(|_| desk.gift(2 * lots)).collect::<Result<Vec<_>>>()?;
        gifts.extend(given.iter().map(|gift| desk.named(&gift.id)));
        desk.execute(given)?;
    }
    let us =
        desk.least(orders, |desk| Ok(vec![desk.refund(&gifts.pop().context("as many as are refunded")?, None)?]))?;
    Ok(us / count(lots))
}

fn groups_of_refunds(desk: &mut Desk, members: u64) -> Result<f64> {
    let groups = usize::try_from(512 / members)?;
    desk.top_up(1_000_000)?;
    let mut orders = Vec::new();
    for _ in 0..ROUNDS {
        let given = (0..groups).map(|_| desk.gift(100)).collect::<Result<Vec<_>>>()?;
        orders.extend(given.iter().map(|gift| desk.named(&gift.id)));
        desk.execute(given)?;
    }
    let us = desk.least(groups, |desk| {
        let order = orders.pop().context("as many as are refunded")?;
        let members = (0..members).map(|_| Ok(desk.refund(&order, Some(1))?.command)).collect::<Result<_>>()?;
        Ok(vec![desk.envelope(Command::Group(members))?])
    })?;
    Ok(us / count(members))
}

fn gifts_of_items(desk: &mut Desk, items: u64) -> Result<f64> {
    desk.publish(items)?;
    desk.top_up(1_000_000)?;
    desk.least(500, |desk| Ok(vec![desk.gift(1)?]))
}

fn versions(desk: &mut Desk, items: u64) -> Result<f64> {
    desk.publish(items)?;
    desk.least(10, |desk| Ok(vec![desk.version(vec![desk.item(items / 2)?])?]))
}

/// A ledger of one user, and commands for it.
struct Desk {
    ledger: LedgerDir,
    engine: Option<Engine>,
    user: UserId,
    rose: ItemId,
    commands: u64,
    versions: u64,
}

impl Desk {
    fn new(ledger: LedgerDir, shards: schemas::Shard) -> Result<Self> {
        let engine = Some(ledger.make(Some(shards))?);
        let (user, rose) = (UserId::new("u")?, ItemId::new("rose")?);
        let mut desk = Self { ledger, engine, user, rose, commands: 0, versions: 0 };
        let one = Coins::new(1)?;
        let rose = GiftItem { item: desk.rose.clone(), price: one, value: one, from: None, until: None };
        let version = desk.version(vec![Change::Item(rose)])?;
        desk.execute(vec![version])?;
        Ok(desk)
    }

    fn engine(&self) -> Result<&Engine> {
        self.engine.as_ref().context("the engine runs")
    }

    fn close(&mut self) -> Result<()> {
        self.engine.take().map_or(Ok(()), |engine| Ok(engine.close().map(drop)?))
    }

    fn execute(&self, commands: Vec<Envelope>) -> Result<()> {
        let mut commands = commands.into_iter();
        loop {
            let lines: Vec<Envelope> = commands.by_ref().take(LINES).collect();
            if lines.is_empty() {
                return Ok(self.engine()?.settle()?);
            }
            all_taken(&self.engine()?.execute(&Caller::cli(), lines, Lines::InOrder))?;
        }
    }

    /// Processor time of one of `operations`, each of which is some commands: the least of some rounds, in µs.
    fn least(
        &mut self,
        operations: usize,
        mut operation: impl FnMut(&mut Self) -> Result<Vec<Envelope>>,
    ) -> Result<f64> {
        let mut least = Duration::MAX;
        for _ in 0..ROUNDS {
            let mut commands = Vec::new();
            for _ in 0..operations {
                commands.extend(operation(self)?);
            }
            let before = machine::cpu_time();
            self.execute(commands)?;
            least = least.min(machine::cpu_time().saturating_sub(before));
        }
        Ok(per(least, u64::try_from(operations)?))
    }

    fn envelope(&mut self, command: Command) -> Result<Envelope> {
        self.commands += 1;
        let id = CommandId::new(&format!("c{}", self.commands))?;
        Ok(Envelope { id, occurred_at: None, actor: None, client: None, command })
    }

    /// Of a bonus lot that lapses in a year and some time.
    fn grant(&mut self, coins: u64) -> Result<Envelope> {
        const YEAR_MS: i64 = 365 * 86_400_000;
        let spread = i64::try_from((self.commands + 1) * 7_919 % 1_000_003)?;
        let expires = Some(now().plus_millis(YEAR_MS + spread * 1_000));
        let (user, coins, reason) = (self.user.clone(), Coins::new(coins)?, "bench".parse()?);
        self.envelope(Command::Grant(Grant { user, coins, expires, reason }))
    }

    fn top_up(&mut self, coins: u64) -> Result<()> {
        let top_up = TopUp {
            user: self.user.clone(),
            channel: ChannelId::new("bench")?,
            transaction: TransactionId::new(&self.commands.to_string())?,
            coins: Coins::new(coins)?,
            paid: Money::from_minor("USD".parse()?, i64::try_from(coins)?),
        };
        let top_up = self.envelope(Command::TopUp(top_up))?;
        self.execute(vec![top_up])
    }

    fn gift(&mut self, quantity: u64) -> Result<Envelope> {
        let gift = Gift {
            user: self.user.clone(),
            item: self.rose.clone(),
            quantity,
            to: SmallVec::from_buf([Recipient { streamer: StreamerId::new("s")?, weight: 1 }]),
            room: None,
            combo: None,
            activity: None,
            expected_price: None,
        };
        self.envelope(Command::Gift(gift))
    }

    fn hold(&mut self) -> Result<(CommandId, Envelope)> {
        let (user, provider, coins) = (self.user.clone(), "arcade".parse()?, Coins::new(1)?);
        let deadline = now().plus_millis(86_400_000);
        let hold = self.envelope(Command::Hold(Hold { user, provider, coins, deadline }))?;
        Ok((hold.id.clone(), hold))
    }

    fn named(&self, command: &CommandId) -> OrderRef {
        let name = OrderName::Command(PartName { command: command.clone(), part: None, source: None });
        OrderRef { user: self.user.clone(), name }
    }

    fn refund(&mut self, order: &OrderRef, coins: Option<u64>) -> Result<Envelope> {
        let coins = coins.map(Coins::new).transpose()?;
        self.envelope(Command::Refund(Refund { order: order.clone(), coins, reason: "bench".parse()? }))
    }

    fn item(&self, number: u64) -> Result<Change> {
        let (item, price) = (ItemId::new(&format!("item-{number}"))?, Coins::new(1 + self.versions)?);
        Ok(Change::Item(GiftItem { item, price, value: price, from: None, until: None }))
    }

    fn version(&mut self, changes: Vec<Change>) -> Result<Envelope> {
        self.versions += 1;
        self.envelope(Command::Publish(Publish { version: self.versions, part: 0, last: true, from: now(), changes }))
    }

    /// So many items.
    fn publish(&mut self, items: u64) -> Result<()> {
        for first in (0..items).step_by(schemas::MAX_CHANGES_A_PART) {
            let upto = items.min(first + schemas::MAX_CHANGES_A_PART as u64);
            let changes = (first..upto).map(|number| self.item(number)).collect::<Result<_>>()?;
            let version = self.version(changes)?;
            self.execute(vec![version])?;
        }
        Ok(())
    }
}

fn now() -> Timestamp {
    ledger::Clock::now(&SystemClock)
}

fn per(time: Duration, operations: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count(operations)
}

fn count(number: u64) -> f64 {
    number as f64
}
