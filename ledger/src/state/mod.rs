//! The state of one shard: a fold of its own records, and of nothing else.

mod catalogue;
mod packed;
mod sorted;
mod stored;
mod user;
mod wallet;

use std::hash::BuildHasher;

use hashbrown::HashMap;
use schemas::{Change, Entity, Event, Record, ReferencePublished, Shard, Subject, Timestamp, UserId};
use serde::{Deserialize, Serialize};

pub use catalogue::{Catalogue, Offer};
pub use user::{Place, User};
pub use wallet::Wallet;
pub(crate) use wallet::gather;

/// What a shard's decisions read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    shard: Shard,
    shards: Shard,
    sequence: u64,
    time: Timestamp,
    /// By target shard: the number of the last dispatch that was issued to it.
    issued: Vec<u64>,
    /// By source shard: the number of the last dispatch that was taken from it.
    taken: Vec<u64>,
    catalogue: Catalogue,
    reference: Reference,
    users: Users,
}

type Users = HashMap<UserId, User, foldhash::fast::RandomState>;

/// How far the reference data has come; moves only in the shard that holds the `reference` subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// The last complete version.
    pub version: u64,
    /// Parts of the next one that are there.
    pub parts: u32,
    /// The entity, once a complete version has set it: it never changes.
    pub entity: Option<Entity>,
    /// The entity that those parts set.
    pub staged_entity: Option<Entity>,
}

impl Reference {
    /// A part starts its version anew if it is the first, and goes on with it otherwise.
    fn publish(&mut self, part: &ReferencePublished) {
        let staged = if part.part == 0 { None } else { self.staged_entity };
        let staged = staged.or_else(|| part.changes.iter().find_map(Change::entity));
        *self = if part.last {
            Self { version: part.version, parts: 0, entity: self.entity.or(staged), staged_entity: None }
        } else {
            Self { parts: part.part + 1, staged_entity: staged, ..*self }
        };
    }
}

impl State {
    /// The state before the first record of shard `shard` of `shards`.
    pub fn new(shard: Shard, shards: Shard) -> Self {
        assert!(shard < shards, "shard {shard} of {shards}");
        Self {
            shard,
            shards,
            sequence: 0,
            time: Timestamp::MIN,
            issued: vec![0; shards.into()],
            taken: vec![0; shards.into()],
            catalogue: Catalogue::default(),
            reference: Reference::default(),
            users: HashMap::default(),
        }
    }

    /// The shard.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// How many shards the ledger has.
    pub fn shards(&self) -> Shard {
        self.shards
    }

    /// The sequence of the last record.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The time of the last record.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The number of the last dispatch issued to `target`.
    pub fn issued_to(&self, target: Shard) -> u64 {
        self.issued[usize::from(target)]
    }

    /// The number of the last dispatch taken from `source`.
    pub fn taken_from(&self, source: Shard) -> u64 {
        self.taken[usize::from(source)]
    }

    /// The items on sale.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// How far the reference data has come.
    pub fn reference(&self) -> Reference {
        self.reference
    }

    /// A user, where there is anything to remember of them.
    pub fn user(&self, user: &UserId) -> Option<&User> {
        self.users.get(user)
    }

    /// Where a user stands in memory, for [`Self::touch`].
    pub fn home(&self, user: &UserId) -> u64 {
        self.users.hasher().hash_one(user)
    }

    /// Reads a user's place in memory, and says whether there is anything to remember of the user. Called
    /// for all users of a batch before their turn, so that the cache misses overlap: the answer depends
    /// on the bytes, and must be used, or the compiler would leave the reading out.
    pub fn touch(&self, home: u64) -> bool {
        // The id may lie in another cache line than the wallet; no id is empty.
        let known = self.users.raw_entry().from_hash(home, |id| !id.as_str().is_empty());
        known.is_some_and(|(_, known)| !known.wallet().is_empty())
    }

    /// Every user of whom there is anything to remember, in no order.
    pub fn users(&self) -> impl ExactSizeIterator<Item = (&UserId, &User)> {
        self.users.iter()
    }

    /// Applies the next record. Total: it cannot refuse, and needs nothing but the record.
    ///
    /// # Panics
    /// If the record is not the next one of this shard, or takes what is not there: the log or this
    /// program is wrong, and nothing may go on from here.
    pub fn apply(&mut self, record: &Record) {
        assert_eq!((record.shard, record.sequence), (self.shard, self.sequence + 1), "the next record of the shard");
        assert!(record.time > self.time, "times rise strictly within a shard");
        self.sequence = record.sequence;
        self.time = record.time;
        if record.origin == schemas::Origin::Dispatch {
            let (source, number) = parse_dispatch_id(record.id.as_str()).expect("the dispatcher made this id");
            self.taken[usize::from(source)] = number;
        }
        for (part, event) in record.events() {
            self.apply_event(record, part, event);
        }
        if let (Subject::User(user), [_, ..]) = (&record.subject, &record.moved[..])
            && let Some(known) = self.users.get_mut(user)
        {
            record.moved.iter().for_each(|order| known.keep(order));
            if known.is_empty() {
                self.users.remove(user);
            }
        }
    }

    fn apply_event(&mut self, record: &Record, part: u8, event: &Event) {
        match (event, &record.subject) {
            (Event::ReferencePublished(e), _) => {
                self.reference.publish(e);
                for dispatch in &e.dispatches {
                    self.issue(*dispatch);
                }
            }
            (Event::ReferenceTaken(e), _) => self.catalogue.take(e, record.time),
            (Event::TopUpClaimed(e), _) => self.issue(e.dispatch),
            (Event::ChargebackClaimed(e), _) => self.issue(e.dispatch),
            (Event::ReinstateClaimed(e), _) => self.issue(e.dispatch),
            (Event::ChargebackRemembered(_) | Event::TopUpReversed(_) | Event::ReinstateRemembered(_), _) => {}
            (event, Subject::User(user)) => {
                let place =
                    Place { shard: record.shard, sequence: record.sequence, part, happened_at: record.happened_at() };
                let known = self.users.get_mut(user);
                let known = match known {
                    Some(known) => known,
                    None => self.users.entry(user.clone()).or_default(),
                };
                known.apply(event, place);
                if known.is_empty() {
                    self.users.remove(user);
                }
            }
            (event, subject) => panic!("`{}` under {subject}", event.kind()),
        }
    }

    fn issue(&mut self, dispatch: schemas::Dispatch) {
        self.issued[usize::from(dispatch.target)] = dispatch.number;
    }
}

/// Lets a shard that has just taken a part of a version keep only once what another shard knows as well: a large
/// catalogue then does not cost memory for each shard.
pub(crate) fn share_catalogue(states: &mut [State], shard: Shard) {
    let shard = usize::from(shard);
    let own = &states[shard].catalogue;
    let others = states.iter().enumerate().filter(|(at, _)| *at != shard).map(|(_, state)| &state.catalogue);
    if let Some(other) = others.clone().find(|other| own.is_as_far_as(other)).cloned() {
        states[shard].catalogue.share(&other);
    }
}

/// The id of a dispatched command: `<source shard>:<number>`.
pub(crate) fn dispatch_id(source: Shard, number: u64) -> schemas::CommandId {
    schemas::CommandId::new(&format!("{source}:{number}")).expect("two numbers and a colon are a command id")
}

/// Reads the id of a dispatched command.
pub fn parse_dispatch_id(id: &str) -> Option<(Shard, u64)> {
    let (source, number) = id.split_once(':')?;
    Some((source.parse().ok()?, number.parse().ok()?))
}
