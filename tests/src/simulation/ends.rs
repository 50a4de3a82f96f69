//! How processes end and start, and what the operator does in between.

use std::sync::Arc;

use ledger::{Clock, Error, Snapshot, Steps, log::Check};
use reconcile::proofs::prove;

use super::{
    Life, Simulation,
    faults::{Hit, Rot},
};
use crate::play::Differs;

/// The most starts that fail in a row before the operator sees to the disk.
const STARTS: u32 = 6;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It is killed: what it wrote is in the page cache.
    Kill,
    /// The power goes: what it did not sync is lost, in part or whole.
    PowerLoss,
    /// It comes to rest and closes.
    Close,
}

impl Simulation {
    /// The process ends, and what it leaves behind is kept or lost.
    pub(super) fn end(&mut self, end: End) -> Result<(), Differs> {
        if end == End::Close {
            return self.close();
        }
        self.tell(|| format!("{end:?}"));
        if let Some(life) = self.life.take() {
            let next = life.steps.ready().last().map_or("rest".to_owned(), |step| format!("{step:?}"));
            self.auditor.coverage.meet("ends", format!("{end:?} before {next}"));
            drop(life);
        }
        self.down(end)
    }

    fn down(&mut self, end: End) -> Result<(), Differs> {
        self.clients.hear(&mut self.auditor, false)?;
        match end {
            End::PowerLoss => self.disk.crash(),
            End::Kill | End::Close => self.disk.kill(),
        }
        self.stalled = 0;
        if let Some(said) = self.decay.at_end(&self.disk, &mut self.auditor.coverage) {
            self.tell(|| said);
        }
        if self.rot.is_none() && self.troubles.rots && self.ends.happens(350) {
            self.rot = self.troubles.rot(&self.disk, self.durable);
            if let Some(rot) = &mut self.rot {
                rot.decayed = self.decay.rotten();
            }
            if let Some(rot) = &self.rot {
                self.tell(|| format!("a bit rots in {} at {}: {:?}", rot.name, rot.offset, rot.hit));
            }
        }
        Ok(())
    }

    /// Comes to rest and closes, if nothing fails meanwhile.
    pub(super) fn close(&mut self) -> Result<(), Differs> {
        self.tell(|| "it is closed".to_owned());
        self.stalled = 0;
        self.rest()?;
        let Some(life) = self.life.take() else { return Ok(()) };
        self.clients.hear(&mut self.auditor, true)?;
        match life.steps.close() {
            Ok(_) => {
                self.auditor.coverage.meet("ends", "closed");
                self.durable.stored = self.durable.end;
                self.down(End::Close)
            }
            Err(error) => {
                self.tell(|| format!("closing fails: {error}"));
                self.explained(&error)?;
                self.auditor.coverage.meet("ends", "a failing close");
                let end = if self.ends.happens(500) { End::Kill } else { End::PowerLoss };
                self.down(end)
            }
        }
    }

    /// A start, which may fail.
    pub(super) fn start(&mut self) -> Result<(), Differs> {
        if self.failed_starts >= STARTS {
            self.tell(|| "the operator sees to the disk".to_owned());
            self.disk.forget_faults();
            self.disk.set_capacity(u64::MAX);
        } else if self.troubles.rate > 0
            && self.ends.happens(250)
            && let Some(trouble) = self.troubles.call()
        {
            self.trouble(trouble);
        }
        let before = self.disk.strikes();
        self.struck_before = before;
        self.decay.before_start(&self.disk);
        let clock: Arc<dyn Clock> = self.clock.clone();
        let started = Steps::start(Arc::new(self.disk.clone()), self.options.clone(), clock);
        self.see_strikes("a start");
        match started {
            Ok((steps, recovery)) => {
                self.tell(|| format!("it starts: {recovery:?}"));
                self.failed_starts = 0;
                if recovery.cut.is_some() {
                    self.auditor.coverage.meet("starts", "cut a torn end");
                }
                let steps = steps.with_queue(self.queue);
                match self.rot.take() {
                    Some(rot) if rot.hit == Hit::Answered => self.start_on_rot(steps, rot),
                    Some(rot) if rot.hit == Hit::LastFrame => {
                        drop(steps);
                        if !rot.was_cut(&self.disk) {
                            return Err(format!("it starts on a rotten byte {} of {}", rot.offset, rot.name));
                        }
                        self.auditor
                            .coverage
                            .meet("rot", "in the last frame of an unclean end: cut as torn, and reported");
                        self.put_back(&rot);
                        Ok(())
                    }
                    rot => {
                        if rot.is_some() {
                            self.auditor.coverage.meet("rot", "where it does no harm");
                        }
                        self.begin(steps)
                    }
                }
            }
            Err(error) => {
                self.tell(|| format!("it does not start: {error}"));
                self.start_fails(&error, self.disk.strikes() > before)
            }
        }
    }

    fn start_fails(&mut self, error: &Error, struck: bool) -> Result<(), Differs> {
        self.failed_starts += 1;
        match self.rot.take() {
            rot if struck => {
                self.rot = rot;
                self.auditor.coverage.meet("starts", "failed by a fault");
            }
            None => return Err(format!("it does not start, for no reason: {error} ({error:?})")),
            Some(rot) => {
                if !error.to_string().contains(&rot.name) {
                    return Err(format!("a rotten byte {} of {}: {error}", rot.offset, rot.name));
                }
                let what = match rot.hit {
                    Hit::Answered if rot.hidden => "in what was answered, below a snapshot: refused by a later start",
                    Hit::Answered => "in what was answered: refused",
                    Hit::LastFrame => "in the last frame of an unclean end: refused",
                    Hit::Other => "elsewhere: refused",
                };
                self.auditor.coverage.meet("rot", what);
                self.tell(|| "the operator restores what was there".to_owned());
                if rot.hidden {
                    rot.flip(&self.disk); // much has happened since
                    self.disk.kill();
                } else {
                    self.put_back(&rot);
                }
                return Ok(());
            }
        }
        if self.ends.happens(500) {
            self.disk.crash();
        } else {
            self.disk.kill();
        }
        Ok(())
    }

    /// A start has not seen the rot, which it need not where its snapshot and its index begin behind
    /// that. Whoever reads the byte finds it: `verify` does, and a process that lives on it ends with
    /// it, if it ever comes by.
    fn start_on_rot(&mut self, steps: Steps, mut rot: Rot) -> Result<(), Differs> {
        if !rot.is_sealed(&self.disk) {
            return Err(format!("it starts on a rotten byte {} of {}", rot.offset, rot.name));
        }
        let reader = steps.reader();
        if !rot.hidden {
            let proof = self.disk.observe(|| prove(&reader, |_| true)).expect("nobody ends it");
            verify_finds(&rot, proof.fault)?;
            self.auditor.coverage.meet("rot", "in what was answered, below a snapshot: found by verify");
        }
        rot.hidden = true;
        rot.flip(&self.disk);
        let begun = self.begin(steps);
        rot.flip(&self.disk);
        self.rot = Some(rot);
        begun
    }

    /// The operator puts everything back as it was before a bit rotted.
    pub(super) fn put_back(&mut self, rot: &Rot) {
        self.disk.restore(&rot.before);
        self.decay.put_back(&rot.decayed, &self.disk);
    }

    /// Rot that no start has noticed is repaired: after a read that did, or at the end.
    pub(super) fn heal_hidden(&mut self) {
        if let Some(rot) = self.rot.take_if(|rot| rot.hidden) {
            self.tell(|| format!("the operator mends {}", rot.name));
            rot.flip(&self.disk);
        }
    }

    /// A process has started: it must have everything that was durable.
    fn begin(&mut self, steps: Steps) -> Result<(), Differs> {
        let mut frames = steps.reader().frames(Check::Frame);
        let mut records = Vec::new();
        let newest = self.disk.observe(|| Snapshot::newest(&steps.reader()));
        let newest = newest.map_err(|error| format!("what a start has read cannot be read: {error}"))?;
        let snapshot = newest.map(|snapshot| format!("snapshots/{:016x}.snap", snapshot.next.offset()));
        self.decay.after_start(&self.disk, snapshot.as_deref(), &mut self.auditor.coverage)?;
        self.disk.observe(|| {
            for frame in frames.by_ref() {
                let frame = frame.map_err(|error| format!("what a start has read cannot be read: {error}"))?;
                self.durable.last_frame = frame.first.offset();
                self.durable.end = self.durable.last_frame + frame.stored_bytes;
                records.extend(frame.records);
            }
            Ok::<(), Differs>(())
        })?;
        self.auditor.started(records, &steps.states(), self.clock.now())?;
        self.auditor.coverage.meet("starts", "started");
        self.life = Some(Life { steps, frames });
        Ok(())
    }
}

/// What `verify` says of a log with rot names the file.
pub(super) fn verify_finds(rot: &Rot, fault: Option<String>) -> Result<(), Differs> {
    match fault {
        Some(fault) if fault.contains(&rot.name) => Ok(()),
        fault => Err(format!("a rotten byte {} of {}: verify finds {fault:?}", rot.offset, rot.name)),
    }
}
