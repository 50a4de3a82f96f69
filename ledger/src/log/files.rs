//! What stands in the folder of the log: which files are segments of this ledger, whatever they are called,
//! and which are not.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    Disk,
    disk::UNFINISHED,
    evidence::{self, By, Claim},
    segment::{self, Header},
};
use crate::{Error, Result};

/// A file in the folder.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    pub name: String,
    pub length: u64,
    /// Its header and the header's bytes, or why there is none.
    pub header: Result<(Header, u64), String>,
}

impl LogFile {
    /// The offset that its name says.
    pub fn named(&self) -> Option<u64> {
        segment::base_of(self.name.strip_prefix(segment::FOLDER)?.strip_prefix('/')?)
    }

    /// The offset that it is for: by its header, else by its name.
    pub fn base(&self) -> Option<u64> {
        self.header.as_ref().map_or_else(|_| self.named(), |(header, _)| Some(header.base))
    }

    /// Whether it stands where it belongs, as far as can be told.
    pub fn is_in_place(&self) -> bool {
        self.named().is_some() && self.named() == self.base()
    }
}

/// All files of the folder but unfinished ones.
pub(super) fn all(disk: &dyn Disk) -> Result<Vec<LogFile>> {
    let io = |name: &str, source| Error::Io { doing: "looking at", path: disk.path(name), source };
    let mut files = Vec::new();
    for name in disk.list(segment::FOLDER).map_err(|source| io(segment::FOLDER, source))? {
        if name.ends_with(UNFINISHED) {
            continue;
        }
        let name = format!("{}/{name}", segment::FOLDER);
        let file = disk.open(&name, false).map_err(|source| io(&name, source))?;
        let length = file.len().map_err(|source| io(&name, source))?;
        let header = match Header::read(disk, &name, &*file) {
            Ok(header) => Ok(header),
            Err(Error::Damaged { what, .. }) => Err(what),
            // A folder, say: its name says that it is no segment.
            Err(Error::Io { source, .. }) if segment::base_of(&name[segment::FOLDER.len() + 1..]).is_none() => {
                Err(source.to_string())
            }
            Err(other) => return Err(other),
        };
        files.push(LogFile { name, length, header });
    }
    Ok(files)
}

/// Which ledger a folder is of: the one that most of its segments and positions name. A ledger is named by
/// the lineage that it had first. The error names two that are named equally often, each with a file.
pub(super) fn whose(files: &[LogFile], claims: &[Claim]) -> Result<Option<Uuid>, [(Uuid, String); 2]> {
    let mut votes: BTreeMap<Uuid, (usize, &str)> = BTreeMap::new();
    let mut vote = |ledger, file| votes.entry(ledger).or_insert((0, file)).0 += 1;
    for file in files {
        if let Ok((header, _)) = &file.header {
            vote(header.origin(), file.name.as_str());
        }
    }
    for claim in claims {
        if let (By::Head | By::Position, Ok(stated)) = (claim.by, &claim.stated) {
            vote(evidence::origin(stated), claim.file.as_str());
        }
    }
    // The index and the snapshots know no former lineages: they count for a ledger that is named otherwise.
    for claim in claims.iter().filter(|claim| claim.by == By::Derived) {
        if let Ok(stated) = &claim.stated
            && let Some((count, _)) = votes.get_mut(&stated.head.lineage)
        {
            *count += 1;
        }
    }
    let mut ranked: Vec<_> = votes.into_iter().map(|(ledger, (count, file))| (count, ledger, file)).collect();
    ranked.sort_unstable_by_key(|(count, ..)| std::cmp::Reverse(*count));
    match ranked.as_slice() {
        [(most, ledger, file), (next, other, theirs), ..] if most == next => {
            Err([(*ledger, (*file).to_owned()), (*other, (*theirs).to_owned())])
        }
        [(_, ledger, _), ..] => Ok(Some(*ledger)),
        [] => Ok(None),
    }
}
