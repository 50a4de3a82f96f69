//! Internal proofs: what must hold of any ledger, checked on its whole log.
//!
//! - Every byte of every frame checks out; records are in their one encoding; the hash chain, the
//!   sequences and the times of each shard go on without a gap ([`Check::Full`](ledger::log::Check::Full)).
//! - Every record stands in the shard of its subject, and its postings sum to zero per asset, as do
//!   all accounts together.
//! - Dispatches are numbered and taken in order, and what is in transit between two shards is what
//!   the numbers not yet taken carry.
//! - The views equal the state: each user's account the lots less the debt, each held account the
//!   open order. Nobody is overdrawn: a balance below zero is a chargeback's debt and nothing else.
//!
//! | file here | its story |
//! |---|---|
//! | `audit` | one thread's pass over the records of some shards |
//! | `transit` | what passes between shards, and so between threads |
//! | `views` | the accounts against the states |
//! | `snapshots` | the snapshots against the states |
//!
//! Shards meet in dispatches only, so each core takes a run of shards from the log to the last
//! comparison. Whatever any of them objects to is found again by one audit of all shards in the order
//! of the log: a fault reads the same on every machine.

mod audit;
mod snapshots;
#[cfg(test)]
mod tests;
mod transit;
mod views;

use std::{num::NonZero, sync::atomic::AtomicU64, thread};

use ledger::log::Reader;
use schemas::{Hash, Shard};
use serde::Serialize;

use audit::{Audit, Fault, Kind};
use snapshots::Forged;
use transit::Transit;
use views::Views;

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
    /// The files of snapshots that are not what the log folds to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forged_snapshots: Vec<String>,
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
        Self { ok: false, records: 0, shards: Vec::new(), checks, fault: Some(fault), forged_snapshots: Vec::new() }
    }
}

const FRAMES: &str = "frames: every byte, encoding, hash chain, sequence, time";
const APPLIED: &str = "records that take only what is there";
const BALANCED: &str = "records whose postings sum to zero";
const DISPATCHES: &str = "dispatches in order";
const USERS: &str = "users whose account equals their lots less debt";
const HOLDS: &str = "held accounts that equal an open order";
const TRANSIT: &str = "transit accounts that equal what is not taken";
const SNAPSHOTS: &str = "snapshots that equal what the log folds to";
const ZERO: &str = "assets whose accounts sum to zero";

/// Threads that prove at once: each reads the tables of all frames again, so many gain little.
const MAX_THREADS: usize = 8;

/// Reads the whole log and proves it. `progress` is called now and then with how many records are done, and
/// says whether to go on; there is no proof if it does not.
pub fn prove(reader: &Reader, mut progress: impl FnMut(u64) -> bool) -> Option<Proof> {
    let mut wanted = true;
    let mut goes_on = |done| {
        wanted = wanted && progress(done);
        wanted
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    let at_once = (threads > 1).then(|| prove_at_once(reader, threads, &mut goes_on)).flatten();
    let proof = at_once.unwrap_or_else(|| prove_in_order(reader, &mut goes_on));
    wanted.then_some(proof)
}

/// All shards at once; `None` if there is any fault, or nothing to share out.
fn prove_at_once(reader: &Reader, threads: usize, progress: &mut impl FnMut(u64) -> bool) -> Option<Proof> {
    let runs = reader.runs_of_shards(threads);
    if runs.len() < 2 {
        return None;
    }
    let (transit, done) = (Transit::new(runs.len()), AtomicU64::new(0));
    let audit = |lane, shards, progress: &mut dyn FnMut(u64) -> bool| {
        let mut audit = Audit::new(reader, shards, transit.lane(lane), &done).ok()?;
        audit.read(reader, progress).ok()?;
        let views = audit.views();
        (views.fault().is_none() && audit.forged().is_empty()).then_some((audit.counts(), views))
    };
    let audits: Option<Vec<_>> = thread::scope(|scope| {
        let mut lanes = runs.into_iter().enumerate();
        let own = lanes.next();
        let audit = &audit;
        let others: Vec<_> =
            lanes.map(|(lane, shards)| scope.spawn(move || audit(lane, shards, &mut |_| true))).collect();
        let own = own.and_then(|(lane, shards)| audit(lane, shards, progress));
        let others = others.into_iter().map(|other| other.join().unwrap_or_default());
        std::iter::once(own).chain(others.collect::<Vec<_>>()).collect()
    });
    let mut whole: Option<(audit::Counts, Views)> = None;
    for (counts, views) in audits? {
        match &mut whole {
            None => whole = Some((counts, views)),
            Some((all, before)) => {
                all.add(counts);
                before.add(views);
            }
        }
    }
    let (counts, views) = whole.filter(|_| !transit.has_strays())?;
    let proof = conclude(reader, counts, None, Some((views, &transit)), &[]);
    progress(proof.records);
    proof.ok.then_some(proof)
}

/// All shards in the order of the log, which is read ahead by another thread.
fn prove_in_order(reader: &Reader, progress: &mut impl FnMut(u64) -> bool) -> Proof {
    let (transit, done) = (Transit::new(1), AtomicU64::new(0));
    let mut audit = match Audit::new(reader, 0..reader.shards(), transit.lane(0), &done) {
        Ok(audit) => audit,
        Err(fault) => return conclude(reader, audit::Counts::default(), Some(&fault), None, &[]),
    };
    let fault = audit.read(reader, progress).err();
    let views = fault.is_none().then(|| (audit.views(), &transit));
    conclude(reader, audit.counts(), fault.as_ref(), views, &audit.forged())
}

fn conclude(
    reader: &Reader,
    counts: audit::Counts,
    fault: Option<&Fault>,
    views: Option<(Views, &Transit)>,
    forged: &[Forged],
) -> Proof {
    let (mut checks, mut first) = (Vec::new(), None);
    let mut checked = |name, count, fault: Option<String>| {
        checks.push(Checked { name, count, ok: fault.is_none() });
        first = first.take().or(fault);
    };
    let of = |kind| fault.filter(|fault| fault.kind == kind).map(|fault| fault.what.clone());
    checked(FRAMES, counts.frames, of(Kind::Log));
    checked(APPLIED, counts.records, of(Kind::State));
    checked(BALANCED, counts.records, of(Kind::Balance));
    checked(DISPATCHES, counts.dispatches, of(Kind::Dispatch));
    if let Some((views, transit)) = views {
        checked(USERS, views.users.count, views.users.fault());
        checked(HOLDS, views.holds.count, views.holds.fault());
        let in_transit = views.in_transit(transit);
        checked(TRANSIT, in_transit.count, in_transit.fault());
        checked(ZERO, views.totals.len() as u64, views.off());
    }
    if counts.snapshots > 0 {
        let said = |forged: &Forged| format!("{} is not what the log folds to: {}", forged.file, forged.what);
        checked(SNAPSHOTS, counts.snapshots, forged.first().map(said));
    }
    let heads = (0..).zip(reader.head().shards);
    let shards = heads.map(|(shard, head)| ShardProof { shard, sequence: head.sequence, hash: head.hash });
    Proof {
        ok: first.is_none(),
        records: counts.records,
        shards: shards.collect(),
        checks,
        fault: first,
        forged_snapshots: forged.iter().map(|forged| forged.file.clone()).collect(),
    }
}
