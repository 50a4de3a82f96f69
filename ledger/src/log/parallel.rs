//! Reading with more than one core: frames ahead of the caller, or each thread the shards of its own.
//!
//! *Ahead* keeps the order of the log: one thread reads and decodes, the caller's thread folds. A
//! spent frame goes back to the thread that made it, since memory is freed cheaply only there.
//!
//! *By shards* needs no order between shards, and so no record ever goes from one thread to another:
//! each thread walks all frames, and unpacks only the blocks in which its shards have records. A
//! frame's records stand by shard, so of a frame's blocks two threads share one at most.

use std::{
    ops::Range,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use schemas::Shard;

use super::{Check, Frame, Frames, Locator, Reader};
use crate::Error;

/// From so many bytes on it pays to read ahead: they take a few milliseconds, a thread some dozens of
/// microseconds. A simulation stays below, and so the order of its reads and writes is always the same.
const WORTH_A_THREAD: u64 = 1 << 20;
/// Decoded frames that wait for the caller. A frame has at most 8 MiB of encoded records by default;
/// more of them than a few only take memory.
const FRAMES_AHEAD: usize = 4;

impl Frames {
    /// Gives every frame to `visit`, in order, while the next ones are read on another thread. It ends
    /// with the log, or with the first error, be it the log's or the caller's.
    ///
    /// # Errors
    /// The one it ended with.
    pub fn ahead<E: From<Error>>(mut self, mut visit: impl FnMut(&Frame) -> Result<(), E>) -> Result<(), E> {
        if self.left() < WORTH_A_THREAD {
            while let Some(frame) = self.next() {
                let frame = frame?;
                visit(&frame)?;
                self.recycle(frame);
            }
            return Ok(());
        }
        thread::scope(|scope| {
            let (ready, frames) = mpsc::sync_channel(FRAMES_AHEAD);
            let (spent, back) = mpsc::channel();
            let read = move || {
                while let Some(frame) = self.next() {
                    if ready.send(frame).is_err() {
                        break; // the caller ended it
                    }
                    for frame in back.try_iter() {
                        self.recycle(frame);
                    }
                }
            };
            thread::Builder::new().name("read ahead".to_owned()).spawn_scoped(scope, read).map_err(Error::Thread)?;
            for frame in frames {
                let frame = frame?;
                visit(&frame)?;
                // Once the reader is through, the frame is dropped here.
                let _ = spent.send(frame);
            }
            Ok(())
        })
    }
}

impl Reader {
    /// The shards in at most `parts` runs of neighbours with about as many records each; all shards are
    /// in one of them, and none is empty.
    pub fn runs_of_shards(&self, parts: usize) -> Vec<Range<Shard>> {
        let head = self.head();
        let whole: u128 = head.shards.iter().map(|shard| u128::from(shard.sequence)).sum();
        let parts = parts.clamp(1, head.shards.len());
        let (mut runs, mut start, mut sum) = (Vec::with_capacity(parts), 0, 0);
        for (shard, at) in (1..).zip(&head.shards) {
            sum += u128::from(at.sequence);
            let last = usize::from(shard) == head.shards.len();
            // The run ends where it has come closest to its share of the whole, or nearly so.
            let next = head.shards.get(usize::from(shard)).map_or(0, |next| u128::from(next.sequence));
            let share = whole * (runs.len() as u128 + 1);
            if last || (runs.len() + 1 < parts && (sum * 2 + next) * parts as u128 > share * 2) {
                runs.push(start..shard);
                start = shard;
            }
        }
        runs
    }

    /// Folds each of some runs of shards on a thread of its own, the first on the caller's: gives every
    /// frame from `from` on (or the start) to `visit`, with what is folded and only the records of the run.
    /// Gives back what was folded, in order.
    ///
    /// # Errors
    /// The first on the log, be it the log's or of `visit`.
    pub fn fold_by_shards<T: Send>(
        &self,
        check: Check,
        from: Option<Locator>,
        folds: Vec<(Range<Shard>, T)>,
        visit: impl Fn(&mut T, &Frame) -> crate::Result<()> + Sync,
    ) -> crate::Result<Vec<T>> {
        // Beyond this offset nobody need read on: somebody has failed there.
        let failed_at = AtomicU64::new(u64::MAX);
        let fold = |(shards, mut folded): (Range<Shard>, T)| {
            let frames = match from {
                Some(at) => self.frames_from(at),
                None => self.frames(check),
            };
            let mut frames = frames.of_shards(shards);
            loop {
                let at = frames.position().offset();
                if at > failed_at.load(Ordering::Relaxed) {
                    return Ok(folded);
                }
                let fold = match frames.next() {
                    None => return Ok(folded),
                    Some(frame) => frame.and_then(|frame| {
                        visit(&mut folded, &frame)?;
                        frames.recycle(frame);
                        Ok(())
                    }),
                };
                if let Err(error) = fold {
                    failed_at.fetch_min(at, Ordering::Relaxed);
                    return Err((at, error));
                }
            }
        };
        let fold = &fold;
        let folded: Vec<Result<T, (u64, Error)>> = thread::scope(|scope| {
            let mut folds = folds.into_iter();
            let own = folds.next();
            let others: Vec<_> = folds.map(|run| scope.spawn(move || fold(run))).collect();
            let own = own.into_iter().map(fold);
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            own.collect::<Vec<_>>().into_iter().chain(others.into_iter().map(join)).collect()
        });
        let mut all = Vec::with_capacity(folded.len());
        let mut first: Option<(u64, Error)> = None;
        for fold in folded {
            match fold {
                Ok(fold) => all.push(fold),
                // Within a frame, the lower shards stand first.
                Err((at, error)) if first.as_ref().is_none_or(|(first, _)| at < *first) => first = Some((at, error)),
                Err(_) => {}
            }
        }
        first.map_or(Ok(all), |(_, error)| Err(error))
    }
}
