//! Groups that tell a whole story: what they place is moved, refunded and charged again in the same record. Groups
//! that are written member by member seldom come so far.

use schemas::{
    Capture, Coins, Command, CommandId, Gift, Hold, OrderId, OrderName, OrderRef, PartName, Recipient, Refund,
    RollBackRefund, Send, Status, Timestamp, UserId,
};

use crate::model::{About, Model};

/// The choices of a scene: which it is, amounts, and whether a member more ends it.
#[derive(Debug, Clone, Copy)]
pub struct Choices {
    /// Which scene, modulo their number.
    pub scene: u8,
    /// Which of the user's gifts, modulo their number.
    pub nth: usize,
    /// How much is bought, and what of it comes back by two refunds; each is made to fit.
    pub coins: [u64; 3],
    /// Which of the refunds is rolled back, if one is.
    pub rolled_back: Option<bool>,
}

/// A group of a user, who mostly can pay for it. `own` is its id.
///
/// # Panics
/// Never: what it names are ids.
pub fn group(user: &UserId, own: &CommandId, choices: Choices, model: &Model, now: Timestamp) -> Command {
    let there = model.users.get(user).map_or(0, |purse| purse.spendable(now));
    let there = u64::try_from(there.clamp(2, 300)).expect("it was clamped");
    let [bought, first, second] = choices.coins;
    let bought = 2 + bought % (there - 1);
    let gifts = model.orders.iter().filter(|(_, order)| {
        order.user == *user
            && order.status == Status::Fulfilled
            && order.left > 1
            && matches!(order.about, About::Gift { .. })
    });
    let gifts: Vec<(OrderId, i128)> = gifts.map(|(id, order)| (*id, order.left)).collect();
    let named = |part: u8| PartName { command: own.clone(), part: Some(part), source: None };
    let here = |part: u8| OrderRef { user: user.clone(), name: OrderName::Command(named(part)) };
    let refund = |order: &OrderRef, left: u64, coins: u64| {
        let (order, reason) = (order.clone(), "sorry".parse().expect("a code"));
        Command::Refund(Refund { order, coins: Some(amount(1 + coins % left.max(1))), reason })
    };
    let mut members = match choices.scene % 4 {
        0 => vec![gift(user, bought)],
        1 if !gifts.is_empty() => Vec::new(),
        2 => vec![hold(user, bought, now), Command::Send(Send { order: here(0) })],
        _ => vec![hold(user, 1, now), gift(user, bought - 1)],
    };
    if let [Command::Hold(_), Command::Send(_)] = members[..] {
        members.push(Command::Capture(Capture { order: here(0), coins: Some(amount(1 + first % bought)) }));
        return Command::Group(members);
    }
    let (order, left) = match members.len() {
        0 => {
            let (number, left) = gifts[choices.nth % gifts.len()];
            let order = OrderRef { user: user.clone(), name: OrderName::Number(number) };
            (order, u64::try_from(left.min(300)).expect("it was capped"))
        }
        n => (here(u8::try_from(n - 1).expect("two members")), bought - (n as u64 - 1)),
    };
    let part = u8::try_from(members.len()).expect("two members");
    members.push(refund(&order, left / 2, first));
    members.push(refund(&order, left / 2, second));
    if let Some(second) = choices.rolled_back {
        let (refund, reason) = (named(part + u8::from(second)), "mistaken".parse().expect("a code"));
        members.push(Command::RollBackRefund(RollBackRefund { order, refund, reason }));
    }
    Command::Group(members)
}

fn gift(user: &UserId, quantity: u64) -> Command {
    let to = ["s1", "s2", "s3"].into_iter().zip([3, 2, 0]);
    let to = to.map(|(streamer, weight)| Recipient { streamer: streamer.parse().expect("an id"), weight });
    Command::Gift(Gift {
        user: user.clone(),
        item: "rose".parse().expect("an id"),
        quantity,
        to: to.collect(),
        room: None,
        combo: None,
        activity: None,
        expected_price: None,
    })
}

fn hold(user: &UserId, coins: u64, now: Timestamp) -> Command {
    let (provider, deadline) = ("p1".parse().expect("an id"), now.plus_millis(60_000));
    Command::Hold(Hold { user: user.clone(), provider, coins: amount(coins), deadline })
}

fn amount(coins: u64) -> Coins {
    Coins::new(coins).expect("few coins")
}
