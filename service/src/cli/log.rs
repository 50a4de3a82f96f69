//! `log`: the files of the log.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;
use ledger::log::{self, Diagnosis, Disk, Inspection, OsDisk, SegmentState};
use serde_json::json;

use super::{Ended, Global};
use crate::{
    ledger_dir::shell_quoted,
    output::{json_line, stdout, table, thousands},
};

/// Look at the log's files, and repair them.
#[derive(Debug, clap::Subcommand)]
pub enum Log {
    /// List segments, lineages, stored positions and the head of each shard; of a damaged log what can be
    /// read, and where the damage is.
    Inspect {
        /// List the frames of one segment instead.
        #[arg(long, value_name = "NAME")]
        segment: Option<String>,
    },
    /// Say what is wrong with a log that refuses to start, and what can be done about it.
    Repair {
        /// Do it. What is cut or replaced is kept in `cut/`.
        #[arg(long)]
        apply: bool,
        /// Take what is damaged or missing from a backup, where it continues the log.
        #[arg(long, value_name = "BACKUP")]
        from: Option<PathBuf>,
    },
}

impl Log {
    pub fn run(self, global: &Global) -> Result<Ended> {
        global.ledger()?.must_exist()?;
        let disk = global.ledger()?.disk();
        match self {
            Self::Inspect { segment: Some(name) } => frames(global, &*disk, &name),
            Self::Inspect { segment: None } => inspect(global, &log::inspect(&*disk)?),
            Self::Repair { apply, from } => {
                let backup = from.as_ref().map(OsDisk::new);
                let backup = backup.as_ref().map(|backup| backup as &dyn Disk);
                let diagnosis = if apply { log::repair(&*disk, backup)? } else { log::diagnose(&*disk, backup)? };
                explain(global, &diagnosis, apply, from.as_deref())
            }
        }
    }
}

fn inspect(global: &Global, found: &Inspection) -> Result<Ended> {
    let mut out = stdout();
    if global.json {
        for segment in &found.segments {
            json_line(&mut out, segment)?;
        }
        for (name, position) in &found.positions {
            json_line(&mut out, &json!({ "position": name, "head": position }))?;
        }
        for folder in &found.derived {
            json_line(&mut out, folder)?;
        }
        for former in &found.former_lineages {
            json_line(
                &mut out,
                &json!({ "former_lineage": former.lineage, "cut_at": former.cut_at, "sequences": former.sequences }),
            )?;
        }
        for problem in &found.problems {
            json_line(&mut out, &json!({ "problem": problem }))?;
        }
        json_line(&mut out, &found.head)?;
        out.flush()?;
        return Ok(Ended::with(found.problems.is_empty()));
    }
    let header =
        ["segment", "state", "bytes", "reserve", "frames", "records", "bytes before compression", "from", "to"];
    writeln!(out, "{}", table(&header, &[2, 3, 4, 5, 6], found.segments.iter().map(segment_row)))?;
    for former in &found.former_lineages {
        let sequences =
            former.sequences.as_ref().map_or_else(|| "unknown".to_owned(), |all| thousands(all.iter().sum::<u64>()));
        writeln!(
            out,
            "lineage {} until its end was cut at {} of the log, behind {sequences} records",
            former.lineage, former.cut_at
        )?;
    }
    writeln!(out, "lineage {}", found.head.lineage)?;
    for (name, position) in &found.positions {
        match position {
            Some(head) => {
                let records = head.shards.iter().map(|shard| shard.sequence).sum::<u64>();
                writeln!(out, "position \"{name}\": {} records, of lineage {}", thousands(records), head.lineage)?;
            }
            None => writeln!(out, "position \"{name}\": cannot be read")?,
        }
    }
    for folder in &found.derived {
        let (files, bytes) = (thousands(folder.files), thousands(folder.bytes));
        writeln!(out, "derived {}/: {files} files of {bytes} bytes, the newest {}", folder.folder, folder.newest)?;
    }
    let rows = (0_u16..).zip(&found.head.shards);
    let rows = rows.map(|(shard, head)| vec![shard.to_string(), thousands(head.sequence), head.hash.to_string()]);
    writeln!(out, "{}", table(&["shard", "sequence", "hash"], &[0, 1], rows))?;
    for problem in &found.problems {
        writeln!(out, "DAMAGE: {} at byte {}: {}", problem.file, problem.offset, problem.what)?;
    }
    if !found.problems.is_empty() {
        writeln!(out, "What can be done about it: {}", global.ledger()?.typed("log repair"))?;
    }
    out.flush()?;
    Ok(Ended::with(found.problems.is_empty()))
}

fn segment_row(segment: &SegmentState) -> Vec<String> {
    let info = &segment.info;
    let state = match (segment.sound, segment.sealed) {
        (false, _) => "DAMAGED",
        (true, true) => "sealed, sound",
        (true, false) => "open, sound",
    };
    let time = |time: Option<schemas::Timestamp>| time.map(|at| at.to_string()).unwrap_or_default();
    vec![
        info.file.clone(),
        state.to_owned(),
        thousands(info.bytes),
        thousands(segment.reserve_bytes),
        thousands(info.frames),
        thousands(info.records),
        thousands(info.raw_bytes),
        time(info.first_time),
        time(info.last_time),
    ]
}

fn frames(global: &Global, disk: &dyn Disk, name: &str) -> Result<Ended> {
    let found = log::frames_of(disk, name)?;
    let mut out = stdout();
    if global.json {
        for frame in &found.frames {
            json_line(&mut out, frame)?;
        }
        for (from, to) in &found.damaged {
            json_line(&mut out, &json!({ "damaged": { "from": from, "to": to } }))?;
        }
    } else {
        let rows = found.frames.iter().map(|frame| {
            let shards = frame.shards.iter().map(|(shard, first, last)| format!("{shard}: {first}–{last}"));
            vec![
                frame.offset.to_string(),
                thousands(frame.bytes),
                thousands(frame.raw_bytes),
                thousands(frame.records),
                shards.collect::<Vec<_>>().join(", "),
            ]
        });
        let header = ["byte", "bytes", "before compression", "records", "shard: sequences"];
        writeln!(out, "{}", table(&header, &[0, 1, 2, 3], rows))?;
        for (from, to) in &found.damaged {
            writeln!(out, "DAMAGE: the bytes {from} to {to} are no valid frame")?;
        }
        if found.header_bytes == 0 {
            writeln!(out, "DAMAGE: the header cannot be read")?;
        }
    }
    out.flush()?;
    Ok(Ended::with(found.damaged.is_empty() && found.header_bytes > 0))
}

/// Says what is wrong and what is done about it. Without `apply`, something wrong is a fault.
fn explain(global: &Global, found: &Diagnosis, applied: bool, from: Option<&Path>) -> Result<Ended> {
    let ended = Ended::with(found.is_sound() || applied);
    let mut out = stdout();
    // Whole, so that whoever types it does what was shown and nothing else.
    let from_backup =
        from.map_or_else(String::new, |from| format!(" --from {}", shell_quoted(&from.to_string_lossy())));
    let apply = global.ledger()?.typed(&format!("log repair --apply{from_backup}"));
    if global.json {
        let next = (!applied && !found.is_sound()).then_some(&apply);
        json_line(&mut out, &json!({ "applied": applied && !found.is_sound(), "diagnosis": found, "next": next }))?;
        out.flush()?;
        return Ok(ended);
    }
    if found.is_sound() {
        writeln!(out, "The log is sound: there is nothing to repair.")?;
        out.flush()?;
        return Ok(ended);
    }
    if found.begun {
        writeln!(out, "A repair was begun and not ended; --apply ends it. What it found and does:")?;
    }
    for problem in &found.problems {
        writeln!(out, "{} at byte {}: {}\n    {}", problem.file, problem.offset, problem.what, problem.remedy)?;
    }
    writeln!(out, "\n{}", if applied { "What was done:" } else { "What --apply does:" })?;
    for action in &found.actions {
        writeln!(out, "  {action}")?;
    }
    writeln!(out)?;
    writeln!(out, "{}", found.loss())?;
    if found.is_renewed() {
        writeln!(
            out,
            "The ledger gets a new lineage, before {}: positions, cursors and anchors that others hold beyond the cut are refused.",
            found.lineage
        )?;
        if from.is_none() && !applied {
            let with = global.ledger()?.typed("log repair --from BACKUP");
            writeln!(out, "A backup may have what is missing: {with}")?;
        }
    }
    if !applied {
        writeln!(out, "Nothing was changed. To do it: {apply}")?;
    }
    out.flush()?;
    Ok(ended)
}
