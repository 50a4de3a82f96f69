//! What a start and a reader look at: every header, the last segment, and who says how far the log had come.
//!
//! It is surveyed in the terms of [`salvage`](super::salvage()) and judged by the same [`Findings`]. Where they
//! find more than a write that was never answered, all of the log is surveyed, so that the refusal says what
//! a repair would say.

use std::sync::Arc;

use super::{
    Disk, Reader,
    diagnosis::Findings,
    ending::{self, Ending, for_valid_frames},
    evidence::{self, Claim, Compared},
    salvage::{Behind, Break, Salvage, Salvaged, Source, salvage},
    scan::{Depth, Step},
    shared::{self, Listed, Segment, Shared},
    walk::{Running, Walk},
};
use crate::{Error, Result};

/// A log that can be read, or written once its torn end is off.
pub(super) struct Tail {
    pub shared: Arc<Shared>,
    pub segment: Arc<Segment>,
    /// It stands behind the last frame.
    pub walk: Walk,
    /// The last segment.
    pub last: Salvaged,
    /// A write that was never answered, to its last byte that is not zero.
    pub torn: Option<Behind>,
    /// See [`Listed::untrimmed`].
    pub untrimmed: Vec<(String, u64)>,
}

/// Surveys a log; `None` if there is nothing that says there was one. Beside a writer, what stands behind the last
/// frame is being written just now and says nothing.
///
/// # Errors
/// [`Error::Refused`] says what is wrong; [`Error::Io`], [`Error::NewerVersion`].
pub(super) fn survey(disk: &Arc<dyn Disk>, beside_a_writer: bool) -> Result<Option<Tail>> {
    // Before the walk: what a writer stores meanwhile may lie behind what the walk sees.
    let claims = evidence::claims(&**disk)?;
    let doubt = match listed(disk, claims, beside_a_writer) {
        Ok(None) => return Ok(None),
        Ok(Some(Ok(tail))) => return Ok(Some(tail)),
        Ok(Some(Err(refusal))) => refusal,
        Err(doubt @ (Error::Damaged { .. } | Error::ForeignLineage { .. } | Error::NotALedger { .. })) => doubt,
        Err(error) => return Err(error),
    };
    if beside_a_writer {
        return Err(doubt);
    }
    let all = salvage(&**disk, None)?;
    let found = Findings::of(&all);
    let refusal = found.refusal(&all, &disk.path("")).filter(|_| !found.torn);
    Err(refusal.unwrap_or_else(|| {
        let what = format!(
            "at the first look something was wrong, and at the second nothing; the disk or the memory fails ({doubt})"
        );
        Error::damaged(disk.path(""), 0, what)
    }))
}

/// The survey where headers and the last segment are in order; the inner error is a refusal.
fn listed(disk: &Arc<dyn Disk>, claims: Vec<Claim>, beside_a_writer: bool) -> Result<Option<Result<Tail>>> {
    let Some(Listed { segments, last: header, untrimmed }) = shared::segments(&**disk)? else {
        if claims.is_empty() {
            return Ok(None);
        }
        let what = "no segment of the log is left";
        return Err(Error::damaged(disk.path(super::segment::FOLDER), 0, what));
    };
    let segment = segments[segments.len() - 1].clone();
    let shared = Arc::new(Shared::new(disk.clone(), segments, &header));
    let running = Running::resume(&shared, &segment, header.tips.clone())?;
    let mut last = Salvaged::of(&header, segment.header, Source::Own(0));
    let mut walk = Walk::inside(header.clone(), segment.header, running);
    let file = shared.file(&segment)?;
    let io = |source| Error::Io { doing: "reading", path: disk.path(&segment.name), source };
    let length = file.len().map_err(io)?;
    let mut scan = shared.scan(&segment)?;
    let bad = loop {
        match scan.next(length, Depth::Whole)? {
            Step::End => break None,
            Step::Bad(invalid) => break Some(invalid),
            Step::Frame => {}
        }
        walk.frame(&scan)?;
        last.frame(Source::Own(0), &scan);
        shared.advance(scan.meta().end(), &scan.meta().sections);
    };
    let at = (scan.position(), walk.offset, walk.previous);
    let look = || ending::behind(&**disk, &segment.name, &*file, header.reserved, at);
    let rest = look()?;
    let (mut breaks, mut behind) = (Vec::new(), Vec::new());
    let mut ending = rest.ending;
    if beside_a_writer {
        ending = Ending::Reserve;
    } else if !ending.is_proven() && !rest.bytes.is_empty() {
        let what = bad.unwrap_or("no frame begins here").to_owned();
        breaks.push(Break { file: segment.name.clone(), offset: scan.position(), what, mended: false });
        // A frame behind this must not be overlooked for one bad read.
        let (mut frames, mut records) = (0, 0);
        for bytes in [&rest.bytes, &look()?.bytes] {
            if frames == 0 {
                for_valid_frames(bytes, |_, meta| {
                    if walk.lacks(meta) {
                        (frames, records) = (frames + 1, records + u64::from(meta.records()));
                    }
                });
            }
        }
        let (from, to) = (scan.position(), scan.position() + rest.bytes.len() as u64);
        behind.push(Behind { name: segment.name.clone(), from, to, frames, records });
    }
    let mut reader = Reader::new(shared.clone());
    let compared = Compared { lineage: header.lineage, cuts: &header.cuts, tips: &walk.running.tips };
    let mut borne = Vec::with_capacity(claims.len());
    for claim in claims {
        let bearing = compared.bearing(&claim, |shard, sequence| reader.hash_at(shard, sequence))?;
        borne.push((claim, bearing));
    }
    let named = vec![0; header.tips.len()];
    let (origin, lineage, cuts) = (header.origin(), header.lineage, header.cuts);
    let files = Vec::new();
    let ends_here = ending.is_proven();
    let segments = vec![last];
    let mut all = Salvage {
        walk,
        files,
        segments,
        breaks,
        behind,
        ending,
        ends_here,
        origin,
        lineage,
        cuts,
        named,
        claims: borne,
    };
    let found = Findings::of(&all);
    if let Some(refusal) = found.refusal(&all, &disk.path("")).filter(|_| !found.torn) {
        return Ok(Some(Err(refusal)));
    }
    let last = all.segments.pop().expect("it was just put there");
    let torn = all.behind.pop();
    Ok(Some(Ok(Tail { shared, segment, walk: all.walk, last, torn, untrimmed })))
}
