//! The ledger against the naive model: random scripts of valid and invalid commands over a few users,
//! streamers, items, payments and orders, so that they collide.
//!
//! `GIFTLEDGER_CASES` says how many scripts are played in all (10,000). A script that fails is made
//! small and printed as lines of JSON; `GIFTLEDGER_SCRIPT=<file>` plays such lines again.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt::{Debug, Display},
    panic::{AssertUnwindSafe, catch_unwind},
    str::FromStr,
};

use giftledger_tests::{
    model::{Model, names},
    play::{Line, Play},
    scenes::{self, Choices},
    world::BEGIN,
};
use proptest::{
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestCaseError, TestRunner},
};
use schemas::{
    Capture, Change, Chargeback, Client, Coins, Combo, Command, CommandId, Credit, Entity, Envelope, ExpireHold, Gift,
    GiftItem, Grant, HandOver, Hold, Money, OrderId, OrderName, OrderRef, PartName, Publish, Query, Recipient, Refund,
    Reinstate, Release, RollBackRefund, Send, Source, Status, Timestamp, TopUp, Unresolved, UserId,
};

const USERS: u8 = 3;

/// Who asks.
const SERVICES: [&str; 3] = ["cli", "gifts", "vip"];

/// A step of a script, before it is known what it meets.
#[derive(Debug, Clone)]
enum Step {
    Say { service: u8, sayings: Vec<Saying> },
    Jump { to: Jump, unseen: bool },
    StartAgain { crash: bool },
}

#[derive(Debug, Clone)]
struct Saying {
    id: Id,
    wording: Wording,
    occurred: Option<i64>,
    with_client: bool,
    what: What,
}

#[derive(Debug, Clone)]
enum Id {
    Fresh,
    /// A whole command of the same service again.
    Again(Index),
    /// A whole command of any service, as this one's: word by word, or so that it means the same.
    Copied(Index, bool),
    /// The id of a command for this one.
    Reused(Index),
}

/// Whose commands a command says that it names.
#[derive(Debug, Clone, Copy)]
struct Wording {
    /// Whether it says the own service where that goes without saying.
    says_own: bool,
    /// Whether it leaves another one out.
    hides_others: bool,
}

#[derive(Debug, Clone)]
enum Jump {
    Millis(i64),
    /// To when the next thing is due, and so many milliseconds more.
    Due(i64),
}

#[derive(Debug, Clone)]
enum What {
    TopUp { user: u8, payment: u8, coins: Amount, minor: i64 },
    Chargeback { payment: u8 },
    Reinstate { payment: u8 },
    Grant { user: u8, coins: Amount, expires: Option<i64> },
    Gift(GiftWish),
    Hold { user: u8, coins: Amount, deadline: i64 },
    Step { kind: u8, order: Pick },
    Capture { order: Pick, coins: Option<Amount> },
    Release { order: Pick },
    Refund { order: Pick, coins: Option<Amount> },
    RollBack { refund: Index, astray: u8 },
    Group { user: Option<u8>, members: Vec<What> },
    Scene { user: u8, choices: Choices },
    Publish { ahead: i64, version: u64, part: u32, last: bool, kind: u8 },
    Internal { user: u8, kind: u8 },
}

#[derive(Debug, Clone)]
struct GiftWish {
    user: u8,
    item: u8,
    quantity: u64,
    to: Vec<(u8, u32)>,
    combo: Option<(u8, u32)>,
    expected: Option<u64>,
    room: bool,
}

#[derive(Debug, Clone)]
enum Amount {
    Of(u64),
    /// What there is (of the order, or of the user), and so many more.
    All(i64),
    Half,
}

/// Names an order.
#[derive(Debug, Clone)]
struct Pick {
    nth: Index,
    by: By,
    /// Whether it is named as somebody else's.
    astray: bool,
}

#[derive(Debug, Clone)]
enum By {
    Number,
    /// By the command that placed it, with its part of that or without.
    Command(bool),
    /// By the last command that was said; in a group by an earlier part of it.
    Latest,
    Nobody,
}

impl What {
    fn names_an_order(&self) -> bool {
        matches!(
            self,
            Self::Step { .. }
                | Self::Capture { .. }
                | Self::Release { .. }
                | Self::Refund { .. }
                | Self::RollBack { .. }
        )
    }
}

/// An item, its price and value, and from and until when it is on sale, in milliseconds from the beginning.
type Conditions = (&'static str, u64, u64, Option<i64>, Option<i64>);

/// What is sold.
const ITEMS: [Conditions; 8] = [
    ("rose", 1, 1, None, None),
    ("box", 100, 300, None, None),
    ("lamp", 7, 3, None, None),
    ("nil", 10, 0, None, None),
    ("dear", 1 << 51, 1 << 52, None, None),
    ("vast", 2, 1 << 52, None, None),
    ("later", 20, 20, Some(1_000), None),
    ("short", 30, 33, None, Some(2_000)),
];

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        24 => (1_u64..400).prop_map(Amount::Of),
        6 => (400_u64..5_000).prop_map(Amount::Of),
        8 => (-1_i64..=1).prop_map(Amount::All),
        6 => Just(Amount::Half),
        1 => Just(Amount::Of(0)),
        1 => Just(Amount::Of(Coins::MAX.get() - 20_000)),
        1 => Just(Amount::Of(Coins::MAX.get())),
    ]
}

fn pick() -> impl Strategy<Value = Pick> {
    let by = prop_oneof![
        8 => Just(By::Number),
        5 => prop::bool::weighted(0.7).prop_map(By::Command),
        4 => Just(By::Latest),
        1 => Just(By::Nobody),
    ];
    (any::<Index>(), by, prop::bool::weighted(0.04)).prop_map(|(nth, by, astray)| Pick { nth, by, astray })
}

fn user() -> impl Strategy<Value = u8> {
    0..USERS
}

/// Milliseconds from now: mostly ahead, close, sometimes now or before.
fn ahead() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 1_i64..3_000, 2 => select(vec![1_000_i64, 2_000, 5_000]), 1 => -5_i64..=1]
}

fn gift() -> impl Strategy<Value = What> {
    let weight = prop_oneof![6 => 1_u32..7, 1 => Just(0_u32)];
    let to = prop::collection::vec((0_u8..5, weight), 0..4);
    let combo = prop::option::weighted(0.4, (0_u8..2, 1_u32..3));
    let item = prop_oneof![6 => 0_u8..4, 2 => 4_u8..8, 1 => Just(8_u8)];
    let quantity = prop_oneof![
        40 => 1_u64..20,
        10 => 20_u64..500,
        1 => Just(0),
        1 => Just(u64::MAX),
        1 => (1_u64 << 50)..(1 << 53)
    ];
    let twice = prop::bool::weighted(0.05);
    let expected = prop::option::weighted(0.1, select(vec![1, 7, 100, 101]));
    (user(), item, quantity, to, combo, expected, any::<bool>(), twice).prop_map(
        |(user, item, quantity, mut to, combo, expected, room, twice)| {
            if !twice {
                to.sort_by_key(|(streamer, weight)| (*streamer ^ 2, *weight));
                to.dedup_by_key(|(streamer, _)| *streamer);
            }
            What::Gift(GiftWish { user, item, quantity, to, combo, expected, room })
        },
    )
}

fn grouped() -> impl Strategy<Value = What> {
    prop_oneof![
        2 => (user(), amount(), prop::option::of(ahead()))
            .prop_map(|(user, coins, expires)| What::Grant { user, coins, expires }),
        4 => gift(),
        3 => (user(), amount(), ahead()).prop_map(|(user, coins, deadline)| What::Hold { user, coins, deadline }),
        2 => pick().prop_map(|order| What::Step { kind: 0, order }),
        2 => (pick(), prop::option::of(amount())).prop_map(|(order, coins)| What::Capture { order, coins }),
        1 => pick().prop_map(|order| What::Release { order }),
        4 => (pick(), prop::option::weighted(0.7, amount())).prop_map(|(order, coins)| What::Refund { order, coins }),
        3 => (any::<Index>(), 0_u8..20).prop_map(|(refund, astray)| What::RollBack { refund, astray }),
    ]
}

fn scene() -> impl Strategy<Value = Choices> {
    let coins = [0_u64..1_000, 0_u64..1_000, 0_u64..1_000];
    let rolled_back = prop::option::of(any::<bool>());
    (select(vec![0_u8, 0, 1, 1, 2, 3]), any::<usize>(), coins, rolled_back)
        .prop_map(|(scene, nth, coins, rolled_back)| Choices { scene, nth, coins, rolled_back })
}

fn what() -> impl Strategy<Value = What> {
    let group = (prop::option::weighted(0.95, user()), prop::collection::vec(grouped(), 0..7));
    prop_oneof![
        12 => (user(), 0_u8..8, amount(), -1_i64..5_000)
            .prop_map(|(user, payment, coins, minor)| What::TopUp { user, payment, coins, minor }),
        7 => (0_u8..8).prop_map(|payment| What::Chargeback { payment }),
        4 => (0_u8..8).prop_map(|payment| What::Reinstate { payment }),
        10 => (user(), amount(), prop::option::weighted(0.7, ahead()))
            .prop_map(|(user, coins, expires)| What::Grant { user, coins, expires }),
        26 => gift(),
        16 => (user(), amount(), ahead()).prop_map(|(user, coins, deadline)| What::Hold { user, coins, deadline }),
        16 => (select(vec![0_u8, 0, 0, 1, 2, 3]), pick()).prop_map(|(kind, order)| What::Step { kind, order }),
        9 => (pick(), prop::option::of(amount())).prop_map(|(order, coins)| What::Capture { order, coins }),
        4 => pick().prop_map(|order| What::Release { order }),
        20 => (pick(), prop::option::weighted(0.7, amount())).prop_map(|(order, coins)| What::Refund { order, coins }),
        12 => (any::<Index>(), 0_u8..20).prop_map(|(refund, astray)| What::RollBack { refund, astray }),
        6 => (user(), scene()).prop_map(|(user, choices)| What::Scene { user, choices }),
        12 => group.prop_map(|(user, members)| What::Group { user, members }),
        4 => (select(vec![-1_000_i64, 0, 0, 500, 3_000]), 0_u64..12, 0_u32..20, any::<bool>(), 0_u8..6)
            .prop_map(|(ahead, version, part, last, kind)| What::Publish { ahead, version, part, last, kind }),
        1 => (user(), 0_u8..2).prop_map(|(user, kind)| What::Internal { user, kind }),
    ]
}

fn saying() -> impl Strategy<Value = Saying> {
    let id = prop_oneof![
        20 => Just(Id::Fresh),
        2 => any::<Index>().prop_map(Id::Again),
        2 => (any::<Index>(), prop::bool::weighted(0.7)).prop_map(|(nth, in_full)| Id::Copied(nth, in_full)),
        1 => any::<Index>().prop_map(Id::Reused),
    ];
    let wording = (prop::bool::weighted(0.3), prop::bool::weighted(0.1))
        .prop_map(|(says_own, hides_others)| Wording { says_own, hides_others });
    let occurred = prop::option::weighted(0.15, prop_oneof![3 => -10_000_i64..=0, 1 => 499_i64..=501]);
    let parts = (id, wording, occurred, prop::bool::weighted(0.1), what());
    parts.prop_map(|(id, wording, occurred, with_client, what)| Saying { id, wording, occurred, with_client, what })
}

fn jump(unseen: bool) -> impl Strategy<Value = Step> {
    let to = prop_oneof![
        3 => (1_i64..1_500).prop_map(Jump::Millis),
        4 => (-1_i64..=1).prop_map(Jump::Due),
        1 => Just(Jump::Millis(10_000)),
    ];
    (to, any::<bool>()).prop_map(move |(to, unlucky)| Step::Jump { to, unseen: unseen && unlucky })
}

/// One command at a time, or in some cases several, with timers that have not run.
fn steps(bulky: bool) -> impl Strategy<Value = Vec<Step>> {
    let several = if bulky { 1..9_usize } else { 1..2 };
    let step = prop_oneof![
        40 => (select(vec![0_u8, 0, 0, 1, 1, 2]), prop::collection::vec(saying(), several))
            .prop_map(|(service, sayings)| Step::Say { service, sayings }),
        8 => jump(bulky),
        1 => prop::bool::ANY.prop_map(|crash| Step::StartAgain { crash }),
    ];
    let count = if bulky { 4..20_usize } else { 8..60 };
    prop::collection::vec(step, count)
}

fn coins(coins: u64) -> Coins {
    Coins::new(coins.min(Coins::MAX.get())).expect("it was capped")
}

fn id<T: FromStr<Err: Debug>>(text: impl Display) -> T {
    text.to_string().parse().expect("an id")
}

fn user_id(user: u8) -> UserId {
    id(format!("u{}", user + 1))
}

fn begin() -> Timestamp {
    BEGIN.parse().expect("a time")
}

/// The items as they are first published, or at other conditions.
fn catalogue(kind: u8) -> Vec<Change> {
    let item = |(item, price, value, from, until): Conditions| {
        let at = |millis: Option<i64>| millis.map(|millis| begin().plus_millis(millis));
        GiftItem { item: id(item), price: coins(price), value: coins(value), from: at(from), until: at(until) }
    };
    match kind {
        0 => ITEMS.iter().map(|conditions| Change::Item(item(*conditions))).collect(),
        1 => vec![Change::WithdrawItem(id("lamp")), Change::WithdrawItem(id("never"))],
        2 => vec![Change::Item(item(("lamp", 9, 4, None, None))), Change::Item(item(("rose", 2, 1, None, None)))],
        3 => vec![Change::Entity(entity(100)), Change::Item(item(("lamp", 8, 4, None, None)))],
        4 => vec![Change::Entity(entity(10)), Change::Item(item(("lamp", 6, 4, None, None)))],
        _ => vec![Change::Item(item(("box", 0, 300, None, None)))], // malformed: for nothing
    }
}

fn entity(coins_per_unit: u32) -> Entity {
    let entity = format!(r#"{{"currency":"CNY","zone":"Asia/Shanghai","coins_per_unit":{coins_per_unit}}}"#);
    serde_json::from_str(&entity).expect("an entity")
}

/// The group that a command is written for: its user, where all members have one, and the members before.
#[derive(Clone, Copy)]
struct Group<'a> {
    user: Option<u8>,
    before: &'a [Command],
}

impl Group<'_> {
    /// The places of the members before that are so.
    fn places(&self, is_so: impl Fn(&Command) -> bool) -> Vec<u8> {
        (0..).zip(self.before).filter(|(_, member)| is_so(member)).map(|(place, _)| place).collect()
    }
}

/// Makes lines of steps, from what there is when they are played.
#[derive(Default)]
struct Author {
    said: Vec<(Source, Envelope)>,
}

impl Author {
    fn line(&mut self, step: &Step, play: &Play) -> Line {
        match step {
            Step::Say { service, sayings } => {
                let asker: Source = id(SERVICES[usize::from(*service)]);
                let envelopes = sayings.iter().map(|saying| self.envelope(saying, &asker, play)).collect();
                Line::SayAs(asker, envelopes)
            }
            Step::StartAgain { crash: true } => Line::Crash,
            Step::StartAgain { crash: false } => Line::Reopen,
            Step::Jump { to, unseen } => {
                let now = play.world.now();
                let millis = match to {
                    Jump::Millis(millis) => *millis,
                    Jump::Due(more) => play
                        .model
                        .next_due()
                        .map_or(50, |due| (due.nanos() - now.nanos()).div_euclid(1_000_000) + more)
                        .max(0),
                };
                if *unseen { Line::AdvanceUnseen(millis) } else { Line::Advance(millis) }
            }
        }
    }

    fn envelope(&mut self, saying: &Saying, asker: &Source, play: &Play) -> Envelope {
        let mut envelope = self.said_before(&saying.id, asker).unwrap_or_else(|| self.new_one(saying, play));
        for name in names(&mut envelope.command) {
            let Wording { says_own, hides_others } = saying.wording;
            match &name.source {
                None if says_own => name.source = Some(asker.clone()),
                Some(source) if source == asker && !says_own => name.source = None,
                Some(source) if source != asker && hides_others => name.source = None,
                _ => {}
            }
        }
        self.said.push((asker.clone(), envelope.clone()));
        envelope
    }

    fn said_before(&self, id: &Id, asker: &Source) -> Option<Envelope> {
        let (nth, in_full) = match id {
            Id::Again(nth) => (nth, false),
            Id::Copied(nth, in_full) => (nth, *in_full),
            Id::Fresh | Id::Reused(_) => return None,
        };
        let is_one = |source: &Source| matches!(id, Id::Copied(..)) || source == asker;
        let mut said: Vec<&(Source, Envelope)> = self.said.iter().filter(|(source, _)| is_one(source)).collect();
        if in_full && nth.index(2) == 0 && said.iter().any(|(_, envelope)| is_group(envelope)) {
            said.retain(|(_, envelope)| is_group(envelope)); // what these name of themselves may go wrong
        }
        if said.is_empty() {
            return None;
        }
        let (source, mut envelope) = (*nth.get(&said)).clone();
        for name in names(&mut envelope.command).into_iter().filter(|_| in_full) {
            name.source.get_or_insert_with(|| source.clone());
        }
        Some(envelope)
    }

    /// What it names of services is said in full, but for what a group names of itself.
    fn new_one(&self, saying: &Saying, play: &Play) -> Envelope {
        let command = match &saying.id {
            Id::Reused(nth) if !self.said.is_empty() => nth.get(&self.said).1.id.clone(),
            _ => id(format!("c-{}", self.said.len())),
        };
        let occurred_at = saying.occurred.map(|millis| play.world.now().plus_millis(millis));
        let client =
            saying.with_client.then(|| Box::new(Client { device: Some(id("ios")), package: None, version: None }));
        let what = match &saying.what {
            // As long as there is no order, most that ask for one make one.
            what if what.names_an_order() && play.model.orders.is_empty() && !self.said.len().is_multiple_of(8) => {
                let user = u8::try_from(self.said.len() % usize::from(USERS)).expect("there are few users");
                if self.said.len().is_multiple_of(2) {
                    &What::Hold { user, coins: Amount::Of(40), deadline: 1_000 }
                } else {
                    let to = vec![(1, 6), (2, 6), (3, 2)];
                    let wish = GiftWish { user, item: 1, quantity: 1, to, combo: None, expected: None, room: true };
                    &What::Gift(wish)
                }
            }
            what => what,
        };
        let what = self.command(what, &command, None, play);
        Envelope { id: command, occurred_at, actor: None, client, command: what }
    }

    /// `own` is the id of the command, `group` the one that it is in.
    fn command(&self, what: &What, own: &CommandId, group: Option<Group<'_>>, play: &Play) -> Command {
        let now = play.world.now();
        let user = |user: &u8| user_id(group.and_then(|group| group.user).unwrap_or(*user));
        let at = |ahead: i64| now.plus_millis(ahead);
        match what {
            What::TopUp { user: whose, payment, coins, minor } => Command::TopUp(TopUp {
                user: user(whose),
                channel: id(["apple", "wechat"][usize::from(payment % 2)]),
                transaction: id(format!("t{}", payment / 2)),
                coins: resolved(coins, || 500),
                paid: Money::from_minor(id(["USD", "CNY"][usize::from(payment % 2)]), *minor),
            }),
            What::Chargeback { payment } => Command::Chargeback(Chargeback {
                channel: id(["apple", "wechat"][usize::from(payment % 2)]),
                transaction: id(format!("t{}", payment / 2)),
            }),
            What::Reinstate { payment } => reinstate(*payment, play),
            What::Grant { user: whose, coins, expires } => Command::Grant(Grant {
                user: user(whose),
                coins: resolved(coins, || 100),
                expires: expires.map(at),
                reason: id("goodwill"),
            }),
            What::Gift(wish) => Command::Gift(Gift {
                user: user(&wish.user),
                item: id(ITEMS.get(usize::from(wish.item)).map_or("nothing", |item| item.0)),
                quantity: wish.quantity,
                to: wish
                    .to
                    .iter()
                    .map(|(s, weight)| Recipient { streamer: id(format!("s{s}")), weight: *weight })
                    .collect(),
                room: wish.room.then(|| id("r1")),
                combo: wish.combo.map(|(combo, count)| Combo { id: id(format!("x{combo}")), count }),
                activity: None,
                expected_price: wish.expected.map(self::coins),
            }),
            What::Hold { user: whose, coins, deadline } => {
                let user = user(whose);
                let there = || play.model.users.get(&user).map_or(0, |purse| purse.spendable(now));
                let coins = resolved(coins, there);
                Command::Hold(Hold { user, provider: id("p1"), coins, deadline: at(*deadline) })
            }
            What::Step { kind, order } => {
                let statuses: &[Status] = if *kind == 0 { &[Status::Held] } else { &[Status::Sent, Status::Unknown] };
                let (order, _) = self.order(order, statuses, own, group, play);
                match kind {
                    0 => Command::Send(Send { order }),
                    1 => Command::Query(Query { order }),
                    2 => Command::Unresolved(Unresolved { order, reason: id("timeout") }),
                    _ => Command::HandOver(HandOver { order, reason: id("stuck") }),
                }
            }
            What::Capture { order, coins } => {
                let (order, left) = self.order(order, &OPEN, own, group, play);
                Command::Capture(Capture { order, coins: coins.as_ref().map(|coins| resolved(coins, || left)) })
            }
            What::Release { order } => {
                let (order, _) = self.order(order, &OPEN, own, group, play);
                Command::Release(Release { order, reason: id("rejected") })
            }
            What::Refund { order, coins } => {
                let (order, left) = self.order(order, &[Status::Fulfilled], own, group, play);
                let coins = coins.as_ref().map(|coins| resolved(coins, || left));
                Command::Refund(Refund { order, coins, reason: id("sorry") })
            }
            What::RollBack { refund, astray } => self.roll_back(*refund, *astray, own, group, play),
            What::Group { user, members } => {
                let mut written = Vec::new();
                for member in members {
                    let group = Group { user: *user, before: &written };
                    let member = self.command(member, own, Some(group), play);
                    written.push(member);
                }
                Command::Group(written)
            }
            What::Scene { user: whose, choices } => scenes::group(&user(whose), own, *choices, &play.model, now),
            What::Publish { ahead, version, part, last, kind } => {
                publish(play, *version, *part, *last, at(*ahead), catalogue(*kind))
            }
            What::Internal { user: whose, kind: 0 } => Command::Credit(Credit {
                user: user(whose),
                coins: self::coins(10),
                channel: id("apple"),
                transaction: id("t0"),
            }),
            What::Internal { user: whose, .. } => {
                Command::ExpireHold(ExpireHold { user: user(whose), order: id("0-2") })
            }
        }
    }

    fn roll_back(&self, refund: Index, astray: u8, own: &CommandId, group: Option<Group<'_>>, play: &Play) -> Command {
        let reason = id("mistaken");
        let here = group.map_or_else(Vec::new, |group| group.places(|member| matches!(member, Command::Refund(_))));
        if let Some(group) = group
            && !here.is_empty()
            && astray > 7
        {
            // A refund of the same group; now and then without its part, so the first one.
            let place = *refund.get(&here);
            let Command::Refund(Refund { order, .. }) = &group.before[usize::from(place)] else {
                unreachable!("it is a refund");
            };
            let refund = PartName { command: own.clone(), part: (astray != 8).then_some(place), source: None };
            return Command::RollBackRefund(RollBackRefund { order: order.clone(), refund, reason });
        }
        let group_user = group.and_then(|group| group.user).map(user_id);
        let theirs = |user: &UserId| group_user.as_ref().is_none_or(|group| group == user);
        let orders = play.model.orders.iter().filter(|(_, order)| theirs(&order.user));
        let refunds: Vec<(OrderId, PartName, bool)> = orders
            .flat_map(|(id, order)| order.refunds().map(|(refund, rolled_back)| (*id, refund, rolled_back)))
            .collect();
        let standing: Vec<_> = refunds.iter().filter(|(.., rolled_back)| !rolled_back).cloned().collect();
        let choice = if standing.is_empty() || astray > 16 { &refunds } else { &standing };
        if choice.is_empty() {
            let pick = Pick { nth: refund, by: By::Number, astray: false };
            let (order, _) = self.order(&pick, &[Status::Fulfilled], own, group, play);
            return Command::RollBackRefund(RollBackRefund { order, refund: id::<CommandId>("c-0").into(), reason });
        }
        let (order, mut refund, _) = refund.get(choice).clone();
        let user = play.model.orders[&order].user.clone();
        let other = if astray == 0 { refunds[0].0 } else { order };
        match astray {
            1 => refund.command = id("c-1"),
            2 => refund.part = Some(9),
            3..6 => refund.part = None,
            _ => {}
        }
        let order = OrderRef { user, name: OrderName::Number(other) };
        Command::RollBackRefund(RollBackRefund { order, refund, reason })
    }

    /// An order's name and what is left of it; mostly one in these statuses, if there is one.
    fn order(
        &self,
        pick: &Pick,
        statuses: &[Status],
        own: &CommandId,
        group: Option<Group<'_>>,
        play: &Play,
    ) -> (OrderRef, i128) {
        let model: &Model = &play.model;
        let group_user = group.and_then(|group| group.user).map(user_id);
        if let By::Latest = pick.by {
            return self.latest(pick, statuses, own, group);
        }
        let theirs =
            model.orders.iter().filter(|(_, order)| group_user.as_ref().is_none_or(|user| order.user == *user));
        let all: Vec<_> = theirs.collect();
        let fitting: Vec<_> = all.iter().copied().filter(|(_, order)| statuses.contains(&order.status)).collect();
        // Now and then one that does not fit.
        let choice = if fitting.is_empty() || pick.nth.index(8) == 0 { &all } else { &fitting };
        if choice.is_empty() {
            let user = group_user.unwrap_or_else(|| user_id(0));
            return (OrderRef { user, name: OrderName::Number(id("0-2")) }, 1);
        }
        let (number, order) = *pick.nth.get(choice);
        let name = match pick.by {
            By::Command(with_part) => model.placed_by(*number).map_or(OrderName::Number(*number), |name| {
                OrderName::Command(PartName { part: name.part.filter(|_| with_part), ..name })
            }),
            By::Nobody => OrderName::Number(OrderId { part: number.part + 1, ..*number }),
            By::Number | By::Latest => OrderName::Number(*number),
        };
        let stranger = pick.astray && group_user.is_none();
        let user = if stranger { user_id(USERS) } else { order.user.clone() };
        (OrderRef { user, name }, order.left)
    }

    /// What the last command placed; in a group, what an earlier member did, mostly one that fits.
    fn latest(&self, pick: &Pick, statuses: &[Status], own: &CommandId, group: Option<Group<'_>>) -> (OrderRef, i128) {
        let Some(group) = group else {
            let last = self.said.last();
            let user = last.and_then(|(_, envelope)| envelope.command.touches().cloned());
            let name = last.map_or_else(
                || own.clone().into(),
                |(source, envelope)| PartName { source: Some(source.clone()), ..envelope.id.clone().into() },
            );
            return (OrderRef { user: user.unwrap_or_else(|| user_id(0)), name: OrderName::Command(name) }, 50);
        };
        let wants_held = statuses.contains(&Status::Held);
        let fitting = group.places(|member| match member {
            Command::Gift(_) => !wants_held,
            Command::Hold(_) => wants_held,
            _ => false,
        });
        let part = if fitting.is_empty() || pick.astray {
            Some(u8::try_from(pick.nth.index(6)).expect("below 6"))
        } else {
            Some(*pick.nth.get(&fitting)).filter(|_| pick.nth.index(7) > 0)
        };
        let charged = part.and_then(|part| match group.before.get(usize::from(part))? {
            Command::Hold(hold) => Some(i128::from(hold.coins.get())),
            Command::Gift(gift) => {
                let item = ITEMS.iter().find(|item| item.0 == gift.item.as_str())?;
                Some(i128::from(item.1) * i128::from(gift.quantity))
            }
            _ => None,
        });
        let user = group.user.map_or_else(|| user_id(0), user_id);
        let name = OrderName::Command(PartName { command: own.clone(), part, source: None });
        (OrderRef { user, name }, charged.unwrap_or(50))
    }
}

fn is_group(envelope: &Envelope) -> bool {
    matches!(envelope.command, Command::Group(_))
}

/// Mostly of a payment that was charged back, if there is one.
fn reinstate(payment: u8, play: &Play) -> Command {
    let charged_back = play.model.charged_back().nth(usize::from(payment / 2)).cloned();
    let (channel, transaction) = charged_back
        .unwrap_or_else(|| (id(["apple", "wechat"][usize::from(payment % 2)]), id(format!("t{}", payment / 2))));
    Command::Reinstate(Reinstate { channel, transaction })
}

/// Mostly the next part of the next version, or its first one anew.
fn publish(play: &Play, version: u64, part: u32, last: bool, from: Timestamp, changes: Vec<Change>) -> Command {
    let (whole, parts) = play.model.version();
    let version = if version < 10 { whole + 1 } else { version - 9 };
    let part = match part {
        0..12 => parts,
        12..19 => 0,
        _ => parts + 1,
    };
    Command::Publish(Publish { version, part, last, from, changes })
}

fn resolved(amount: &Amount, there: impl Fn() -> i128) -> Coins {
    let many = match amount {
        Amount::Of(many) => i128::from(*many),
        Amount::All(more) => there() + i128::from(*more),
        Amount::Half => there() / 2,
    };
    coins(u64::try_from(many.max(0)).unwrap_or(u64::MAX))
}

const OPEN: [Status; 4] = [Status::Held, Status::Sent, Status::Unknown, Status::Manual];

/// A catalogue, and something to spend.
fn opening(play: &Play, wealth: &[u64]) -> Vec<Line> {
    let publish = Publish { version: 1, part: 0, last: true, from: play.world.now(), changes: catalogue(0) };
    let say = |name: String, command| {
        Line::Say(vec![Envelope { id: id(name), occurred_at: None, actor: None, client: None, command }])
    };
    let mut lines = vec![say("publish".to_owned(), Command::Publish(publish))];
    for (user, wealth) in (0..USERS).zip(wealth).filter(|(_, wealth)| **wealth > 0) {
        let top_up = TopUp {
            user: user_id(user),
            channel: id("wechat"),
            transaction: id(format!("t{}", user % 2)),
            coins: coins(*wealth),
            paid: Money::from_minor(id("CNY"), 100),
        };
        lines.push(say(format!("wealth-{user}"), Command::TopUp(top_up)));
    }
    lines
}

/// Plays a script; a difference comes with the lines that lead to it.
fn play(shards: u16, wealth: &[u64], steps: &[Step], met: &Met) -> Result<(), String> {
    let mut play = Play::new(shards);
    let mut author = Author::default();
    let mut run = || {
        for line in opening(&play, wealth) {
            play.play(line)?;
        }
        for step in steps {
            let line = author.line(step, &play);
            play.play(line)?;
        }
        play.finish()
    };
    // A panic of either side is a difference too.
    let result = catch_unwind(AssertUnwindSafe(&mut run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
    });
    let script = play.script_as_json();
    let mut all = met.borrow_mut();
    play.met.iter().for_each(|(what, count)| *all.entry(what.clone()).or_default() += count);
    // An engine whose thread has panicked hands the panic on when it goes.
    let gone = catch_unwind(AssertUnwindSafe(|| drop(play)));
    let why = result.err().or_else(|| gone.err().map(|_| "a thread of the engine panicked".to_owned()));
    why.map_or(Ok(()), |why| Err(format!("{why}\n\nThe script:\n{script}")))
}

/// How often what was met, over all scripts.
type Met = RefCell<BTreeMap<String, u64>>;

/// What the scripts have to meet between them, or they prove little.
const TO_MEET: [&str; 71] = [
    "malformed",
    "conflict",
    "the same again",
    "reference_published",
    "top_up_credited",
    "charged_back",
    "granted",
    "gift_given",
    "held",
    "sent",
    "queried",
    "unresolved",
    "handed_over",
    "captured",
    "released",
    "refunded",
    "refund_rolled_back",
    "group",
    "transaction_claimed",
    "not_charged_back",
    "already_charged_back",
    "version_not_next",
    "item_not_found",
    "item_not_on_sale",
    "price_changed",
    "combo_counted",
    "order_not_found",
    "order_status",
    "refund_not_found",
    "already_rolled_back",
    "deadline_passed",
    "exceeds_left",
    "in_debt",
    "insufficient_funds",
    "amount_too_large",
    "chargeback_remembered",
    "top_up_reversed",
    "reinstate_remembered",
    "reinstated",
    "entity_fixed",
    "dated_before",
    "lapsed coins come back",
    "coming back pays debt",
    "a lot lapses",
    "a hold is too late",
    "a chargeback makes debt",
    "a top-up pays debt",
    "a shortfall",
    "lapsed coins are charged again",
    "coins that lapsed since the refund are charged again",
    "some of what lapsed with a lot is left",
    "an order is moved in the group that places it",
    "two refunds of one order in a group",
    "a refund is rolled back by its part",
    "a refund is rolled back in a group",
    "a refund is rolled back in the group that made it",
    "a reinstatement pays debt",
    "a reinstatement fills lots",
    "a reinstatement credits for the first time",
    "a version goes on",
    "a version is given up",
    "a new start",
    "a new start after a crash",
    "the same again with the own service said, or not",
    "an id that another service has",
    "a conflict under an id that another service has",
    "the own service is said",
    "another service's command is named",
    "another service's command is named as the own",
    "a group names another service's command of its own id",
    "a refund is rolled back whose id another service's has too",
];

fn cases() -> u32 {
    std::env::var("GIFTLEDGER_CASES").map_or(10_000, |cases| cases.parse().expect("GIFTLEDGER_CASES is a number"))
}

fn compare(shards: u16, bulky: bool, cases: u32) {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 3_000, ..Config::default() };
    let wealth = prop::collection::vec(prop_oneof![1 => Just(0_u64), 6 => 100_u64..20_000], usize::from(USERS));
    let met = Met::default();
    let mut runner = TestRunner::new(config);
    let result = runner.run(&(wealth, steps(bulky)), |(wealth, steps)| {
        play(shards, &wealth, &steps, &met).map_err(TestCaseError::fail)
    });
    if let Err(proptest::test_runner::TestError::Fail(why, _)) = result {
        panic!("{why}");
    }
    result.expect("the runner ran");
    let met = met.into_inner();
    println!("{met:#?}");
    let missed: Vec<&str> = TO_MEET.into_iter().filter(|what| !met.contains_key(*what)).collect();
    assert!(cases < 1_000 || missed.is_empty(), "no script met {missed:?}");
}

#[test]
fn one_shard_does_as_the_model() {
    compare(1, false, cases() * 3 / 10);
}

#[test]
fn sixteen_shards_do_as_the_model() {
    compare(16, false, cases() * 3 / 10);
}

#[test]
fn one_shard_does_as_the_model_in_bulks() {
    compare(1, true, cases() / 5);
}

#[test]
fn sixteen_shards_do_as_the_model_in_bulks() {
    compare(16, true, cases() / 5);
}

#[test]
fn a_script_plays_again() {
    if let Ok(path) = std::env::var("GIFTLEDGER_SCRIPT") {
        let script = std::fs::read_to_string(path).expect("the script can be read");
        if let Err(differs) = Play::replay(&script) {
            panic!("{differs}");
        }
    }
}
