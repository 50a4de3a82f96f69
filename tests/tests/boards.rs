//! Boards, tallies and debts of the real engine against DOMAIN's words, with nothing of ours in between: what a
//! recipient holds follows from the gift's beginning and from what is left of it, an increase that was
//! refunded counts as never made, ties go to the earlier last standing increase, then the smaller id.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::BTreeMap;

use giftledger_tests::world::World;
use ledger::Answer;
use projections::{Board, BoardKey, Boards, Debts, Members, Tallies, Window};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::Timestamp;

const STREAMERS: [&str; 4] = ["s1", "s2", "s3", "s4"];
const USERS: u32 = 4;
/// (item, price, value): a recipient value that is less, equal and more than the price.
const ITEMS: [(&str, i128, i128); 3] = [("bud", 3, 1), ("rose", 1, 1), ("box", 2, 5)];

/// A gift as its command said it, and what came of it.
struct Gift {
    id: String,
    user: String,
    /// Minutes after the world began.
    minute: u32,
    activity: bool,
    charged: i128,
    value: i128,
    /// Recipients in the order named, with their first shares.
    first: Vec<(String, i128)>,
    /// Refunds by name in JSON, each with its coins and whether it stands.
    refunds: Vec<(String, i128, bool)>,
}

impl Gift {
    fn left(&self) -> i128 {
        self.charged - self.refunds.iter().filter(|(_, _, stands)| *stands).map(|(_, coins, _)| coins).sum::<i128>()
    }

    /// What each recipient holds now.
    fn held(&self) -> Vec<(&str, i128)> {
        let value_left = self.value * self.left() / self.charged;
        let first: Vec<i128> = self.first.iter().map(|(_, share)| *share).collect();
        self.first.iter().map(|(streamer, _)| streamer.as_str()).zip(webster(&first, value_left)).collect()
    }
}

/// Webster's method: one by one to whom share ÷ (2 × held + 1) is largest, ties to the last named.
fn webster(first: &[i128], total: i128) -> Vec<i128> {
    let mut held = vec![0; first.len()];
    for _ in 0..total {
        let next =
            (0..first.len()).max_by(|&a, &b| (first[a] * (2 * held[b] + 1)).cmp(&(first[b] * (2 * held[a] + 1))));
        held[next.unwrap()] += 1; // of equals, `max_by` gives the last
    }
    held
}

/// By largest remainder, ties to the first named.
fn split(total: i128, weights: &[i128]) -> Vec<i128> {
    let sum: i128 = weights.iter().sum();
    let mut parts: Vec<i128> = weights.iter().map(|weight| total * weight / sum).collect();
    let mut places: Vec<usize> = (0..weights.len()).collect();
    places.sort_by_key(|&at| std::cmp::Reverse(total * weights[at] % sum));
    for &at in places.iter().take(usize::try_from(total - parts.iter().sum::<i128>()).unwrap()) {
        parts[at] += 1;
    }
    parts
}

/// Rank order: member, score, when it was reached.
type Rows = Vec<(String, i128, u32)>;

fn naive(gifts: &[Gift], members: Members, counts: impl Fn(&Gift) -> bool) -> Rows {
    let mut standing: BTreeMap<&str, (i128, u32)> = BTreeMap::new();
    for gift in gifts.iter().filter(|gift| counts(gift)) {
        let increases = match members {
            Members::Streamers => gift.held(),
            Members::Senders => vec![(gift.user.as_str(), gift.left())],
        };
        for (member, increase) in increases.into_iter().filter(|(_, increase)| *increase > 0) {
            let (score, reached) = standing.entry(member).or_default();
            *score += increase;
            *reached = gift.minute.max(*reached);
        }
    }
    let mut rows: Rows = standing.into_iter().map(|(member, (score, at))| (member.to_owned(), score, at)).collect();
    rows.sort_by(|a, b| b.1.cmp(&a.1).then(a.2.cmp(&b.2)).then(a.0.cmp(&b.0)));
    rows
}

/// A ledger in which gifts are given, refunded in part and in whole, and refunds rolled back, as chance will
/// have it; and the same by itself.
struct Story {
    world: World,
    random: ChaCha8Rng,
    gifts: Vec<Gift>,
    commands: u32,
}

impl Story {
    fn begin(seed: u64, shards: u16) -> Self {
        let world = World::new(shards);
        let items = ITEMS
            .map(|(item, price, value)| format!(r#"{{"item":{{"item":"{item}","price":{price},"value":{value}}}}}"#));
        let story = Self { world, random: ChaCha8Rng::seed_from_u64(seed), gifts: Vec::new(), commands: 0 };
        story.take(&format!(
            r#"{{"id":"v1","publish":{{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[{}]}}}}"#,
            items.join(",")
        ));
        for user in 0..USERS {
            story.take(&format!(
                r#"{{"id":"t{user}","top_up":{{"user":"u{user}","channel":"c","transaction":"{user}","coins":100000,
                    "paid":{{"currency":"CNY","amount":"1.00"}}}}}}"#
            ));
        }
        story.world.advance_millis(60 * 60_000); // so that gifts of the first hour lie behind
        story
    }

    fn take(&self, line: &str) {
        let answer = self.world.say(line);
        assert!(matches!(answer, Answer::Taken(_)), "{line}: {answer:?}");
    }

    fn id(&mut self, what: &str) -> String {
        self.commands += 1;
        format!("{what}{}", self.commands)
    }

    fn step(&mut self) {
        match self.random.random_range(0..8) {
            0 if self.random.random_range(0..3) == 0 => self.grant(),
            0..=2 => self.give(),
            3 | 4 => self.refund(),
            5 => self.refund_several(),
            _ => self.roll_back(),
        }
    }

    /// Some bonus coins, which burn first and pay nothing out.
    fn grant(&mut self) {
        let (id, user, coins) = (self.id("b"), self.random.random_range(0..USERS), self.random.random_range(1..9));
        self.take(&format!(r#"{{"id":"{id}","grant":{{"user":"u{user}","coins":{coins},"reason":"r"}}}}"#));
    }

    fn give(&mut self) {
        let id = self.id("g");
        let (item, price, value) = ITEMS[self.random.random_range(0..ITEMS.len())];
        let quantity = self.random.random_range(1..5);
        let user = format!("u{}", self.random.random_range(0..USERS));
        // Few minutes, so that ties abound.
        let minute = self.random.random_range(0..6);
        let activity = self.random.random_range(0..2) == 0;
        let many = self.random.random_range(1..=STREAMERS.len());
        let from = self.random.random_range(0..STREAMERS.len());
        let named: Vec<(&str, i128)> = (0..many)
            .map(|n| {
                (STREAMERS[(from + n) % STREAMERS.len()], self.random.random_range(if n == 0 { 1..6 } else { 0..6 }))
            })
            .collect();
        let to = named.iter().map(|(to, weight)| format!(r#"{{"streamer":"{to}","weight":{weight}}}"#));
        let to = to.collect::<Vec<_>>().join(",");
        let campaign = if activity { r#","activity":"gala""# } else { "" };
        self.take(&format!(
            r#"{{"id":"{id}","occurred_at":"2026-01-01T00:0{minute}:00Z","gift":{{"user":"{user}","item":"{item}","quantity":{quantity},"to":[{to}]{campaign}}}}}"#
        ));
        let (charged, value) = (price * quantity, value * quantity);
        let shares = split(value, &named.iter().map(|(_, weight)| *weight).collect::<Vec<_>>());
        let first = named.iter().map(|(streamer, _)| (*streamer).to_owned()).zip(shares).collect();
        self.gifts.push(Gift { id, user, minute, activity, charged, value, first, refunds: Vec::new() });
    }

    fn refund(&mut self) {
        let id = self.id("r");
        let left: Vec<usize> = (0..self.gifts.len()).filter(|&n| self.gifts[n].left() > 0).collect();
        if left.is_empty() {
            return;
        }
        let at = left[self.random.random_range(0..left.len())];
        let coins = self.random.random_range(1..=self.gifts[at].left());
        let Gift { id: gift, user, .. } = &self.gifts[at];
        self.take(&format!(
            r#"{{"id":"{id}","refund":{{"order":{{"user":"{user}","name":{{"command":"{gift}"}}}},"coins":{coins},"reason":"r"}}}}"#
        ));
        self.gifts[at].refunds.push((format!("\"{id}\""), coins, true));
    }

    /// Several refunds of one user in one record, of one gift more than once too.
    fn refund_several(&mut self) {
        let id = self.id("rr");
        let user = format!("u{}", self.random.random_range(0..USERS));
        let mut members = Vec::new();
        for _ in 0..4 {
            let left: Vec<usize> =
                (0..self.gifts.len()).filter(|&n| self.gifts[n].user == user && self.gifts[n].left() > 0).collect();
            if left.is_empty() {
                break;
            }
            let at = left[self.random.random_range(0..left.len())];
            let coins = self.random.random_range(1..=self.gifts[at].left());
            let gift = &self.gifts[at].id;
            let part = members.len();
            members.push(format!(
                r#"{{"refund":{{"order":{{"user":"{user}","name":{{"command":"{gift}"}}}},"coins":{coins},"reason":"r"}}}}"#
            ));
            self.gifts[at].refunds.push((format!(r#"{{"command":"{id}","part":{part}}}"#), coins, true));
        }
        if !members.is_empty() {
            self.take(&format!(r#"{{"id":"{id}","group":[{}]}}"#, members.join(",")));
        }
    }

    fn roll_back(&mut self) {
        let id = self.id("b");
        let standing: Vec<(usize, usize)> = (0..self.gifts.len())
            .flat_map(|gift| (0..self.gifts[gift].refunds.len()).map(move |refund| (gift, refund)))
            .filter(|&(gift, refund)| self.gifts[gift].refunds[refund].2)
            .collect();
        if standing.is_empty() {
            return;
        }
        let (at, refund) = standing[self.random.random_range(0..standing.len())];
        let Gift { id: gift, user, refunds, .. } = &self.gifts[at];
        let refunded = &refunds[refund].0;
        self.take(&format!(
            r#"{{"id":"{id}","roll_back_refund":{{"order":{{"user":"{user}","name":{{"command":"{gift}"}}}},"refund":{refunded},"reason":"r"}}}}"#
        ));
        self.gifts[at].refunds[refund].2 = false;
    }

    /// Every board of the log is the naive one, whether folded alone or with all others.
    fn check(&self, at: &str) {
        let records = self.world.records();
        let zone = schemas::parse_zone("UTC").unwrap();
        let mut boards = Boards::new(zone);
        let mut tallies = Tallies::new(zone);
        for record in &records {
            boards.apply(record);
            tallies.apply(record);
        }
        let minute = |time: Timestamp| time.to_utc().format("%M").to_string().parse::<u32>().unwrap();
        let month = Window::Month { month: "2026-01".parse().unwrap(), zone };
        let activity = Window::Activity("gala".parse().unwrap());
        for (window, of_activity) in [(Window::AllTime, false), (month, false), (activity, true)] {
            for members in [Members::Streamers, Members::Senders] {
                let key = BoardKey { window: window.clone(), members };
                let expected = naive(&self.gifts, members, |gift| !of_activity || gift.activity);
                let shown = |board: &Board| -> Rows {
                    let rows = board.ranking();
                    rows.rows().iter().map(|row| (row.member.to_string(), row.score, minute(row.reached_at))).collect()
                };
                assert_eq!(boards.board(&key).map(shown).unwrap_or_default(), expected, "{key:?} {at}");
                let mut alone = Board::new(key);
                for record in &records {
                    alone.apply(record);
                }
                assert_eq!(shown(&alone), expected, "alone, {at}");
            }
        }
        // Over all days, what was given less what was taken is what recipients hold.
        let mut held: BTreeMap<String, (i64, i128)> = BTreeMap::new();
        for (streamer, value) in self.gifts.iter().flat_map(Gift::held).filter(|(_, value)| *value > 0) {
            let (gifts, sum) = held.entry(streamer.to_owned()).or_default();
            (*gifts, *sum) = (*gifts + 1, *sum + value);
        }
        let mut bases: BTreeMap<String, i128> = BTreeMap::new();
        let mut orders = BTreeMap::new();
        records
            .iter()
            .flat_map(|record| record.orders().collect::<Vec<_>>())
            .for_each(|order| drop(orders.insert(order.id, order)));
        for share in orders.values().flat_map(schemas::Order::shares).filter(|share| !share.base.is_zero()) {
            *bases.entry(share.streamer.to_string()).or_default() += share.base.signed();
        }
        let (mut tallied, mut paid) = (BTreeMap::new(), BTreeMap::new());
        for line in tallies.lines() {
            let (gifts, sum): &mut (i64, i128) = tallied.entry(line.streamer.to_string()).or_default();
            (*gifts, *sum) = (*gifts + line.tally.gifts, *sum + line.tally.value);
            *paid.entry(line.streamer.to_string()).or_default() += line.tally.base;
            assert_eq!(line.given.to_string(), "2026-01-01", "under the day of the gift");
        }
        tallied.retain(|_, sums| *sums != (0, 0));
        paid.retain(|_, base| *base != 0);
        assert_eq!(tallied, held, "{at}");
        assert_eq!(paid, bases, "{at}");
        for (streamer, base) in &paid {
            assert!(*base <= held[streamer].1, "{streamer} is paid for more than they hold, {at}");
        }
    }
}

#[test]
fn boards_follow_the_words_of_the_domain_through_refunds_in_part_and_roll_backs() {
    for seed in 0..30 {
        for shards in [1, 16] {
            let mut story = Story::begin(seed, shards);
            for step in 0..40 {
                story.step();
                if step % 8 == 7 {
                    story.check(&format!("seed {seed}, {shards} shards, step {step}"));
                }
            }
        }
    }
}

#[test]
fn an_increase_that_was_refunded_counts_as_never_made() {
    let mut story = Story::begin(0, 4);
    let give = |story: &mut Story, user: u32, to: &str, coins: i128, minute: u32| {
        let id = story.id("g");
        story.take(&format!(
            r#"{{"id":"{id}","occurred_at":"2026-01-01T00:0{minute}:00Z","gift":{{"user":"u{user}","item":"rose","quantity":{coins},"to":[{{"streamer":"{to}"}}]}}}}"#
        ));
        let first = vec![(to.to_owned(), coins)];
        story.gifts.push(Gift {
            id: id.clone(),
            user: format!("u{user}"),
            minute,
            activity: false,
            charged: coins,
            value: coins,
            first,
            refunds: vec![],
        });
        id
    };
    // A +60 at t1, B +60 at t2, A +40 at t3, refunded at t5: A leads.
    give(&mut story, 1, "A", 60, 1);
    give(&mut story, 2, "B", 60, 2);
    let third = give(&mut story, 3, "A", 40, 3);
    story.take(&format!(
        r#"{{"id":"r","refund":{{"order":{{"user":"u3","name":{{"command":"{third}"}}}},"reason":"r"}}}}"#
    ));
    story.gifts[2].refunds.push((r#""r""#.to_owned(), 40, true));
    story.check("after the refund");
    assert_eq!(
        naive(&story.gifts, Members::Streamers, |_| true),
        [("A".to_owned(), 60, 1), ("B".to_owned(), 60, 2)],
        "DOMAIN's own figures"
    );
}

#[test]
fn what_a_user_still_owes_is_the_debt_of_the_wallet() {
    let mut owed = 0;
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let world = World::new(if seed % 2 == 0 { 1 } else { 8 });
        world.say(
            r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[{"item":{"item":"rose","price":1,"value":1}}]}}"#,
        );
        let mut payments = Vec::new();
        for n in 0..60 {
            let user = format!("u{}", random.random_range(0..3));
            let coins = random.random_range(1..30);
            let earlier = random.random_range(0..=n);
            let payment = if payments.is_empty() { 0 } else { payments[random.random_range(0..payments.len())] };
            let command = match random.random_range(0..7) {
                0 | 1 => {
                    payments.push(n);
                    format!(
                        r#""top_up":{{"user":"{user}","channel":"c","transaction":"t{n}","coins":{coins},"paid":{{"currency":"CNY","amount":"1.00"}}}}"#
                    )
                }
                2 => {
                    format!(r#""gift":{{"user":"{user}","item":"rose","quantity":{coins},"to":[{{"streamer":"s"}}]}}"#)
                }
                3 | 4 => format!(r#""chargeback":{{"channel":"c","transaction":"t{payment}"}}"#),
                5 => format!(r#""reinstate":{{"channel":"c","transaction":"t{payment}"}}"#),
                _ => format!(
                    r#""refund":{{"order":{{"user":"{user}","name":{{"command":"c{earlier}"}}}},"coins":1,"reason":"r"}}"#
                ),
            };
            world.say(&format!(r#"{{"id":"c{n}",{command}}}"#)); // taken or refused
            world.rest();
            let mut debts = Debts::new();
            for record in &world.records() {
                debts.apply(record);
            }
            for user in ["u0", "u1", "u2"] {
                let debt = world.wallet(user).debt();
                owed += u32::from(debt > 0);
                let shown = debts.owed_by(&user.parse().unwrap());
                assert_eq!(u128::try_from(shown), Ok(debt), "{user} after {command}, seed {seed}");
            }
        }
    }
    assert!(owed > 100, "{owed} times somebody owed something");
}

#[test]
fn the_naive_model_has_the_figures_of_the_domain() {
    assert_eq!(split(4, &[6, 6, 2]), [2, 2, 0]);
    assert_eq!(webster(&[2, 2, 0], 3), [1, 2, 0]);
    assert_eq!(webster(&[2, 1, 1], 2), [1, 0, 1]);
    assert_eq!(webster(&[90, 10, 0], 100), [90, 10, 0]);
}
