//! `log`: the files of the log.

use std::io::Write;

use anyhow::Result;

use super::{Ended, Global};
use crate::output::{json_line, stdout, table, thousands};

/// Look at the log's files.
#[derive(Debug, clap::Subcommand)]
pub enum Log {
    /// List segments, frames and records, and the head of each shard.
    Inspect,
}

impl Log {
    pub fn run(self, global: &Global) -> Result<Ended> {
        let Self::Inspect = self;
        let reader = global.ledger().read()?;
        let (segments, head) = (reader.segments()?, reader.head());
        let mut out = stdout();
        if global.json {
            for segment in &segments {
                json_line(&mut out, segment)?;
            }
            json_line(&mut out, &head)?;
        } else {
            let rows = segments.iter().map(|segment| {
                vec![
                    segment.file.clone(),
                    thousands(segment.bytes),
                    thousands(segment.frames),
                    thousands(segment.records),
                    thousands(segment.raw_bytes),
                    segment.first_time.map(|at| at.to_string()).unwrap_or_default(),
                    segment.last_time.map(|at| at.to_string()).unwrap_or_default(),
                ]
            });
            let header = ["segment", "bytes", "frames", "records", "bytes before compression", "from", "to"];
            writeln!(out, "{}", table(&header, &[1, 2, 3, 4], rows))?;
            writeln!(out, "lineage {}", head.lineage)?;
            let rows = (0..).zip(&head.shards).map(|(shard, head): (u16, _)| {
                vec![shard.to_string(), thousands(head.sequence), head.hash.to_string()]
            });
            writeln!(out, "{}", table(&["shard", "sequence", "hash"], &[0, 1], rows))?;
        }
        out.flush()?;
        Ok(Ended::Well)
    }
}
