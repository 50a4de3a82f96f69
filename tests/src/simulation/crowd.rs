//! Records as large as they can be, and larger: groups of gifts to many streamers with long names, of their
//! refunds and of the roll-backs of those.

use schemas::{
    Command, Gift, MAX_GROUP, MAX_RECIPIENTS, OrderId, OrderName, OrderRef, PartName, Recipient, Refund,
    RollBackRefund, Status, UserId,
};

use super::dice::{Concern, Dice};
use crate::model::{About, Model};

/// How many schedules of a thousand are crowded.
const CROWDED: u32 = 15;
/// How often, in a thousand commands of such a one.
const OFTEN: u32 = 200;
/// How many coins a refund takes of a gift: so that there can be many.
const A_REFUND: u64 = 1;

/// Writes such groups.
#[derive(Debug)]
pub struct Crowd {
    dice: Dice,
    /// How long the names are.
    name: usize,
}

impl Crowd {
    /// Of a schedule, if it is crowded.
    pub fn new(seed: u64) -> Option<Self> {
        let mut dice = Dice::of(seed, Concern::Crowd);
        let name = dice.below(160) + 40;
        dice.happens(CROWDED).then_some(Self { dice, name })
    }

    /// A group for a user, if it is time for one.
    pub fn group(&mut self, user: &UserId, model: &Model) -> Option<Command> {
        if !self.dice.happens(OFTEN) {
            return None;
        }
        let crowded: Vec<OrderId> = model
            .orders
            .iter()
            .filter(|(_, order)| order.user == *user)
            .filter(|(_, order)| {
                order.status == Status::Fulfilled
                    && matches!(&order.about, About::Gift { first, .. } if first.len() == MAX_RECIPIENTS)
            })
            .map(|(id, _)| *id)
            .collect();
        let standing: Vec<(OrderId, PartName)> = crowded
            .iter()
            .flat_map(|id| model.orders[id].refunds().map(|(refund, rolled_back)| (*id, refund, rolled_back)))
            .filter(|(.., rolled_back)| !rolled_back)
            .map(|(id, refund, _)| (id, refund))
            .collect();
        let members = match self.dice.below(3) {
            1 if crowded.len() > 1 => crowded.iter().take(MAX_GROUP).map(|id| refund(user, *id)).collect(),
            2 if standing.len() > 1 => {
                standing.into_iter().take(MAX_GROUP).map(|(id, name)| roll_back(user, id, name)).collect()
            }
            _ => {
                let gifts = self.dice.amount(1..=32);
                (0..gifts).map(|_| Command::Gift(self.gift(user))).collect()
            }
        };
        Some(Command::Group(members))
    }

    fn gift(&self, user: &UserId) -> Gift {
        let to = (0..MAX_RECIPIENTS).map(|nth| Recipient {
            streamer: format!("s{nth:0>width$}", width = self.name).parse().expect("an id"),
            weight: 1,
        });
        Gift {
            user: user.clone(),
            item: "rose".parse().expect("an id"),
            quantity: 1 + A_REFUND,
            to: to.collect(),
            room: None,
            combo: None,
            activity: None,
            expected_price: None,
        }
    }
}

fn order(user: &UserId, number: OrderId) -> OrderRef {
    OrderRef { user: user.clone(), name: OrderName::Number(number) }
}

fn refund(user: &UserId, number: OrderId) -> Command {
    let coins = schemas::Coins::new(A_REFUND).ok();
    Command::Refund(Refund { order: order(user, number), coins, reason: "sorry".parse().expect("a code") })
}

fn roll_back(user: &UserId, number: OrderId, refund: PartName) -> Command {
    let reason = "mistaken".parse().expect("a code");
    Command::RollBackRefund(RollBackRefund { order: order(user, number), refund, reason })
}
