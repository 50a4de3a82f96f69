//! What holds of the shares of any gift, by whatever path of refunds and roll-backs; and that any group is
//! answered. Through the real engine. `PROPTEST_CASES` says how many cases are tried.

use std::{cell::RefCell, collections::BTreeMap, fmt::Write};

use giftledger_tests::{
    model::{Share, held},
    play::{Line, Play},
    scenario::{step, taken},
    world::{World, envelope},
};
use ledger::Answer;
use proptest::{prelude::*, test_runner::TestCaseError};
use schemas::{MAX_RECORD_BYTES, Order, OrderKind, StreamerId, encoded_len};

/// A gift, and what its payer has.
#[derive(Debug, Clone)]
struct Beginning {
    /// The lots that pay for it, all of them: paid or bonus, and whether these lapse.
    lots: Vec<(Kind, u64)>,
    value: u64,
    weights: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Paid,
    Bonus,
    Lapsing,
}

/// What happens to a gift and to its payer.
#[derive(Debug, Clone)]
enum Step {
    /// So many thousandths of what is left, and a coin.
    Refund(u64),
    /// One of those that stand.
    RollBack(usize),
    /// So many thousandths of what is there, for something else.
    Spend(u64),
    TopUp(u64),
    /// What lapses has lapsed.
    Lapse,
}

fn beginning() -> impl Strategy<Value = Beginning> {
    let kind = prop_oneof![3 => Just(Kind::Paid), 2 => Just(Kind::Bonus), 2 => Just(Kind::Lapsing)];
    let coins = prop_oneof![4 => 1_u64..6, 2 => 1_u64..200, 1 => 1_u64..1 << 40];
    let value = prop_oneof![3 => 0_u64..10, 3 => 0_u64..1_000, 1 => 0_u64..1 << 52];
    let weight = prop_oneof![1 => Just(0_u32), 3 => Just(1), 3 => 1_u32..10, 1 => any::<u32>()];
    let weights = prop_oneof![
        4 => prop::collection::vec(weight.clone(), 2..6),
        1 => prop::collection::vec(weight, 2..=64),
    ];
    (prop::collection::vec((kind, coins), 1..6), value, weights).prop_map(|(lots, value, mut weights)| {
        if weights.iter().all(|weight| *weight == 0) {
            weights[0] = 1;
        }
        Beginning { lots, value, weights }
    })
}

fn path(spends: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop_oneof![Just(0_u64), Just(999), 0_u64..1_000].prop_map(Step::Refund),
        5 => any::<usize>().prop_map(Step::RollBack),
        1 => Just(Step::Lapse),
        2 => (0_u64..1_000).prop_map(Step::Spend),
        2 => (1_u64..100).prop_map(Step::TopUp),
    ];
    let kept = move |step: &Step| spends || !matches!(step, Step::Spend(_));
    prop::collection::vec(step.prop_filter("it spends", kept), 1..14)
}

/// A gift whose shares are watched.
struct Gift<'a> {
    world: &'a World,
    id: String,
    command: String,
    user: String,
    said: u32,
    /// Refunds that stand.
    refunds: Vec<String>,
    /// What was held at each amount left and paid.
    seen: &'a RefCell<BTreeMap<(u64, u64), Vec<Share>>>,
}

impl Gift<'_> {
    fn say(&mut self, what: &str, rest: &str) -> (String, Answer) {
        self.said += 1;
        let id = format!("{}-{}", self.command, self.said);
        let command = self.command.clone();
        let answer = if self.user == "u1" {
            step(self.world, &id, what, &command, rest)
        } else {
            let (user, order) = (&self.user, format!(r#"{{"command":"{command}"}}"#));
            self.world
                .say(&format!(r#"{{"id":"{id}","{what}":{{"order":{{"user":"{user}","name":{order}}},{rest}}}}}"#))
        };
        (id, answer)
    }

    fn now(&self) -> Order {
        self.world.order(&self.id).expect("it was placed")
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let before = self.now();
        match step {
            Step::Refund(thousandths) if before.left.get() > 0 => {
                let left = u128::from(before.left.get());
                let coins = (left * u128::from(*thousandths) / 1_000 + 1).min(left);
                let (id, answer) = self.say("refund", &format!(r#""coins":{coins},"reason":"sorry""#));
                taken(&answer);
                self.refunds.push(id);
                self.check(&before, -1)
            }
            Step::RollBack(nth) if !self.refunds.is_empty() => {
                let refund = self.refunds.remove(nth % self.refunds.len());
                let (_, answer) = self.say("roll_back_refund", &format!(r#""refund":"{refund}","reason":"mistake""#));
                taken(&answer);
                self.check(&before, 1)
            }
            Step::Spend(thousandths) => {
                let there = self.world.available(&self.user);
                let quantity = there * u128::from(*thousandths) / 1_000;
                if quantity > 0 && quantity < 1 << 53 {
                    self.said += 1;
                    let (user, id) = (&self.user, format!("{}-{}", self.command, self.said));
                    taken(&self.world.say(&format!(
                        r#"{{"id":"{id}","gift":{{"user":"{user}","item":"rose","quantity":{quantity},"to":[]}}}}"#
                    )));
                }
                Ok(())
            }
            Step::TopUp(coins) => {
                self.said += 1;
                pay_in(self.world, &self.user, &format!("{}-{}", self.command, self.said), Kind::Paid, *coins);
                Ok(())
            }
            Step::Lapse => {
                self.world.advance_to("2026-01-01T01:00:00Z");
                Ok(())
            }
            Step::Refund(_) | Step::RollBack(_) => Ok(()),
        }
    }

    /// The properties, after a step that gives back (−1) or takes again (1).
    fn check(&mut self, before: &Order, sign: i8) -> Result<(), TestCaseError> {
        let order = self.now();
        let shares = plain(&order);
        let (charged, left, paid) = amounts(&order);
        let OrderKind::Gift { shares: first, .. } = &order.kind else { panic!("it is a gift") };
        let first: Vec<(StreamerId, i128)> =
            first.iter().map(|share| (share.streamer.clone(), share.value.get().into())).collect();
        prop_assert_eq!(&shares, &held(&first, charged, left, paid), "not what the model says");
        // Sums are exact.
        let value_left = first.iter().map(|(_, value)| value).sum::<i128>() * left / charged;
        prop_assert_eq!(shares.iter().map(|share| share.value).sum::<i128>(), value_left);
        let base_left = if left == 0 { 0 } else { value_left * paid / left };
        prop_assert_eq!(shares.iter().map(|share| share.base).sum::<i128>(), base_left);
        for (share, before) in shares.iter().zip(plain(before)) {
            prop_assert!(share.base <= share.value, "a base above its value: {:?}", share);
            let moved = (share.value - before.value) * i128::from(sign);
            prop_assert!(moved >= 0, "{:?} was {:?}, by a step of {}", share, before, sign);
        }
        // The same is left, and of it paid: the same is held, whatever came before.
        let left_and_paid = (order.left.get(), u64::try_from(paid).expect("coins"));
        let mut seen = self.seen.borrow_mut();
        let other = seen.entry(left_and_paid).or_insert_with(|| shares.clone());
        prop_assert_eq!(&shares, other, "two paths lead to {:?}", left_and_paid);
        Ok(())
    }
}

fn plain(order: &Order) -> Vec<Share> {
    let plain = |share: &schemas::ShareHeld| Share {
        streamer: share.streamer.clone(),
        value: share.value.get().into(),
        base: share.base.get().into(),
    };
    order.shares().iter().map(plain).collect()
}

/// What was charged of an order, what of it is left, and how much of that is paid.
fn amounts(order: &Order) -> (i128, i128, i128) {
    let paid = order.used.iter().filter(|lot| lot.kind.is_paid()).map(|lot| i128::from(lot.coins.get())).sum();
    (order.charged.get().into(), order.left.get().into(), paid)
}

fn pay_in(world: &World, user: &str, id: &str, kind: Kind, coins: u64) {
    taken(&world.say(&match kind {
        Kind::Paid => format!(
            r#"{{"id":"t{id}","top_up":{{"user":"{user}","channel":"apple","transaction":"{user}-{id}","coins":{coins},
                "paid":{{"currency":"CNY","amount":"1.00"}}}}}}"#
        ),
        Kind::Bonus => format!(r#"{{"id":"b{id}","grant":{{"user":"{user}","coins":{coins},"reason":"goodwill"}}}}"#),
        Kind::Lapsing => format!(
            r#"{{"id":"b{id}","grant":{{"user":"{user}","coins":{coins},"reason":"goodwill","expires":"2026-01-01T01:00:00Z"}}}}"#
        ),
    }));
}

/// Two gifts that begin alike, each with its path.
fn watch(beginning: &Beginning, paths: [&[Step]; 2], spends: bool) -> Result<(), TestCaseError> {
    let world = World::new(1);
    let price: u64 = beginning.lots.iter().map(|(_, coins)| coins).sum();
    taken(&world.say(&format!(
        r#"{{"id":"v1","publish":{{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[
            {{"item":{{"item":"thing","price":{price},"value":{}}}}},{{"item":{{"item":"rose","price":1,"value":1}}}}]}}}}"#,
        beginning.value
    )));
    world.advance_millis(1);
    let mut to = String::new();
    for (nth, weight) in beginning.weights.iter().enumerate() {
        let comma = if nth > 0 { "," } else { "" };
        write!(to, r#"{comma}{{"streamer":"s{nth}","weight":{weight}}}"#).expect("a text takes more");
    }
    let seen = RefCell::default();
    let gifts: Vec<Gift<'_>> = ["u1", "u2"]
        .map(|user| {
            for (nth, (kind, coins)) in beginning.lots.iter().enumerate() {
                pay_in(&world, user, &nth.to_string(), *kind, *coins);
            }
            let gift = format!(r#"{{"id":"g","gift":{{"user":"{user}","item":"thing","to":[{to}]}}}}"#);
            let id = taken(&world.say(&gift));
            let (command, user) = ("g".to_owned(), user.to_owned());
            Gift { world: &world, id, command, user, said: 0, refunds: Vec::new(), seen: &seen }
        })
        .into();
    for (mut gift, path) in gifts.into_iter().zip(paths) {
        let first = gift.now();
        gift.check(&first, 0)?;
        for step in path {
            gift.take(step)?;
        }
        // All refunds rolled back, in any order, with the same lots: as if nothing had been.
        while !spends && !gift.refunds.is_empty() {
            gift.take(&Step::RollBack(path.len()))?;
        }
        if !spends {
            let last = gift.now();
            prop_assert_eq!(plain(&last), plain(&first));
            prop_assert_eq!(&last.used, &first.used);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shares_keep_their_properties_by_any_path(
        beginning in beginning(), one in path(true), other in path(true),
    ) {
        watch(&beginning, [&one, &other], true)?;
    }

    #[test]
    fn all_refunds_rolled_back_leave_no_trace(beginning in beginning(), one in path(false), other in path(false)) {
        watch(&beginning, [&one, &other], false)?;
    }
}

/// A group of the largest things that there are, and what there was before.
#[derive(Debug, Clone)]
struct Crowd {
    /// How long names are.
    name: usize,
    recipients: usize,
    /// Lots of one coin that the payer was granted.
    lots: usize,
    /// What was bought with them, each for as many lots.
    orders: Vec<bool>,
    lapse: bool,
    earlier: Vec<Member>,
    members: Vec<Member>,
}

/// A member of a group.
#[derive(Debug, Clone)]
enum Member {
    /// Of the order with this place; all that is left, or a part.
    Refund(usize, bool),
    /// Of this order and this place of the earlier group.
    RollBack(usize, usize),
    Capture(usize),
    Release(usize),
    Gift(usize),
    Hold(usize),
    Grant,
}

fn crowd() -> impl Strategy<Value = Crowd> {
    let most = |most: usize| prop_oneof![1 => 1..=most, 3 => Just(most)];
    let member = prop_oneof![
        8 => (any::<usize>(), any::<bool>()).prop_map(|(order, all)| Member::Refund(order, all)),
        4 => (any::<usize>(), 0_usize..64).prop_map(|(order, place)| Member::RollBack(order, place)),
        2 => any::<usize>().prop_map(Member::Capture),
        1 => any::<usize>().prop_map(Member::Release),
        1 => (1_usize..200).prop_map(Member::Gift),
        1 => (1_usize..200).prop_map(Member::Hold),
        1 => Just(Member::Grant),
    ];
    let members = || {
        let alike = prop::collection::vec(prop::bool::weighted(0.2), 64)
            .prop_map(|all| all.into_iter().enumerate().map(|(n, all)| Member::Refund(n, all)).collect());
        prop_oneof![1 => prop::collection::vec(member.clone(), 1..=64), 2 => alike]
    };
    let lots = prop_oneof![3 => 64_usize..200, 1 => 4_000_usize..6_000];
    let orders = prop_oneof![
        1 => prop::collection::vec(prop::bool::weighted(0.8), 1..=64),
        3 => Just(vec![true; 64]),
    ];
    let rolled_back = (0_usize..64).prop_map(|first| (0..64).map(|n| Member::RollBack(n + first, n)).collect());
    let last = prop_oneof![3 => members(), 1 => rolled_back];
    let name = prop_oneof![1 => 4_usize..=200, 1 => Just(200), 1 => 40_usize..=70];
    (name, most(64), lots, orders, any::<bool>(), members(), last).prop_map(
        |(name, recipients, lots, orders, lapse, earlier, members)| Crowd {
            name,
            recipients,
            lots,
            orders,
            lapse,
            earlier,
            members,
        },
    )
}

impl Crowd {
    fn name(&self, kind: char, nth: usize) -> String {
        format!("{kind}{nth:0>width$}", width = self.name.clamp(4, 200) - 1)
    }

    fn gift(&self, lots: usize) -> String {
        let mut to = String::new();
        for nth in 0..self.recipients {
            let comma = if nth > 0 { "," } else { "" };
            write!(to, r#"{comma}{{"streamer":"{}"}}"#, self.name('s', nth)).expect("a text takes more");
        }
        let user = self.name('u', 0);
        format!(r#"{{"gift":{{"user":"{user}","item":"rose","quantity":{lots},"to":[{to}]}}}}"#)
    }

    fn hold(&self, lots: usize) -> String {
        let user = self.name('u', 0);
        format!(r#"{{"hold":{{"user":"{user}","provider":"p1","coins":{lots},"deadline":"2026-01-01T02:00:00Z"}}}}"#)
    }

    fn member(&self, member: &Member, lots_each: usize) -> String {
        let user = self.name('u', 0);
        let order = |order: &usize| {
            let order = order % self.orders.len();
            let command = self.name('o', order);
            format!(r#""order":{{"user":"{user}","name":{{"command":"{command}"}}}}"#)
        };
        match member {
            Member::Refund(nth, all) => {
                let coins = if *all { String::new() } else { format!(r#","coins":{}"#, lots_each.div_ceil(2)) };
                format!(r#"{{"refund":{{{}{coins},"reason":"sorry"}}}}"#, order(nth))
            }
            Member::RollBack(nth, place) => {
                let refund = format!(r#"{{"command":"{}","part":{place}}}"#, self.name('r', 0));
                format!(r#"{{"roll_back_refund":{{{},"refund":{refund},"reason":"mistake"}}}}"#, order(nth))
            }
            Member::Capture(nth) => format!(r#"{{"capture":{{{}}}}}"#, order(nth)),
            Member::Release(nth) => format!(r#"{{"release":{{{},"reason":"no"}}}}"#, order(nth)),
            Member::Gift(lots) => self.gift(*lots),
            Member::Hold(lots) => self.hold(*lots),
            Member::Grant => format!(r#"{{"grant":{{"user":"{user}","coins":1,"reason":"goodwill"}}}}"#),
        }
    }

    fn group(id: &str, members: &[String]) -> Line {
        Line::Say(vec![envelope(&format!(r#"{{"id":"{id}","group":[{}]}}"#, members.join(",")))])
    }

    fn play(&self) -> Result<Play, String> {
        let mut play = Play::in_world(World::with_usual_frames(1), 1);
        let publish = r#"{"id":"v1","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z",
            "changes":[{"item":{"item":"rose","price":1,"value":1000}}]}}"#;
        play.play(Line::Say(vec![envelope(publish)]))?;
        play.play(Line::Advance(1))?;
        let user = self.name('u', 0);
        let grant = format!(
            r#"{{"grant":{{"user":"{user}","coins":1,"reason":"goodwill","expires":"2026-01-01T01:00:00Z"}}}}"#
        );
        for (nth, first) in (0..self.lots).step_by(64).enumerate() {
            let grants = vec![grant.clone(); 64.min(self.lots - first)];
            play.play(Self::group(&self.name('b', nth), &grants))?;
        }
        let lots_each = (self.lots / self.orders.len()).clamp(1, 4_000);
        for (nth, is_gift) in self.orders.iter().enumerate() {
            let order = if *is_gift { self.gift(lots_each) } else { self.hold(lots_each) };
            play.play(Self::group(&self.name('o', nth), &[order]))?;
        }
        let members = |members: &[Member]| -> Vec<String> {
            members.iter().map(|member| self.member(member, lots_each)).collect()
        };
        play.play(Self::group(&self.name('r', 0), &members(&self.earlier)))?;
        if self.lapse {
            play.play(Line::Advance(3_600_000))?;
        }
        play.play(Self::group(&self.name('x', 0), &members(&self.members)))?;
        // And the engine goes on.
        play.play(Line::Say(vec![envelope(&format!(
            r#"{{"id":"last","grant":{{"user":"{user}","coins":1,"reason":"goodwill"}}}}"#
        ))]))?;
        play.finish()?;
        Ok(play)
    }
}

/// Some of the groups have to be too large, or they prove little.
#[test]
fn any_group_is_answered() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = config.cases.div_ceil(8);
    let met: RefCell<BTreeMap<String, u64>> = RefCell::default();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases, ..config });
    let result = runner.run(&crowd(), |crowd| {
        let play = crowd.play().map_err(|why| TestCaseError::fail(why.chars().take(2_000).collect::<String>()))?;
        let largest = play.world.records().iter().map(encoded_len).max().unwrap_or(0);
        prop_assert!(largest <= MAX_RECORD_BYTES, "a record of {} bytes", largest);
        for (what, times) in play.met {
            *met.borrow_mut().entry(what).or_default() += times;
        }
        Ok(())
    });
    let met = met.into_inner();
    println!("{met:#?}");
    result.unwrap_or_else(|why| panic!("{why}"));
    for what in ["group", "too_large", "a record of more than 64 KiB"] {
        assert!(cases < 16 || met.contains_key(what), "no group met {what:?}");
    }
}
