//! Internal proofs: what must hold of any ledger, checked on its whole log.
//!
//! - Every byte of every frame checks out; records are in their one encoding; the hash chain, the
//!   sequences and the times of each shard go on without a gap ([`Check::Full`]).
//! - Every record's postings sum to zero per asset, and so do all accounts together.
//! - Dispatches are numbered and taken in order, and what is in transit between two shards is what
//!   the numbers not yet taken carry.
//! - The views equal the state: each user's account the lots less the debt, each held account the
//!   open order. Nobody is overdrawn: a balance below zero is a chargeback's debt and nothing else.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use ledger::{
    State,
    log::{Check, Reader},
    state::parse_dispatch_id,
};
use projections::Accounts;
use schemas::{Account, Asset, Command, Hash, Origin, Record, Shard};
use serde::Serialize;

/// What a proof found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Whether everything holds.
    pub ok: bool,
    /// How many records were read.
    pub records: u64,
    /// How far each shard goes.
    pub shards: Vec<ShardProof>,
    /// What was checked, in order.
    pub checks: Vec<Checked>,
    /// The first fault: what and where.
    pub fault: Option<String>,
}

/// A shard's last position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardProof {
    /// The shard.
    pub shard: Shard,
    /// The sequence of its last record.
    pub sequence: u64,
    /// The hash there.
    pub hash: Hash,
}

/// One kind of check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What was checked.
    pub name: &'static str,
    /// How many times.
    pub count: u64,
    /// Whether it held each time.
    pub ok: bool,
}

impl Proof {
    /// A log that cannot even be opened.
    pub fn unreadable(fault: String) -> Self {
        let checks = vec![Checked { name: FRAMES, count: 0, ok: false }];
        Self { ok: false, records: 0, shards: Vec::new(), checks, fault: Some(fault) }
    }
}

const FRAMES: &str = "frames: every byte, encoding, hash chain, sequence, time";
const APPLIED: &str = "records that take only what is there";
const BALANCED: &str = "records whose postings sum to zero";
const DISPATCHES: &str = "dispatches in order";
const USERS: &str = "users whose account equals their lots less debt";
const HOLDS: &str = "held accounts that equal an open order";
const TRANSIT: &str = "transit accounts that equal what is not taken";
const ZERO: &str = "assets whose accounts sum to zero";

/// Reads the whole log and proves it. `step` is called for each record.
pub fn prove(reader: &Reader, step: impl FnMut()) -> Proof {
    let mut audit = Audit::new(reader.shards());
    let read = audit.read(reader, step);
    if read.is_ok() {
        audit.compare_views();
    }
    let head = reader.head();
    let shards =
        (0..).zip(head.shards).map(|(shard, head)| ShardProof { shard, sequence: head.sequence, hash: head.hash });
    Proof {
        ok: audit.fault.is_none(),
        records: audit.records,
        shards: shards.collect(),
        checks: audit.checks,
        fault: audit.fault,
    }
}

struct Audit {
    records: u64,
    checks: Vec<Checked>,
    fault: Option<String>,
    states: Vec<State>,
    accounts: Accounts,
    /// By source, target and number: the coins that a dispatch not yet taken carries.
    untaken: BTreeMap<(Shard, Shard, u64), i128>,
    /// By source and target: the last number issued.
    issued: HashMap<(Shard, Shard), u64>,
}

impl Audit {
    fn new(shards: Shard) -> Self {
        Self {
            records: 0,
            checks: Vec::new(),
            fault: None,
            states: (0..shards).map(|shard| State::new(shard, shards)).collect(),
            accounts: Accounts::new(),
            untaken: BTreeMap::new(),
            issued: HashMap::new(),
        }
    }

    fn checked(&mut self, name: &'static str, count: u64, fault: Option<String>) {
        self.checks.push(Checked { name, count, ok: fault.is_none() });
        if self.fault.is_none() {
            self.fault = fault;
        }
    }

    /// The pass over the log; stops at the first fault.
    fn read(&mut self, reader: &Reader, mut step: impl FnMut()) -> Result<(), ()> {
        let (mut frames, mut dispatches) = (0, 0);
        let mut faults = Faults::default();
        'log: for frame in reader.frames(Check::Full) {
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => {
                    faults.log = Some(error.to_string());
                    break;
                }
            };
            frames += 1;
            for record in &frame.records {
                if let Err(fault) = self.record(record, &mut dispatches) {
                    faults.set(fault);
                    break 'log;
                }
                self.records += 1;
                step();
            }
        }
        let sound =
            faults.log.is_none() && faults.state.is_none() && faults.balance.is_none() && faults.dispatch.is_none();
        let records = self.records;
        self.checked(FRAMES, frames, faults.log);
        self.checked(APPLIED, records, faults.state);
        self.checked(BALANCED, records, faults.balance);
        self.checked(DISPATCHES, dispatches, faults.dispatch);
        if sound { Ok(()) } else { Err(()) }
    }

    fn record(&mut self, record: &Record, dispatches: &mut u64) -> Result<(), Fault> {
        let place = || format!("record {}-{}", record.shard, record.sequence);
        let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
        for posting in ledger::postings(record) {
            *sums.entry(posting.asset).or_default() += i128::from(posting.amount);
        }
        if let Some((asset, sum)) = sums.iter().find(|(_, sum)| **sum != 0) {
            return Err(Fault::Balance(format!("{}: its postings of {asset} sum to {sum}", place())));
        }
        for (dispatch, command) in record.dispatches() {
            let last = self.issued.entry((record.shard, dispatch.target)).or_default();
            if dispatch.number != *last + 1 {
                let number = dispatch.number;
                return Err(Fault::Dispatch(format!("{}: dispatch {number} follows {last}", place())));
            }
            *last = dispatch.number;
            self.untaken.insert((record.shard, dispatch.target, dispatch.number), carried(&command));
        }
        if record.origin == Origin::Dispatch {
            *dispatches += 1;
            let taken = parse_dispatch_id(record.id.as_str()).filter(|(source, _)| *source < self.shards());
            let Some((source, number)) = taken else {
                return Err(Fault::Dispatch(format!("{}: {} is no dispatch", place(), record.id)));
            };
            let last = self.states[usize::from(record.shard)].taken_from(source);
            if number != last + 1 {
                return Err(Fault::Dispatch(format!("{}: dispatch {number} was taken after {last}", place())));
            }
            if self.untaken.remove(&(source, record.shard, number)).is_none() {
                return Err(Fault::Dispatch(format!("{}: no record issued dispatch {}", place(), record.id)));
            }
        }
        self.accounts.apply(record);
        // `apply` is total on what was decided. A log that somebody forged, hashes and all, is not that:
        // it stops here, and with a place instead of a crash.
        let state = &mut self.states[usize::from(record.shard)];
        let applied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| state.apply(record)));
        applied.map_err(|_| Fault::State(format!("{}: it takes what is not there", place())))
    }

    fn shards(&self) -> Shard {
        self.states[0].shards()
    }

    fn compare_views(&mut self) {
        let mut users: BTreeMap<Account, i128> = BTreeMap::new();
        let mut holds: BTreeMap<Account, i128> = BTreeMap::new();
        for (user, known) in self.states.iter().flat_map(State::users) {
            users.insert(Account::User(user.clone()), known.wallet().balance());
            for order in known.open_orders() {
                holds.insert(Account::Held(order.id), order.left.signed());
            }
        }
        let mut transit: BTreeMap<Account, i128> = BTreeMap::new();
        for (&(source, target, _), carried) in &self.untaken {
            *transit.entry(Account::Transit { source, target }).or_default() += carried;
        }
        self.compare(USERS, users, |account| matches!(account, Account::User(_)));
        self.compare(HOLDS, holds, |account| matches!(account, Account::Held(_)));
        self.compare(TRANSIT, transit, |account| matches!(account, Account::Transit { .. }));
        let totals = self.accounts.totals();
        let off = totals.iter().find(|(_, total)| **total != 0);
        let off = off.map(|(asset, total)| format!("all accounts of {asset} sum to {total}"));
        self.checked(ZERO, totals.len() as u64, off);
    }

    /// Compares the coins of the accounts of a kind with what the state says, both ways.
    fn compare(
        &mut self,
        name: &'static str,
        mut expected: BTreeMap<Account, i128>,
        of_kind: impl Fn(&Account) -> bool,
    ) {
        let mut count = 0;
        let mut fault = None;
        for (account, _, balance) in self.accounts.iter().filter(|(account, ..)| of_kind(account)) {
            let state = expected.remove(account).unwrap_or(0);
            count += 1;
            if state != balance {
                fault.get_or_insert(format!("{account} holds {balance} by its postings and {state} by the state"));
            }
        }
        if let Some((account, state)) = expected.into_iter().find(|(_, state)| *state != 0) {
            fault.get_or_insert(format!("{account} holds nothing by its postings and {state} by the state"));
        }
        self.checked(name, count, fault);
    }
}

enum Fault {
    State(String),
    Balance(String),
    Dispatch(String),
}

#[derive(Default)]
struct Faults {
    log: Option<String>,
    state: Option<String>,
    balance: Option<String>,
    dispatch: Option<String>,
}

impl Faults {
    fn set(&mut self, fault: Fault) {
        match fault {
            Fault::State(fault) => self.state = Some(fault),
            Fault::Balance(fault) => self.balance = Some(fault),
            Fault::Dispatch(fault) => self.dispatch = Some(fault),
        }
    }
}

/// The coins that a dispatched command takes out of transit.
fn carried(command: &Command) -> i128 {
    match command {
        Command::Credit(credit) => credit.coins.signed(),
        Command::TakeBack(take_back) => -take_back.coins.signed(),
        _ => 0,
    }
}
