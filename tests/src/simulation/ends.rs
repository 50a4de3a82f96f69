//! How processes end and start, and what the operator does in between.

use std::sync::Arc;

use ledger::{Clock, Error, Steps, log::Check};

use super::{Life, Simulation, faults::Hit};
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
        if self.rot.is_none() && self.troubles.rots && self.ends.happens(350) {
            self.rot = self.troubles.rot(&self.disk, self.durable);
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
        let before = self.strikes();
        self.struck_before = before;
        let clock: Arc<dyn Clock> = self.clock.clone();
        match Steps::start(Arc::new(self.disk.clone()), &self.options, clock) {
            Ok((steps, recovery)) => {
                self.tell(|| format!("it starts: {recovery:?}"));
                self.failed_starts = 0;
                if recovery.cut.is_some() {
                    self.auditor.coverage.meet("starts", "cut a torn end");
                }
                let steps = steps.with_queue(self.queue);
                match self.rot.take() {
                    Some(rot) if rot.hit != Hit::Other => {
                        drop(steps);
                        if !(rot.hit == Hit::LastFrame && rot.was_cut(&self.disk)) {
                            return Err(format!("it starts on a rotten byte {} of {}", rot.offset, rot.name));
                        }
                        self.auditor
                            .coverage
                            .meet("rot", "in the last frame of an unclean end: cut as torn, and reported");
                        self.disk.restore(&rot.before);
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
                self.start_fails(&error, self.strikes() > before)
            }
        }
    }

    fn start_fails(&mut self, error: &Error, struck: bool) -> Result<(), Differs> {
        self.failed_starts += 1;
        match &self.rot {
            _ if struck => self.auditor.coverage.meet("starts", "failed by a fault"),
            None => return Err(format!("it does not start, for no reason: {error} ({error:?})")),
            Some(rot) => {
                if !error.to_string().contains(&rot.name) {
                    return Err(format!("a rotten byte {} of {}: {error}", rot.offset, rot.name));
                }
                let what = match rot.hit {
                    Hit::Answered => "in what was answered: refused",
                    Hit::LastFrame => "in the last frame of an unclean end: refused",
                    Hit::Other => "elsewhere: refused",
                };
                self.auditor.coverage.meet("rot", what);
                self.tell(|| "the operator restores what was there".to_owned());
                self.disk.restore(&rot.before);
                self.rot = None;
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

    /// A process has started: it must have everything that was durable.
    fn begin(&mut self, steps: Steps) -> Result<(), Differs> {
        let mut frames = steps.reader().frames(Check::Frame);
        let mut records = Vec::new();
        self.disk.observe(|| {
            for frame in frames.by_ref() {
                let frame = frame.map_err(|error| format!("what a start has read cannot be read: {error}"))?;
                self.durable.last_frame = frame.first.offset();
                self.durable.end = self.durable.last_frame + frame.stored_bytes;
                records.extend(frame.records);
            }
            Ok::<(), Differs>(())
        })?;
        self.auditor.started(records, &steps.states())?;
        self.auditor.coverage.meet("starts", "started");
        self.life = Some(Life { steps, frames });
        Ok(())
    }
}
