//! What the machine does beside the ledger: figures mean little without it.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// 4 KiB writes into a file filled with zeros, each followed by fdatasync, for half a second.
pub(super) fn fdatasync_per_s(folder: &Path) -> Result<u64> {
    const BLOCK: usize = 4096;
    const BLOCKS: u64 = 4096;
    let path = folder.join("fdatasync");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; BLOCK * usize::try_from(BLOCKS)?], 0)?;
    file.sync_all()?;
    let block = [1; BLOCK];
    let started = Instant::now();
    let mut syncs = 0;
    while started.elapsed() < Duration::from_millis(500) {
        file.write_all_at(&block, syncs % BLOCKS * BLOCK as u64)?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = per_second(syncs, started.elapsed());
    fs::remove_file(path)?;
    Ok(rate)
}

pub(super) fn per_second(count: u64, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000_000 / elapsed.as_nanos().max(1)).unwrap_or(u64::MAX)
}

/// Processor time of all threads.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The memory in use.
pub(super) fn rss_mib() -> Result<u64> {
    rss_mib_of("self")
}

/// The memory in use of a process.
pub(super) fn rss_mib_of(process: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("reading the memory in use")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kib.context("/proc says no VmRSS")? / 1024)
}

/// How many wanted a processor during the last minute, on average: ours and everybody else's.
pub(super) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg").context("reading the machine's load")?;
    text.split(' ').next().and_then(|load| load.parse().ok()).context("/proc/loadavg says no load")
}

/// The bytes of a ledger's files, as the disk counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct OnDisk {
    #[serde(rename = "log_bytes")]
    pub log: u64,
    #[serde(rename = "index_bytes")]
    pub index: u64,
    #[serde(rename = "snapshot_bytes")]
    pub snapshots: u64,
}

impl OnDisk {
    pub fn of(ledger: &Path) -> Result<Self> {
        let bytes = |folder| allocated(&ledger.join(folder));
        Ok(Self { log: bytes("log")?, index: bytes("index")?, snapshots: bytes("snapshots")? })
    }
}

/// The bytes of the files in a folder, which need not be there; files come and go meanwhile.
fn allocated(folder: &Path) -> Result<u64> {
    const UNIT: u64 = 512; // of `st_blocks`
    let gone = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    let files = match fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if gone(&error) => return Ok(0),
        Err(error) => return Err(error).with_context(|| format!("listing {}", folder.display())),
    };
    let mut bytes = 0;
    for file in files {
        match file.and_then(|file| file.metadata()) {
            Ok(of) => bytes += of.blocks() * UNIT,
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error).with_context(|| format!("looking at the files in {}", folder.display())),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_on_disk_is_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let none = OnDisk { log: 0, index: 0, snapshots: 0 };
        assert_eq!(OnDisk::of(folder.path()).unwrap(), none);
        fs::create_dir(folder.path().join("index")).unwrap();
        let file = File::create(folder.path().join("index/run")).unwrap();
        file.write_all_at(&vec![1; 100_000], 0).unwrap();
        file.sync_all().unwrap();
        let OnDisk { log, index, snapshots } = OnDisk::of(folder.path()).unwrap();
        assert!((100_000..200_000).contains(&index), "{index} for 100,000 bytes");
        assert_eq!((log, snapshots), (0, 0));
    }
}
