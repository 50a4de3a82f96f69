//! A seeded simulation of the whole core in one thread: clients, decider, writer, dispatches, timers and
//! files, with everything that can go wrong between them.
//!
//! One seed says everything: the world, what clients ask, the order of the steps, how the clock moves,
//! what fails, and how processes end. The [`auditor`] sees what is answered and what is durable, and
//! compares both with the model as they happen. Then the faults stop; everything must settle within a
//! bound of steps, and be as the model has it.

pub mod auditor;
pub mod author;
pub mod clients;
pub mod coverage;
pub mod crowd;
pub mod dice;
mod ends;
pub mod faults;
pub mod greed;
pub mod keeping;
pub mod services;
mod settling;

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
};

use ledger::{
    Clock, Error, ManualClock, Step, Steps,
    engine::Options,
    index::Home,
    log::{
        Frames,
        faulty::{Fault, SimDisk},
    },
    snapshot::{self, Plan},
};
use schemas::{Hash, Timestamp};

use self::{
    auditor::Auditor,
    clients::Clients,
    coverage::Coverage,
    crowd::Crowd,
    dice::{Concern, Dice},
    ends::End,
    faults::{Durable, Rot, Trouble, Troubles},
    greed::Greed,
    keeping::{ByHand, Decay},
    services::Services,
};
use crate::{play::Differs, world::BEGIN};

/// The most steps that anything may take to come to rest: a few for each command, dispatch and timer.
const PATIENCE: usize = 20_000;

/// A run that kept every promise.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// What it met.
    pub coverage: Coverage,
    /// How many actions and steps it took.
    pub steps: u64,
    /// The hash of each shard at the end: the same for the same seed.
    pub hashes: Vec<Hash>,
}

/// Runs the schedule of a seed; `trace` is told each action.
///
/// # Errors
/// The first promise that was not kept.
///
/// # Panics
/// If the ledger or the model does.
pub fn run(seed: u64, trace: Option<fn(&str)>) -> Result<Run, Differs> {
    run_with(seed, |clients| Services::several(seed, clients), trace)
}

/// The same where one service asks for everything, which is what seeds meant before there were several.
///
/// # Errors
/// The first promise that was not kept.
///
/// # Panics
/// If the ledger or the model does.
pub fn run_of_one_service(seed: u64, trace: Option<fn(&str)>) -> Result<Run, Differs> {
    run_with(seed, Services::one, trace)
}

fn run_with(seed: u64, services: impl FnOnce(usize) -> Services, trace: Option<fn(&str)>) -> Result<Run, Differs> {
    let mut simulation = Simulation::new(seed, services, trace);
    for _ in 0..simulation.actions {
        simulation.act()?;
    }
    simulation.finish()
}

/// A world in which a ledger runs, or does not run at the moment.
struct Simulation {
    trace: Option<fn(&str)>,
    actions: usize,
    taken: u64,
    schedule: Dice,
    clock_dice: Dice,
    ends: Dice,
    troubles: Troubles,
    disk: SimDisk,
    clock: Arc<ManualClock>,
    options: Options,
    queue: usize,
    clients: Clients,
    auditor: Auditor,
    life: Option<Life>,
    durable: Durable,
    rot: Option<Rot>,
    decay: Decay,
    by_hand: ByHand,
    failed_starts: u32,
    /// For how many more actions the writer's calls do not return.
    stalled: u32,
    /// Faults that had struck when what runs now began.
    struck_before: u64,
    /// Faults that were seen to strike.
    struck: BTreeMap<Fault, u64>,
    full: u64,
}

/// A process.
struct Life {
    steps: Steps,
    frames: Frames,
}

impl Simulation {
    fn new(seed: u64, services: impl FnOnce(usize) -> Services, trace: Option<fn(&str)>) -> Self {
        let mut world = Dice::of(seed, Concern::World);
        let long = keeping::long(seed);
        let mut shards = *world.one_of(&[1, 2, 4, 16]);
        let clients = world.below(5) + 1;
        let mut actions = world.below(251) + 50;
        let mut queue = world.weighed(&[(1, 6), (2, 30), (2, 100_000)]);
        let mut log = faults::options(&mut world, shards);
        let greed = Greed::new(seed);
        if greed.is_some() {
            // Or it would be turned away at the door, or keep the writer busy for long.
            (queue, log.max_frame_bytes) = (100_000, 64 << 10);
        }
        let mut troubles = Troubles::new(seed);
        let mut decay = Decay::new(seed);
        if let Some(more) = long {
            (actions, shards, log.shards, log.max_frame_bytes) = (more, 1, Some(1), 4 << 10);
            (troubles.rots, decay) = (true, Decay::none(seed));
        }
        if Crowd::new(seed).is_some() {
            log.max_frame_bytes = 2 << 20; // or the largest records would not fit in
        }
        let begin: Timestamp = BEGIN.parse().expect("a time");
        Self {
            trace,
            actions,
            taken: 0,
            schedule: Dice::of(seed, Concern::Schedule),
            clock_dice: Dice::of(seed, Concern::Clock),
            ends: Dice::of(seed, Concern::Ends),
            troubles,
            disk: SimDisk::new(seed),
            clock: Arc::new(ManualClock::at(begin)),
            options: keeping::options(seed, log),
            queue,
            clients: Clients::new(seed, services(clients), clients, greed, trace.is_some()),
            auditor: Auditor::new(shards, begin),
            life: None,
            durable: Durable::default(),
            rot: None,
            decay,
            by_hand: ByHand::new(seed),
            failed_starts: 0,
            stalled: 0,
            struck_before: 0,
            struck: BTreeMap::new(),
            full: 0,
        }
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = self.trace {
            trace(&what());
        }
    }

    /// One action of whoever's turn it is.
    fn act(&mut self) -> Result<(), Differs> {
        self.taken += 1;
        self.stalled = self.stalled.saturating_sub(1);
        if let Some(trouble) = self.troubles.next(&self.disk) {
            self.trouble(trouble);
        }
        if let Some(said) = self.decay.beside(&self.disk, &mut self.auditor.coverage) {
            self.tell(|| said);
        }
        if self.schedule.happens(60) {
            self.move_clock();
        }
        if self.life.is_none() {
            return self.start();
        }
        if self.by_hand.happens() {
            return self.snapshot_by_hand();
        }
        if self.ends.happens(12) {
            let end = self.ends.weighed(&[(3, End::Kill), (3, End::PowerLoss), (2, End::Close)]);
            return self.end(end);
        }
        if self.schedule.happens(300) {
            let Some(life) = &mut self.life else { return Ok(()) };
            let said = self.clients.act(&mut life.steps, &mut self.auditor, self.clock.now())?;
            self.tell(|| said);
            return Ok(());
        }
        let ready: Vec<Step> = self.ready();
        if ready.is_empty() {
            return Ok(());
        }
        let step = *self.schedule.one_of(&ready);
        self.step(step)
    }

    /// The steps that can be taken.
    fn ready(&self) -> Vec<Step> {
        let Some(life) = &self.life else { return Vec::new() };
        let mut ready = life.steps.ready();
        if self.stalled > 0 {
            ready.retain(|step| !matches!(step, Step::Reserve | Step::Write));
        }
        ready
    }

    /// One step of the ledger.
    fn step(&mut self, step: Step) -> Result<(), Differs> {
        self.tell(|| format!("{step:?}"));
        if self.stalled > 0 && step == Step::Decide {
            self.auditor.coverage.meet("faults", "the writer stalls while the decider goes on");
        }
        self.auditor.coverage.meet("steps", format!("{step:?}"));
        let snapshots = if step == Step::Snapshot { self.newest_snapshot() } else { None };
        let full = self.disk.times_full();
        let life = self.life.as_mut().expect("a step was ready");
        let taken = life.steps.take(step);
        let (found, parked) = (life.steps.found(), life.steps.parked_quests());
        self.see_strikes(&format!("{step:?}"));
        if let Err(error) = taken {
            return self.fails(step, &error, full);
        }
        let coverage = &mut self.auditor.coverage;
        match step {
            Step::Write => self.see_durable()?,
            Step::Answer => self.clients.hear(&mut self.auditor, true)?,
            Step::Find => coverage.meet(
                "look-ups",
                match found {
                    None => "nothing is found",
                    Some(Home::Open) => "found by the open table",
                    Some(Home::Frozen) => "found by the frozen table",
                    Some(Home::Sealed) => "found in a sealed run",
                    Some(Home::Merged) => "found in a merged run",
                },
            ),
            Step::Decide if parked > 0 => coverage.meet("look-ups", "of a line that waits behind another"),
            Step::Snapshot if self.newest_snapshot() > snapshots => {
                self.auditor.coverage.meet("snapshots", "one is made");
            }
            _ => {}
        }
        Ok(())
    }

    /// Somebody runs `giftledger snapshot` beside the process: of everything durable.
    fn snapshot_by_hand(&mut self) -> Result<(), Differs> {
        self.tell(|| "somebody asks for a snapshot".to_owned());
        let Some(life) = &self.life else { return Ok(()) };
        let made = snapshot::fold(&life.steps.reader(), &Plan::NOW, &AtomicBool::new(false));
        self.see_strikes("a snapshot by hand");
        match made {
            Ok(None) => {}
            Ok(Some(_)) => self.auditor.coverage.meet("snapshots", "one is made by hand"),
            Err(Error::Full { .. }) => self.auditor.coverage.meet("snapshots", "there is no room for one"),
            // Who asks is told, and the process goes on, as far as the disk does.
            Err(error) => self.explained(&error)?,
        }
        Ok(())
    }

    fn newest_snapshot(&self) -> Option<String> {
        let files = self.disk.files().into_iter().map(|(name, _)| name);
        files.filter(|name| keeping::is_a(name, "snap")).max()
    }

    /// Looks at which faults have struck during something.
    fn see_strikes(&mut self, during: &str) {
        if self.disk.strikes() == self.struck.values().sum::<u64>() + self.full {
            return;
        }
        let (struck, full) = (self.disk.struck(), self.disk.times_full());
        let coverage = &mut self.auditor.coverage;
        for (fault, times) in &struck {
            let before = self.struck.get(fault).copied().unwrap_or(0);
            coverage.meet_often("strikes", format!("{fault:?} in {during}"), times - before);
        }
        coverage.meet_often("strikes", format!("no space left in {during}"), full - self.full);
        (self.struck, self.full) = (struck, full);
    }

    /// Looks at what has become durable.
    fn see_durable(&mut self) -> Result<(), Differs> {
        let Some(Life { frames, .. }) = &mut self.life else { return Ok(()) };
        let (auditor, durable) = (&mut self.auditor, &mut self.durable);
        self.disk.observe(|| {
            for frame in frames.by_ref() {
                let mut frame = frame.map_err(|error| format!("what is durable cannot be read: {error}"))?;
                durable.last_frame = frame.first.offset();
                durable.end = durable.last_frame + frame.stored_bytes;
                frame.records.sort_by_key(|record| record.time);
                frame.records.iter().try_for_each(|record| auditor.record(record))?;
            }
            Ok(())
        })
    }

    /// A step failed: for a reason that there is, and the process ends. `full`: how often the disk had
    /// been full before it.
    fn fails(&mut self, step: Step, error: &Error, full: u64) -> Result<(), Differs> {
        self.tell(|| format!("{step:?} fails: {error}"));
        if step == Step::Write && self.disk.times_full() > full {
            return Err(format!("it was decided without room: {error}"));
        }
        self.explained(error)?;
        self.auditor.coverage.meet("ends", format!("a failing {step:?}"));
        let end = if self.ends.happens(500) { End::Kill } else { End::PowerLoss };
        self.end(end)
    }

    /// An error has a cause: a fault that struck since the process began, or rot that was read.
    fn explained(&mut self, error: &Error) -> Result<(), Differs> {
        let hidden = self.rot.as_ref().filter(|rot| rot.hidden);
        if hidden.is_some_and(|rot| matches!(error, Error::Damaged { .. }) && error.to_string().contains(&rot.name)) {
            self.auditor.coverage.meet("rot", "in what was answered, below a snapshot: found by a read");
            self.heal_hidden();
            return Ok(());
        }
        if self.decay.explains(error, &self.disk)? {
            self.auditor.coverage.meet("decay", "rot in the index: found by a look-up or a merge");
            return Ok(());
        }
        let struck = self.disk.strikes() > self.struck_before;
        if struck { Ok(()) } else { Err(format!("for no reason: {error} ({error:?})")) }
    }

    fn trouble(&mut self, trouble: Trouble) {
        self.tell(|| format!("{trouble:?}"));
        match trouble {
            // Two bad reads in a row would be taken for what is on the disk.
            Trouble::Call(Fault::BitFlip, _) if self.disk.waiting_faults() > 0 => {}
            Trouble::Call(fault, n) => self.disk.inject(n, fault),
            Trouble::Full(bytes) => self.disk.set_capacity(bytes),
            Trouble::Space => self.disk.set_capacity(u64::MAX),
            Trouble::Stall(actions) => self.stalled = actions,
        }
    }

    fn move_clock(&mut self) {
        let now = self.clock.now();
        let dice = &mut self.clock_dice;
        let millis = match dice.below(20) {
            0..9 => dice.within(1..=5),
            9..12 => dice.within(6..=1_500),
            12..16 => {
                let due = self.auditor.model.next_due();
                let until = due.map_or(50, |due| (due.nanos() - now.nanos()).div_euclid(1_000_000));
                until.max(0) + dice.within(-1..=1)
            }
            16 => dice.within(4_900..=20_000),
            17..19 => -dice.within(1..=500),
            _ => -dice.within(501..=8_000),
        };
        let kind = match millis {
            ..-500 => "goes back beyond the tolerance",
            -500..0 => "goes back a little",
            _ => "goes on",
        };
        self.auditor.coverage.meet("clock", kind);
        self.set_clock(now.plus_millis(millis));
    }

    fn set_clock(&mut self, now: Timestamp) {
        self.tell(|| format!("the clock shows {now}"));
        self.clock.set(now);
        self.auditor.clock_moves(now, self.clients.unanswered());
    }

    /// Takes steps until there are none, or the process ends.
    fn rest(&mut self) -> Result<(), Differs> {
        for _ in 0..PATIENCE {
            let Some(life) = &self.life else { return Ok(()) };
            if life.steps.is_at_rest() {
                if life.steps.open_quests() > 0 {
                    return Err("what was looked up is kept though everybody is answered".to_owned());
                }
                return self.auditor.compare_live(&life.steps.states());
            }
            let ready = self.ready();
            if ready.is_empty() {
                return Err("nothing can be done, and somebody waits".to_owned());
            }
            self.taken += 1;
            let step = *self.schedule.one_of(&ready);
            self.step(step)?;
        }
        Err("it does not come to rest".to_owned())
    }
}
