//! The end of a schedule: nothing fails any more, and everything must come to rest as the model has it.

use ledger::{Clock, log::Reader};
use reconcile::proofs::prove;

use super::{
    Life, Run, Simulation,
    clients::Again,
    ends::{End, verify_finds},
};
use crate::play::Differs;

/// How often something is tried at the end: a process may still find what has decayed before, and ends
/// with it.
const TRIES: u32 = 4;

impl Simulation {
    /// Faults stop. Everything settles, every command has its outcome, and asking again adds nothing.
    pub(super) fn finish(mut self) -> Result<Run, Differs> {
        self.tell(|| "the faults stop".to_owned());
        if !self.disk.has_power() {
            self.end(End::PowerLoss)?;
        }
        self.calm()?;
        self.settle()?;
        self.ask_again(Again::Malformed)?; // what was too early when it was first asked has its time now
        let records = self.auditor.count();
        self.ask_again(Again::All)?;
        same_count("asking again", records, self.auditor.count())?;
        self.close()?;
        self.live()?;
        self.rest()?;
        self.ask_again(Again::All)?;
        same_count("asking again after a start", records, self.auditor.count())?;
        self.auditor.finish()?;
        let Some(life) = &self.life else { return Err("it ends though nothing fails".to_owned()) };
        let reader = life.steps.reader();
        let proof = prove(&reader, |_| true).expect("nobody ends it");
        if !proof.ok {
            return Err(format!("verify finds {:?}", proof.fault));
        }
        self.see_strikes("the end");
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

    fn calm(&mut self) -> Result<(), Differs> {
        self.troubles.rate = 0;
        self.troubles.rots = false;
        self.decay.stop();
        self.stalled = 0;
        self.disk.forget_faults();
        self.disk.set_capacity(u64::MAX);
        let latest = self.auditor.latest;
        if self.clock.now() < latest {
            self.set_clock(latest);
        }
        if let Some(rot) = self.rot.as_ref().filter(|rot| rot.hidden) {
            let disk = std::sync::Arc::new(self.disk.clone());
            let fault = match Reader::open(disk) {
                Ok(reader) => prove(&reader, |_| true).expect("nobody ends it").fault,
                Err(error) => Some(error.to_string()),
            };
            verify_finds(rot, fault)?;
            self.heal_hidden();
        } else if let Some(rot) = self.rot.take() {
            self.put_back(&rot);
        }
        Ok(())
    }

    /// Sees to it that a process runs.
    fn live(&mut self) -> Result<(), Differs> {
        if self.life.is_none() {
            self.start()?;
        }
        if self.life.is_none() { Err("it does not start though nothing fails".to_owned()) } else { Ok(()) }
    }

    /// Asks until everything has its outcome.
    fn settle(&mut self) -> Result<(), Differs> {
        for _ in 0..TRIES {
            self.live()?;
            self.rest()?;
            if self.clients.wait() {
                return Err("it is at rest, and somebody waits".to_owned());
            }
            if self.ask_again(Again::Unended)? == 0 {
                return Ok(());
            }
            if let Some(window) = self.clients.patience() {
                self.set_clock(self.clock.now().plus_millis(window));
            }
        }
        Err("asked again and again, a command has no outcome".to_owned())
    }

    fn ask_again(&mut self, again: Again) -> Result<usize, Differs> {
        for _ in 0..TRIES {
            self.live()?;
            let Some(Life { steps, frames }) = self.life.take() else { continue };
            // The queue takes everything at once here.
            let mut steps = steps.with_queue(usize::MAX);
            let asked = self.clients.ask_again(&mut steps, &mut self.auditor, again, self.clock.now())?;
            self.life = Some(Life { steps, frames });
            self.rest()?;
            if self.life.is_some() {
                return Ok(asked);
            }
        }
        Err("it ends again and again though nothing fails".to_owned())
    }
}

fn same_count(what: &str, before: usize, after: usize) -> Result<(), Differs> {
    if before == after { Ok(()) } else { Err(format!("{what} adds {} records", after - before)) }
}
