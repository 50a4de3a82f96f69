//! What says how far a log had come, beside the log itself: stored positions, the index, snapshots.
//!
//! Each of them was written after the records that it names were durable. So whoever knows more than the
//! log holds says that the log has lost its end, and whoever has another hash says that one of the two was
//! replaced. A dispatch says nothing more here: it is taken behind its source on the same log, so the chain
//! of frames covers it.

use schemas::{Hash, Shard};
use uuid::Uuid;

use super::{
    Disk, Head, ShardHead, files,
    position::{self, Stated},
    segment::{LineageCut, Tip},
};
use crate::{Error, Result, index, snapshot};

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The log's own position.
    Head,
    /// Another stored position.
    Position,
    /// The index's manifest or a snapshot's header. Where it cannot be read it is made again from the log.
    Derived,
}

/// What a file says.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub by: By,
    pub file: String,
    pub stated: Result<Stated, String>,
}

/// What a claim is to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bearing {
    /// The log has passed it, or ends there, with the same records.
    Holds { at_end: bool },
    /// It knows of more than the log holds.
    Ahead { shard: Shard, stated: u64 },
    /// The log has other records there.
    Differs { shard: Shard, sequence: u64 },
    /// It is of a lineage that this log had before its end was cut.
    Former,
    /// It is of this ledger, and of a lineage that this log does not know: what came under it is lost.
    Later,
    /// It is of another ledger.
    Stranger,
    /// It says nothing that can be read.
    Unreadable,
}

/// All that is said.
pub(super) fn claims(disk: &dyn Disk) -> Result<Vec<Claim>> {
    let mut claims = Vec::new();
    for (file, stated) in position::all(disk)? {
        let by = if file == position::file_of(position::HEAD) { By::Head } else { By::Position };
        claims.push(Claim { by, file, stated });
    }
    let derived = index::stated(disk)?.into_iter().chain(snapshot::stated(disk)?);
    claims.extend(derived.map(|(file, head)| {
        let stated = head.map(|head| Stated { head, former: Vec::new(), closed: false });
        Claim { by: By::Derived, file, stated }
    }));
    Ok(claims)
}

/// Why it cannot be told that a ledger was closed at a position and never written again; `None` if its own folder
/// proves it.
pub(crate) fn doubt_of_end(disk: &dyn Disk, head: &Head) -> Result<Option<String>> {
    let io = |source| Error::Io { doing: "looking at", path: disk.path(""), source };
    let folder = disk.path("").display().to_string();
    if disk.is_locked().map_err(io)? {
        return Ok(Some(format!("the ledger in {folder} is being written")));
    }
    let claims = claims(disk)?;
    let own = claims.iter().find(|claim| claim.by == By::Head).map(|claim| &claim.stated);
    match own {
        None => return Ok(Some(format!("{folder} does not say how far the ledger in it had come"))),
        Some(Err(why)) => return Ok(Some(format!("what {folder} says of its end cannot be read: {why}"))),
        Some(Ok(stated)) if !stated.closed => return Ok(Some(format!("the ledger in {folder} was not closed"))),
        Some(Ok(stated)) if stated.head != *head => {
            return Ok(Some(format!("the ledger in {folder} was closed elsewhere than where the backup ends")));
        }
        Some(Ok(_)) => {}
    }
    let further = |shards: &mut dyn Iterator<Item = u64>| {
        shards.zip(&head.shards).any(|(sequence, head)| sequence > head.sequence)
    };
    for claim in &claims {
        if let Ok(stated) = &claim.stated
            && (stated.head.lineage != head.lineage || further(&mut stated.head.shards.iter().map(|s| s.sequence)))
        {
            return Ok(Some(format!("{} knows of more, or of another lineage", disk.path(&claim.file).display())));
        }
    }
    for file in files::all(disk)? {
        if let Ok((header, _)) = &file.header
            && further(&mut header.tips.iter().map(|tip| tip.head.sequence))
        {
            return Ok(Some(format!("{} begins behind the backup's end", disk.path(&file.name).display())));
        }
    }
    Ok(None)
}

/// The lineage that the ledger of a statement had first.
pub(super) fn origin(stated: &Stated) -> Uuid {
    stated.former.first().copied().unwrap_or(stated.head.lineage)
}

/// A log as claims are compared with it.
pub(super) struct Compared<'a> {
    pub lineage: Uuid,
    pub cuts: &'a [LineageCut],
    pub tips: &'a [Tip],
}

impl Compared<'_> {
    /// What a claim is to this log, of which `hash_at` tells the hash behind a sequence that it has.
    pub fn bearing(
        &self,
        claim: &Claim,
        mut hash_at: impl FnMut(Shard, u64) -> Result<Option<Hash>>,
    ) -> Result<Bearing> {
        let Ok(stated) = &claim.stated else { return Ok(Bearing::Unreadable) };
        let lineage = stated.head.lineage;
        if lineage != self.lineage && self.cuts.iter().any(|cut| cut.lineage == lineage) {
            return Ok(Bearing::Former);
        }
        let (mut ahead, mut differs) = (None, None);
        let heads = &stated.head.shards;
        for (shard, &ShardHead { sequence, hash }) in (0..).zip(heads) {
            let on_log = self.tips.get(usize::from(shard)).map(|tip| tip.head.sequence);
            match on_log {
                Some(on_log) if sequence <= on_log => {
                    if hash_at(shard, sequence)? != Some(hash) {
                        differs.get_or_insert((shard, sequence));
                    }
                }
                Some(_) => drop(ahead.get_or_insert((shard, sequence))),
                // Nothing is left of the log.
                None if self.tips.is_empty() && sequence > 0 => drop(ahead.get_or_insert((shard, sequence))),
                None if self.tips.is_empty() => {}
                None => drop(differs.get_or_insert((shard, sequence))),
            }
        }
        if heads.len() < self.tips.len() {
            differs.get_or_insert((Shard::try_from(heads.len()).unwrap_or(Shard::MAX), 0));
        }
        if lineage == self.lineage {
            let at_end = heads.iter().eq(self.tips.iter().map(|tip| &tip.head));
            return Ok(match (differs, ahead) {
                (Some((shard, sequence)), _) => Bearing::Differs { shard, sequence },
                (None, Some((shard, stated))) => Bearing::Ahead { shard, stated },
                (None, None) => Bearing::Holds { at_end },
            });
        }
        let ours = match claim.by {
            By::Derived => differs.is_none() && heads.iter().any(|head| head.sequence > 0),
            By::Head | By::Position => {
                origin(stated) == self.cuts.first().map_or(self.lineage, |cut| cut.lineage)
                    || stated.former.contains(&self.lineage)
            }
        };
        Ok(if ours { Bearing::Later } else { Bearing::Stranger })
    }
}
