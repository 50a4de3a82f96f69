//! A user's lots, debt and open orders.

use std::collections::HashMap;

use ledger::{Clock, Engine, State, SystemClock, state::User};
use replay::AsOf;
use schemars::JsonSchema;
use schemas::{Event, Lot, LotId, Order, OrderKind, Record, Status, Subject, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::app::{Ledger, Result, asked};

/// What a user holds, owes and has on hold. What is due by the time of the answer counts as due: coins that
/// have lapsed cannot be spent, and a hold past its deadline comes back, whether a writer has recorded it yet
/// or not.
#[derive(Debug, clap::Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Whose.
    pub user: UserId,
    /// As of a time or a position `<shard>-<sequence>`.
    #[arg(long, value_name = "MOMENT")]
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub as_of: Option<AsOf>,
}

/// A wallet.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Wallet")]
pub struct Answer {
    pub user: UserId,
    /// The clock of the answer.
    pub as_of: Timestamp,
    /// What the account holds by what is recorded, lapsed lots included.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "String")]
    pub balance: i128,
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "String")]
    pub debt: u128,
    /// What could be spent at that time.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "String")]
    pub spendable: u128,
    /// In burn order.
    pub lots: Vec<KnownLot>,
    pub open_orders: Vec<OpenOrder>,
}

/// A lot, and what is known of it.
#[derive(Debug, Serialize, JsonSchema, Deserialize)]
pub struct KnownLot {
    #[serde(flatten)]
    pub lot: Lot,
    /// Whether its time has come.
    pub lapsed: bool,
    pub origin: Option<Origin>,
}

/// An order whose coins are on hold.
#[derive(Debug, Serialize, JsonSchema, Deserialize)]
pub struct OpenOrder {
    #[serde(flatten)]
    pub order: Order,
    /// Whether it was not sent by its deadline, so that its coins come back.
    pub past_deadline: bool,
}

/// Where a lot came from.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "LotOrigin")]
pub enum Origin {
    /// A payment.
    TopUp { channel: schemas::ChannelId, transaction: schemas::TransactionId },
    /// Goodwill or a reward.
    Grant { reason: schemas::ReasonCode },
}

/// A user's lots.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "LotsOfUser")]
pub struct LotsOf {
    pub user: UserId,
    /// The clock of the answer.
    pub as_of: Timestamp,
    /// In burn order.
    pub lots: Vec<KnownLot>,
}

impl Answer {
    /// Nothing but the lots.
    pub fn into_lots(self) -> LotsOf {
        LotsOf { user: self.user, as_of: self.as_of, lots: self.lots }
    }
}

impl Question {
    /// From the state, where the ledger runs; else it folds the user's shard.
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        if let Some(engine) = ledger.engine(self.as_of) {
            return self.ask_running(engine);
        }
        let as_of = self.as_of.unwrap_or(AsOf::End);
        let shards = ledger.read()?.shards();
        let subject = Subject::User(self.user.clone());
        let shard = subject.shard(shards);
        let mut state = State::new(shard, shards);
        let mut origins = HashMap::new();
        let clock = ledger.fold(as_of, |record| {
            if record.shard == shard {
                state.apply(record);
            }
            if record.subject == subject {
                note_origins(record, &mut origins);
            }
        })?;
        let nobody = User::default();
        Ok(self.answer(state.user(&self.user).unwrap_or(&nobody), origins, clock))
    }

    fn ask_running(&self, engine: &Engine) -> Result<Answer> {
        let shard = Subject::User(self.user.clone()).shard(engine.shards());
        let asked = self.user.clone();
        let user = engine.read(move |states| states[usize::from(shard)].user(&asked).cloned())?.unwrap_or_default();
        let (mut origins, mut reader) = (HashMap::new(), engine.reader());
        let mut last = 0;
        for lot in user.wallet().lots() {
            // A lot is named by the record that made it; a group makes several.
            if lot.id.sequence != last
                && let Some((_, record)) = reader.find(shard, lot.id.sequence)?
            {
                note_origins(&record, &mut origins);
                last = lot.id.sequence;
            }
        }
        Ok(self.answer(&user, origins, SystemClock.now()))
    }

    fn answer(&self, user: &User, mut origins: HashMap<LotId, Origin>, clock: Timestamp) -> Answer {
        let wallet = user.wallet();
        let lot = |lot: Lot| KnownLot { lot, lapsed: lot.kind.has_expired(clock), origin: origins.remove(&lot.id) };
        let open = |order: &Order| OpenOrder { order: order.clone(), past_deadline: is_past_deadline(order, clock) };
        Answer {
            user: self.user.clone(),
            as_of: clock,
            balance: wallet.balance(),
            debt: wallet.debt(),
            spendable: if wallet.debt() > 0 { 0 } else { wallet.available(clock) },
            lots: wallet.lots().map(lot).collect(),
            open_orders: user.open_orders().map(open).collect(),
        }
    }
}

/// Whether a hold was not sent by its deadline: it can no longer be, and its coins come back with the
/// timer's record.
pub fn is_past_deadline(order: &Order, clock: Timestamp) -> bool {
    matches!((order.status, &order.kind), (Status::Held, OrderKind::Game { deadline, .. }) if *deadline <= clock)
}

/// The lots that a record of the user made. What comes back goes to the lots that it came from.
fn note_origins(record: &Record, origins: &mut HashMap<LotId, Origin>) {
    for (part, event) in record.events() {
        let origin = match event {
            Event::TopUpCredited(e) => Origin::TopUp { channel: e.channel.clone(), transaction: e.transaction.clone() },
            Event::Granted(e) => Origin::Grant { reason: e.reason.clone() },
            Event::ReferencePublished(_)
            | Event::ReferenceTaken(_)
            | Event::TopUpClaimed(_)
            | Event::ChargebackClaimed(_)
            | Event::ChargedBack(_)
            | Event::LotExpired(_)
            | Event::GiftGiven(_)
            | Event::Held(_)
            | Event::Sent(_)
            | Event::Queried(_)
            | Event::Unresolved(_)
            | Event::HandedOver(_)
            | Event::Captured(_)
            | Event::Released(_)
            | Event::Refunded(_)
            | Event::RefundRolledBack(_)
            | Event::ChargebackRemembered(_)
            | Event::TopUpReversed(_)
            | Event::ReinstateRemembered(_)
            | Event::ReinstateClaimed(_)
            | Event::Reinstated(_)
            | Event::Group(_) => continue,
        };
        origins.insert(LotId { sequence: record.sequence, part }, origin);
    }
}
