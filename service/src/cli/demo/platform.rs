//! The synthetic platform: who is there, what is sold, and what happens in a month. All of it from
//! a seed; ids begin with `demo-` so that nobody takes them for real ones.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::NaiveDate;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::{
    ActorId, Change, ChannelId, Chargeback, Coins, Combo, Command, CommandId, Entity, Envelope, Gift, GiftItem, Grant,
    GuildTerms, Hold, Membership, Money, Month, OrderRef, Recipient, Refund, RollBackRefund, RoomId, StreamerTerms,
    Timestamp, TopUp, TransactionId, UserId, Zone,
};

/// How large it is, beside its users.
const STREAMERS: u64 = 60;
const GUILDS: u64 = 4;
const GIFTS_A_USER: u64 = 10;
const USERS_A_HOLD: u64 = 25;
/// Every so many holds one is never sent: the gateway has forgotten it.
const FORGOTTEN: u64 = 16;
/// Until when a hold must be sent: one that was forgotten comes back soon, the others wait as long as this
/// machine needs.
const FORGOTTEN_MS: i64 = 2_000;
const DEADLINE_MS: i64 = 86_400_000;

/// Name, price and recipient value in coins, how often it is given.
const CATALOGUE: [(&str, u64, u64, u32); 8] = [
    ("heart", 1, 1, 400),
    ("rose", 10, 10, 300),
    ("lollipop", 33, 30, 120),
    ("fireworks", 188, 188, 90),
    ("lucky-box", 100, 120, 50),
    ("sports-car", 1_200, 1_200, 25),
    ("castle", 5_200, 5_000, 10),
    ("rocket", 20_000, 20_000, 5),
];

/// When a hold was placed, and until when it was to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    pub at: Timestamp,
    pub deadline: Timestamp,
}

impl Placed {
    /// Whether nobody will send it.
    pub fn is_forgotten(self) -> bool {
        self.deadline <= self.at.plus_millis(FORGOTTEN_MS)
    }
}

/// A platform and its month.
pub struct Platform {
    rng: ChaCha8Rng,
    users: u64,
    from: Timestamp,
    until: Timestamp,
}

impl Platform {
    /// The same for the same seed, users and month, whenever it is made.
    pub fn new(seed: u64, users: u64, month: Month, zone: Zone) -> Self {
        let (from, until) = month.bounds(zone.0);
        Self { rng: ChaCha8Rng::seed_from_u64(seed), users, from, until }
    }

    /// Entity, catalogue, terms: streamers 45 %, guilds 8 to 11 %, and one transfer in mid-month.
    pub fn reference(zone: Zone, month: Month) -> Result<Vec<Change>> {
        let entity = Entity { currency: "CNY".parse()?, zone, coins_per_unit: 100 };
        let mut changes = vec![Change::Entity(entity)];
        for (item, price, value, _) in CATALOGUE {
            let (price, value) = (Coins::new(price)?, Coins::new(value)?);
            changes.push(Change::Item(GiftItem { item: item.parse()?, price, value, from: None, until: None }));
        }
        let start = NaiveDate::from_ymd_opt(2020, 1, 1).expect("a day of the calendar");
        changes.push(Change::Streamer(StreamerTerms { streamer: None, share: "0.45".parse()?, from: start }));
        for guild in 0..GUILDS {
            let share = format!("0.{:02}", 8 + guild).parse()?;
            changes.push(Change::Guild(GuildTerms { guild: named("guild", guild)?, share, from: start }));
        }
        for streamer in 0..STREAMERS {
            // Every fifth streamer belongs to no guild.
            if streamer % 5 < GUILDS {
                let guild = Some(named("guild", streamer % 5)?);
                changes.push(Change::Membership(Membership {
                    streamer: named("streamer", streamer)?,
                    guild,
                    from: start,
                }));
            }
        }
        let transfer = month.first_day() + chrono::Days::new(15);
        let guild = Some(named("guild", 1)?);
        changes.push(Change::Membership(Membership { streamer: named("streamer", 0)?, guild, from: transfer }));
        Ok(changes)
    }

    /// Every user buys coins, some several times; some are given bonus coins.
    pub fn money(&mut self) -> Result<Vec<Envelope>> {
        let mut commands = Vec::new();
        let fen: [u64; 5] = [600, 3_000, 6_800, 19_800, 64_800];
        for user in 0..self.users {
            for purchase in 0..self.rng.random_range(1..=3) {
                let paid = fen[self.skewed(fen.len() as u64)];
                let channel = ["demo-wechat", "demo-alipay", "demo-apple"][self.rng.random_range(0..3)];
                let at = self.early();
                commands.push(command(
                    &format!("demo-top-up-{user}-{purchase}"),
                    at,
                    Command::TopUp(TopUp {
                        user: named("user", user)?,
                        channel: ChannelId::new(channel)?,
                        transaction: TransactionId::new(&format!("DEMO{user:06}{purchase}"))?,
                        coins: Coins::new(paid)?,
                        paid: Money::from_minor("CNY".parse()?, i64::try_from(paid)?),
                    }),
                )?);
            }
            if self.rng.random_range(0..10) == 0 {
                let at = self.early();
                commands.push(command(
                    &format!("demo-welcome-{user}"),
                    at,
                    Command::Grant(Grant {
                        user: named("user", user)?,
                        coins: Coins::new(200)?,
                        expires: None,
                        reason: "newcomer".parse()?,
                    }),
                )?);
            }
        }
        Ok(commands)
    }

    /// Gifts through the month, in the order of their times.
    pub fn gifts(&mut self) -> Result<Vec<Envelope>> {
        let mut times: Vec<Timestamp> = (0..GIFTS_A_USER * self.users).map(|_| self.any_time()).collect();
        times.sort_unstable();
        let mut gifts = Vec::with_capacity(times.len());
        for (n, at) in times.into_iter().enumerate() {
            let (item, combo_step) = (self.item(), self.rng.random_range(0..8) == 0);
            let streamer = self.skewed(STREAMERS) as u64;
            let mut to = vec![Recipient { streamer: named("streamer", streamer)?, weight: 1 }];
            if self.rng.random_range(0..20) == 0 {
                let guest = (streamer + 1) % STREAMERS;
                to.push(Recipient { streamer: named("streamer", guest)?, weight: 1 });
            }
            let combo = if combo_step {
                Some(Combo { id: CommandId::new(&format!("demo-combo-{}", n / 16))?, count: u32::try_from(n % 16)? })
            } else {
                None
            };
            let user = self.skewed(self.users) as u64;
            gifts.push(command(
                &format!("demo-gift-{n}"),
                at,
                Command::Gift(Gift {
                    user: named("user", user)?,
                    item: item.parse()?,
                    quantity: [1, 1, 1, 1, 5, 10][self.rng.random_range(0..6)],
                    to: to.into_iter().collect(),
                    room: Some(named::<RoomId>("room", streamer)?),
                    combo,
                    activity: (at >= self.from.plus_millis(20 * 86_400_000))
                        .then(|| "demo-autumn".parse())
                        .transpose()?,
                    expected_price: None,
                }),
            )?);
        }
        Ok(gifts)
    }

    /// Holds for game orders, made `now`; one that is on the log already is the same again.
    pub fn holds(&mut self, now: Timestamp, placed: &BTreeMap<CommandId, Placed>) -> Result<Vec<Envelope>> {
        let mut holds = Vec::new();
        for n in 0..self.users / USERS_A_HOLD {
            let user = self.rng.random_range(0..self.users);
            let coins = Coins::new(self.rng.random_range(10..200))?;
            let id = format!("demo-game-{n}");
            let wait = if n % FORGOTTEN == 0 { FORGOTTEN_MS } else { DEADLINE_MS };
            let new = Placed { at: now, deadline: now.plus_millis(wait) };
            let Placed { at, deadline } = placed.get(&CommandId::new(&id)?).copied().unwrap_or(new);
            let hold = Hold { user: named("user", user)?, provider: "demo-arcade".parse()?, coins, deadline };
            holds.push(command(&id, at, Command::Hold(hold))?);
        }
        Ok(holds)
    }

    /// Whole and partial refunds of some gifts, and a roll-back of the first of them.
    pub fn refunds(&mut self, gifts: &[(UserId, CommandId)]) -> Result<Vec<Envelope>> {
        let mut commands = Vec::new();
        let at = self.until.plus_millis(-3_600_000);
        for (n, (user, gift)) in gifts.iter().step_by((gifts.len() / 120).max(1)).enumerate() {
            let order = OrderRef { user: user.clone(), name: gift.clone().into() };
            let coins = (n % 3 == 0).then(|| Coins::new(1)).transpose()?;
            let refund = Refund { order, coins, reason: "streamer_offline".parse()? };
            commands.push(command(&format!("demo-refund-{n}"), at, Command::Refund(refund))?);
        }
        let (user, gift) = &gifts[0];
        let order = OrderRef { user: user.clone(), name: gift.clone().into() };
        let roll_back = RollBackRefund {
            order,
            refund: CommandId::new("demo-refund-0")?.into(),
            reason: "refunded_by_mistake".parse()?,
        };
        commands.push(command("demo-roll-back-0", at, Command::RollBackRefund(roll_back))?);
        Ok(commands)
    }

    /// Payments that a channel gives back although the coins are mostly spent.
    pub fn chargebacks(&self, top_ups: &[Envelope]) -> Result<Vec<Envelope>> {
        let at = self.until.plus_millis(-1_800_000);
        let mut commands = Vec::new();
        for top_up in top_ups.iter().step_by((top_ups.len() / 12).max(1)) {
            if let Command::TopUp(TopUp { channel, transaction, .. }) = &top_up.command {
                let back = Chargeback { channel: channel.clone(), transaction: transaction.clone() };
                commands.push(command(&format!("demo-chargeback-{transaction}"), at, Command::Chargeback(back))?);
            }
        }
        Ok(commands)
    }

    /// When all of it has happened.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    fn item(&mut self) -> &'static str {
        let whole: u32 = CATALOGUE.iter().map(|(.., weight)| weight).sum();
        let mut at = self.rng.random_range(0..whole);
        for (item, _, _, weight) in CATALOGUE {
            if at < weight {
                return item;
            }
            at -= weight;
        }
        unreachable!("the weights sum to the whole")
    }

    /// One of `n`, the first ones more often: the least of three draws.
    fn skewed(&mut self, n: u64) -> usize {
        let least = (0..3).map(|_| self.rng.random_range(0..n)).min().unwrap_or(0);
        usize::try_from(least).expect("small numbers")
    }

    fn early(&mut self) -> Timestamp {
        self.from.plus_millis(self.rng.random_range(0..3_600_000))
    }

    fn any_time(&mut self) -> Timestamp {
        let millis = (self.until.nanos() - self.from.nanos()) / 1_000_000;
        self.from.plus_millis(self.rng.random_range(3_600_000..millis - 7_200_000))
    }
}

fn named<Id: std::str::FromStr<Err = schemas::IdError>>(kind: &str, n: u64) -> Result<Id> {
    Ok(format!("demo-{kind}-{n}").parse()?)
}

fn command(id: &str, at: Timestamp, command: Command) -> Result<Envelope> {
    let actor = Some(ActorId::new("demo")?);
    Ok(Envelope { id: CommandId::new(id)?, occurred_at: Some(at), actor, client: None, command })
}
