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
pub mod dice;
mod ends;
pub mod faults;

use std::sync::Arc;

use ledger::{
    Clock, Error, ManualClock, Step, Steps,
    log::{
        Frames, Options,
        faulty::{Fault, SimDisk},
    },
};
use schemas::{Hash, Timestamp};

use self::{
    auditor::Auditor,
    clients::{Again, Clients},
    coverage::Coverage,
    dice::{Concern, Dice},
    ends::End,
    faults::{Durable, Rot, Trouble, Troubles},
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
    let mut simulation = Simulation::new(seed, trace);
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
    failed_starts: u32,
    /// For how many more actions the writer's calls do not return.
    stalled: u32,
    /// Faults that had struck when what runs now began.
    struck_before: u64,
}

/// A process.
struct Life {
    steps: Steps,
    frames: Frames,
}

impl Simulation {
    fn new(seed: u64, trace: Option<fn(&str)>) -> Self {
        let mut world = Dice::of(seed, Concern::World);
        let shards = *world.one_of(&[1, 2, 4, 16]);
        let clients = world.below(5) + 1;
        let actions = world.below(251) + 50;
        let queue = world.weighed(&[(1, 6), (2, 30), (2, 100_000)]);
        let options = faults::options(&mut world, shards);
        let begin: Timestamp = BEGIN.parse().expect("a time");
        Self {
            trace,
            actions,
            taken: 0,
            schedule: Dice::of(seed, Concern::Schedule),
            clock_dice: Dice::of(seed, Concern::Clock),
            ends: Dice::of(seed, Concern::Ends),
            troubles: Troubles::new(seed),
            disk: SimDisk::new(seed),
            clock: Arc::new(ManualClock::at(begin)),
            options,
            queue,
            clients: Clients::new(seed, clients, trace.is_some()),
            auditor: Auditor::new(shards, begin),
            life: None,
            durable: Durable::default(),
            rot: None,
            failed_starts: 0,
            stalled: 0,
            struck_before: 0,
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
        if self.schedule.happens(60) {
            self.move_clock();
        }
        if self.life.is_none() {
            return self.start();
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
        let life = self.life.as_mut().expect("a step was ready");
        match life.steps.take(step) {
            Ok(()) => {}
            Err(error) => return self.fails(step, &error),
        }
        match step {
            Step::Write => self.see_durable()?,
            Step::Answer => self.clients.hear(&mut self.auditor, true)?,
            _ => {}
        }
        Ok(())
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

    /// A step failed: for a reason that there is, and the process ends.
    fn fails(&mut self, step: Step, error: &Error) -> Result<(), Differs> {
        self.tell(|| format!("{step:?} fails: {error}"));
        self.explained(error)?;
        self.auditor.coverage.meet("ends", format!("a failing {step:?}"));
        let end = if self.ends.happens(500) { End::Kill } else { End::PowerLoss };
        self.end(end)
    }

    /// An error has a cause: a fault that struck since the process began.
    fn explained(&self, error: &Error) -> Result<(), Differs> {
        if self.strikes() > self.struck_before { Ok(()) } else { Err(format!("for no reason: {error} ({error:?})")) }
    }

    fn strikes(&self) -> u64 {
        self.disk.struck().values().sum::<u64>() + self.disk.times_full()
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

    /// Faults stop. Everything settles, every command has its outcome, and asking again adds nothing.
    fn finish(mut self) -> Result<Run, Differs> {
        self.tell(|| "the faults stop".to_owned());
        if !self.disk.has_power() {
            self.end(End::PowerLoss)?;
        }
        self.calm();
        if let Some(rot) = self.rot.take() {
            self.disk.restore(&rot.before);
        }
        if self.life.is_none() {
            self.start()?;
        }
        self.settle()?;
        self.ask_again(Again::Malformed)?; // what was too early when it was first asked has its time now
        let records = self.auditor.count();
        self.ask_again(Again::All)?;
        same_count("asking again", records, self.auditor.count())?;
        self.close()?;
        self.start()?;
        self.rest()?;
        self.ask_again(Again::All)?;
        same_count("asking again after a start", records, self.auditor.count())?;
        self.auditor.finish()?;
        let Some(life) = &self.life else { return Err("it ends though nothing fails".to_owned()) };
        let reader = life.steps.reader();
        let proof = reconcile::proofs::prove(&reader, |_| ());
        if !proof.ok {
            return Err(format!("verify finds {:?}", proof.fault));
        }
        for (fault, times) in self.disk.struck() {
            self.auditor.coverage.meet_often("faults", format!("{fault:?}"), times);
        }
        self.auditor.coverage.meet_often("faults", "the capacity is used up", self.disk.times_full());
        self.auditor.coverage.meet_often("clients", "commands", self.clients.count() as u64);
        let segments = self.disk.files().iter().filter(|(name, _)| name.starts_with("log/")).count();
        self.auditor.coverage.meet_often("log", "segments", segments as u64);
        self.auditor.coverage.meet_often("log", "records", self.auditor.count() as u64);
        let hashes = reader.head().shards.iter().map(|head| head.hash).collect();
        Ok(Run { coverage: self.auditor.coverage, steps: self.taken, hashes })
    }

    fn calm(&mut self) {
        self.troubles.rate = 0;
        self.troubles.rots = false;
        self.stalled = 0;
        self.disk.forget_faults();
        self.disk.set_capacity(u64::MAX);
        let latest = self.auditor.latest;
        if self.clock.now() < latest {
            self.set_clock(latest);
        }
    }

    /// Asks until everything has its outcome.
    fn settle(&mut self) -> Result<(), Differs> {
        for _ in 0..4 {
            self.rest()?;
            if self.clients.wait() {
                return Err("it is at rest, and somebody waits".to_owned());
            }
            if self.ask_again(Again::Unended)? == 0 {
                return Ok(());
            }
        }
        Err("asked again and again, a command has no outcome".to_owned())
    }

    fn ask_again(&mut self, again: Again) -> Result<usize, Differs> {
        let Some(life) = self.life.take() else { return Err("it ends though nothing fails".to_owned()) };
        // The queue takes everything at once here.
        let Life { steps, frames } = life;
        let mut steps = steps.with_queue(usize::MAX);
        let asked = self.clients.ask_again(&mut steps, &mut self.auditor, again, self.clock.now())?;
        self.life = Some(Life { steps, frames });
        self.rest()?;
        Ok(asked)
    }
}

fn same_count(what: &str, before: usize, after: usize) -> Result<(), Differs> {
    if before == after { Ok(()) } else { Err(format!("{what} adds {} records", after - before)) }
}
