//! The gifts of the bench. Each is a function of the seed and its number, so that any earlier one can
//! be made again without keeping it.

use std::{fmt::Write as _, io::Write as _};

use anyhow::{Result, bail};
use ledger::{Answer, Caller, Engine, Lines};
use schemas::{
    ActorId, Change, ChannelId, Coins, Command, CommandId, Envelope, Gift, GiftItem, ItemId, Money, Recipient, RoomId,
    StreamerId, TopUp, TransactionId, UserId,
};
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::{app::actions::reference::publish_changes, cli::watched, ledger_dir::LedgerDir};

/// How many streamers receive, each in a room of their own.
pub(super) const STREAMERS: usize = 1_000;
/// What everybody starts with: more than anybody can give, at one coin a gift.
const COINS: u64 = 1_000_000_000;
/// Top-ups per submission.
const TOP_UPS: u64 = 8_189;

/// What every gift is made from.
pub(super) struct Gifts {
    seed: u64,
    random_ids: bool,
    weights: Weights,
    item: ItemId,
    actor: ActorId,
    streamers: Vec<(StreamerId, RoomId)>,
}

impl Gifts {
    pub fn new(seed: u64, accounts: u64, zipf: u32, random_ids: bool) -> Result<Self> {
        let streamer = |n| -> Result<_> { Ok((StreamerId::new(&format!("s{n}"))?, RoomId::new(&format!("r{n}"))?)) };
        Ok(Self {
            seed,
            random_ids,
            weights: Weights::new(accounts, zipf),
            item: ItemId::new("rose")?,
            actor: ActorId::new("bench")?,
            streamers: (0..STREAMERS).map(streamer).collect::<Result<_>>()?,
        })
    }

    /// Publishes a gift of price 1, and gives everybody enough coins.
    pub fn prepare(&self, engine: &Engine, ledger: &LedgerDir) -> Result<()> {
        let one = Coins::new(1)?;
        let rose = GiftItem { item: self.item.clone(), price: one, value: one, from: None, until: None };
        publish_changes(engine, &watched(ledger), &[Change::Item(rose)])?;
        let mut topped_up = 0;
        while topped_up < self.weights.accounts {
            let next = self.weights.accounts.min(topped_up + TOP_UPS);
            let top_ups = (topped_up..next).map(top_up).collect::<Result<_>>()?;
            all_taken(&engine.execute(&Caller::cli(), top_ups, Lines::Independent))?;
            topped_up = next;
        }
        engine.settle()?;
        Ok(())
    }

    /// The gift of that number as a line of JSON, behind what `text` holds.
    pub fn write_line(&self, number: u64, text: &mut Vec<u8>) {
        let (for_user, for_streamer) = halves(xxh3_128_with_seed(&number.to_le_bytes(), self.seed));
        let streamer = usize::try_from(below(for_streamer, STREAMERS as u64)).expect("a thousand streamers");
        let user = self.weights.pick(for_user);
        // A vector takes everything.
        let _ = if self.random_ids {
            write!(text, r#"{{"id":"{:032x}""#, xxh3_128_with_seed(&number.to_be_bytes(), !self.seed))
        } else {
            write!(text, r#"{{"id":"g{number}""#)
        };
        let _ = writeln!(
            text,
            r#","actor":"bench","gift":{{"user":"u{user}","item":"rose","to":[{{"streamer":"s{streamer}"}}],"room":"r{streamer}"}}}}"#
        );
    }

    /// The number of the streamer who receives it.
    pub fn streamer_of(&self, number: u64) -> u64 {
        let (_, for_streamer) = halves(xxh3_128_with_seed(&number.to_le_bytes(), self.seed));
        below(for_streamer, STREAMERS as u64)
    }

    /// A line of JSON for each user, who gets enough coins by it.
    pub fn write_top_ups(accounts: std::ops::Range<u64>, text: &mut Vec<u8>) {
        for account in accounts {
            let _ = writeln!(
                text,
                r#"{{"id":"t{account}","top_up":{{"user":"u{account}","channel":"bench","transaction":"{account}","coins":{COINS},"paid":{{"currency":"USD","amount":"{}.00"}}}}}}"#,
                COINS / 100
            );
        }
    }

    /// How many users there are.
    pub fn accounts(&self) -> u64 {
        self.weights.accounts
    }

    /// The gift of that number. `text` is a buffer.
    pub fn gift(&self, number: u64, text: &mut String) -> Result<Envelope> {
        let (for_user, for_streamer) = halves(xxh3_128_with_seed(&number.to_le_bytes(), self.seed));
        text.clear();
        if self.random_ids {
            write!(text, "{:032x}", xxh3_128_with_seed(&number.to_be_bytes(), !self.seed))?;
        } else {
            write!(text, "g{number}")?;
        }
        let id = CommandId::new(text)?;
        text.clear();
        write!(text, "u{}", self.weights.pick(for_user))?;
        let user = UserId::new(text)?;
        let (streamer, room) = self.streamers[usize::try_from(below(for_streamer, STREAMERS as u64))?].clone();
        Ok(Envelope {
            id,
            occurred_at: None,
            actor: Some(self.actor.clone()),
            client: None,
            command: Command::Gift(Gift {
                user,
                item: self.item.clone(),
                quantity: 1,
                to: SmallVec::from_buf([Recipient { streamer, weight: 1 }]),
                room: Some(room),
                combo: None,
                activity: None,
                expected_price: None,
            }),
        })
    }
}

pub(super) fn all_taken(answers: &[Answer]) -> Result<()> {
    match answers.iter().find(|answer| !matches!(answer, Answer::Taken(_))) {
        None => Ok(()),
        Some(other) => bail!("a command of the bench was not taken: {other:?}"),
    }
}

fn top_up(account: u64) -> Result<Envelope> {
    Ok(Envelope {
        id: CommandId::new(&format!("t{account}"))?,
        occurred_at: None,
        actor: None,
        client: None,
        command: Command::TopUp(TopUp {
            user: UserId::new(&format!("u{account}"))?,
            channel: ChannelId::new("bench")?,
            transaction: TransactionId::new(&account.to_string())?,
            coins: Coins::new(COINS)?,
            paid: Money::from_minor("USD".parse()?, i64::try_from(COINS)?),
        }),
    })
}

/// How often each account gives.
struct Weights {
    /// Sums of the weights up to each account; empty where all are alike.
    sums: Vec<f64>,
    accounts: u64,
}

impl Weights {
    fn new(accounts: u64, hundredths: u32) -> Self {
        let mut sums = Vec::new();
        if hundredths > 0 {
            let exponent = f64::from(hundredths) / 100.0;
            let mut sum = 0.0;
            for rank in 1..=accounts {
                sum += (rank as f64).powf(-exponent);
                sums.push(sum);
            }
        }
        Self { sums, accounts }
    }

    /// The account that 64 random bits stand for.
    fn pick(&self, random: u64) -> u64 {
        match self.sums.last() {
            None => below(random, self.accounts),
            Some(&whole) => {
                let at = random as f64 / u64::MAX as f64 * whole;
                self.sums.partition_point(|&sum| sum < at) as u64
            }
        }
    }
}

/// 64 random bits as a number below another one.
pub(super) fn below(random: u64, end: u64) -> u64 {
    halves(u128::from(random) * u128::from(end)).0
}

/// The upper and the lower half.
fn halves(wide: u128) -> (u64, u64) {
    let half = |bits: u128| u64::try_from(bits).expect("half of the bits");
    (half(wide >> 64), half(wide & u128::from(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_gift_is_a_function_of_seed_and_number() {
        let mut text = String::new();
        for random_ids in [false, true] {
            let [one, same, other] = [7, 7, 8].map(|seed| Gifts::new(seed, 50, 100, random_ids).unwrap());
            let mut ids = HashSet::new();
            let (mut users, mut different) = (HashSet::new(), 0);
            for number in 0..2_000 {
                let gift = one.gift(number, &mut text).unwrap();
                assert_eq!(gift, same.gift(number, &mut text).unwrap());
                different += u32::from(gift != other.gift(number, &mut text).unwrap());
                let Command::Gift(given) = &gift.command else { panic!("not a gift: {gift:?}") };
                users.insert(given.user.clone());
                assert!(ids.insert(gift.id.clone()), "{gift:?} has the id of another");
            }
            assert!(different > 1_900, "{different} of 2,000 differ with another seed");
            assert!((40..=50).contains(&users.len()), "{} of 50 users give", users.len());
        }
    }

    #[test]
    fn random_bits_reach_both_ends() {
        assert_eq!([0, u64::MAX / 2, u64::MAX].map(|random| below(random, 10)), [0, 4, 9]);
        for zipf in [0, 100] {
            let weights = Weights::new(10, zipf);
            assert_eq!([weights.pick(0), weights.pick(u64::MAX)], [0, 9]);
        }
    }
}
