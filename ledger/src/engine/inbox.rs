//! What waits for the decider, and the order in which a step takes it.

use std::collections::VecDeque;

use super::{answer::Unavailable, bulk::Submission, core::Core, dispatcher::Untaken, finder::Finding};
use crate::Result;

/// The most dispatches taken at once: half a batch, so that callers get their turn.
const DISPATCH_CHUNK: usize = 4_096;

/// What the decider has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub callers: VecDeque<Submission>,
    pub findings: Vec<Finding>,
    pub dispatches: VecDeque<Untaken>,
}

impl Inbox {
    /// A step of the decider: dispatches first, as others wait for them; then what was found, then
    /// callers, then timers in what is left. Dispatches that find no room in the batch stay.
    pub fn decide(&mut self, core: &mut Core, room: bool) -> Result<()> {
        for _ in 0..DISPATCH_CHUNK {
            if !room || !core.has_room() {
                break;
            }
            let Some(untaken) = self.dispatches.pop_front() else { break };
            core.take_dispatch(&untaken)?;
        }
        self.callers.drain(..).for_each(|submission| core.submit(submission));
        self.findings.drain(..).for_each(|finding| core.found(finding));
        if room {
            core.decide_queued()?;
            core.take_timers()
        } else {
            core.refuse_all(Unavailable::DiskFull);
            Ok(())
        }
    }
}
