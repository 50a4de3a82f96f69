//! What stands in each segment, for people.

use schemas::Timestamp;
use serde::Serialize;

use super::{
    Frames,
    scan::{Depth, Step},
    shared::Shared,
};
use crate::Result;

/// A segment, as far as it is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    /// Its file.
    pub file: String,
    /// Its offset in the log.
    pub base: u64,
    /// Its bytes up to the last frame, header included.
    pub bytes: u64,
    /// How many frames it has.
    pub frames: u64,
    /// How many records.
    pub records: u64,
    /// The bytes of their blocks before compression; `bytes` is what they take.
    pub raw_bytes: u64,
    /// The lowest time in its first frame.
    pub first_time: Option<Timestamp>,
    /// The highest time in its last frame.
    pub last_time: Option<Timestamp>,
}

pub(super) fn segments(shared: &std::sync::Arc<Shared>) -> Result<Vec<SegmentInfo>> {
    let mut infos = Vec::new();
    while let Some((segment, end, _)) = shared.nth(infos.len()) {
        let mut info = SegmentInfo {
            file: segment.name.clone(),
            base: segment.base,
            bytes: end - segment.base,
            frames: 0,
            records: 0,
            raw_bytes: 0,
            first_time: None,
            last_time: None,
        };
        let mut ends = None;
        let mut scan = shared.scan(&segment)?;
        loop {
            match scan.next(end - segment.base, Depth::Tables)? {
                Step::End => break,
                Step::Bad(invalid) => return Err(scan.damaged(invalid)),
                Step::Frame => {}
            }
            let meta = scan.meta();
            info.frames += 1;
            info.records += u64::from(meta.records());
            info.raw_bytes += meta.raw();
            ends = Some((ends.map_or(meta.offset, |(first, _)| first), meta.offset));
        }
        if let Some((first, last)) = ends {
            info.first_time = times(shared, first)?.min();
            info.last_time = times(shared, last)?.max();
        }
        infos.push(info);
    }
    Ok(infos)
}

/// The times of the records in the frame at an offset.
fn times(shared: &std::sync::Arc<Shared>, offset: u64) -> Result<impl Iterator<Item = Timestamp>> {
    let frame = Frames::from(shared.clone(), offset).next().transpose()?;
    Ok(frame.into_iter().flat_map(|frame| frame.records).map(|record| record.time))
}
