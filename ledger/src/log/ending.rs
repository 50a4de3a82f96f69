//! What stands behind the last frame of the last segment, and whether it proves that nothing is missing there.

use std::borrow::Cow;

use super::{
    Disk, DiskFile,
    frame::{self, Meta},
    segment,
};
use crate::{Error, Result};

/// Behind the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Zeros, as many as were reserved: the segment was being written, and its end is here.
    Reserve,
    /// The mark of an end in order.
    Marked,
    /// Something that is no frame, and the reserve behind it: a write that did not come to its end, or damage.
    Torn,
    /// What looks like the mark, and is not.
    BrokenMark,
    /// Less than was reserved: the end of the file is gone, or something was taken out of it.
    Short {
        /// How many bytes the file should have at least.
        reserved: u64,
    },
    /// There is no such file.
    Missing,
}

impl Ending {
    /// Whether it says by itself that the log ends here.
    pub fn is_proven(self) -> bool {
        matches!(self, Self::Reserve | Self::Marked)
    }
}

/// The end of a file that is a last segment: what is behind its last frame.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    pub ending: Ending,
    /// The bytes up to the last that is not zero.
    pub bytes: Vec<u8>,
}

/// Looks behind the last frame of a segment's file, which ends at `position` and at `offset` of the log and has
/// the crc `previous`.
pub(super) fn behind(
    disk: &dyn Disk,
    name: &str,
    file: &dyn DiskFile,
    reserved: u64,
    (position, offset, previous): (u64, u64, u32),
) -> Result<Rest> {
    let io = |source| Error::Io { doing: "reading the end of", path: disk.path(name), source };
    let length = file.len().map_err(io)?;
    let bytes = rest_of(file, position).map_err(io)?;
    let expected = segment::mark(previous, offset);
    let alike = bytes.iter().zip(&expected).filter(|(found, expected)| found == expected).count();
    let ending = match () {
        () if bytes == expected => Ending::Marked,
        () if length >= reserved && bytes.is_empty() && (length > position || reserved == 0) => Ending::Reserve,
        () if length >= reserved && !bytes.is_empty() => Ending::Torn,
        () if length == position + expected.len() as u64 && alike > expected.len() / 2 => Ending::BrokenMark,
        () => Ending::Short { reserved },
    };
    Ok(Rest { ending, bytes })
}

/// What stands from a position on, up to the last byte that is not zero. Zeros are read and not kept: a reserve
/// is mostly all there is.
fn rest_of(file: &dyn DiskFile, position: u64) -> std::io::Result<Vec<u8>> {
    const CHUNK_BYTES: usize = 1 << 18;
    let (mut bytes, mut chunk, mut at) = (Vec::new(), vec![0; CHUNK_BYTES], position);
    loop {
        let read = file.read_at(at, &mut chunk)?;
        if let Some(last) = chunk[..read].iter().rposition(|&byte| byte != 0) {
            bytes.resize(usize::try_from(at - position).map_err(std::io::Error::other)?, 0);
            bytes.extend_from_slice(&chunk[..=last]);
        }
        if read < chunk.len() {
            return Ok(bytes);
        }
        at += read as u64;
    }
}

/// Calls `found` with each valid frame, at whatever byte it begins. What the tables of a frame that is not
/// whole say belongs to it is passed over: it may hold a caller's bytes that look like a frame. Behind `bytes`
/// stand zeros, with which a frame may end.
pub(super) fn for_valid_frames(bytes: &[u8], mut found: impl FnMut(usize, &Meta)) {
    let (mut at, mut meta) = (0, Meta::default());
    while at < bytes.len() {
        let rest = &bytes[at..];
        let headed = rest.starts_with(&frame::MAGIC) && meta.read(rest).is_ok();
        let length = meta.length as usize;
        let valid = headed && {
            let zeros = length.saturating_sub(rest.len());
            let whole = if zeros == 0 { Cow::Borrowed(rest) } else { Cow::Owned([rest, &vec![0; zeros]].concat()) };
            meta.blocks(&whole).all(|block| block.is_ok())
        };
        if valid {
            found(at, &meta);
        }
        at += match (headed, valid) {
            (true, true) => length,
            // The first one only: behind it, whatever is whole counts.
            (true, false) if at == 0 && length <= rest.len() => length,
            _ => 1,
        };
    }
}
