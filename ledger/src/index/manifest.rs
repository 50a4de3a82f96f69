//! `index/manifest`: which runs there are, and up to where they hold everything.
//!
//! ```json
//! {"manifest":{"version":1,"seed":7,"next":3,"head":{"lineage":"…","shards":[{"sequence":7,"hash":"…"}]},
//!  "runs":[{"number":2,"level":0,"entries":9,"length":8264,"crc":1}]},"crc32c":"…"}
//! ```
//!
//! (without the line break, and with one at the end). The checksum is over the compact JSON of
//! `manifest`. `seed` is the fingerprints' key, `next` the number of the next run, `crc` that of a
//! run's footer.

use serde::{Deserialize, Serialize};

use crate::log::{Head, crc32c};

/// The version of the format of manifest and runs. Another one is rebuilt.
pub(super) const VERSION: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub version: u32,
    pub seed: u64,
    pub next: u64,
    pub head: Head,
    pub runs: Vec<RunEntry>,
}

/// A run, and how its file is recognised.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunEntry {
    pub number: u64,
    pub level: u32,
    pub entries: u64,
    pub length: u64,
    pub crc: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    manifest: Manifest,
    crc32c: String,
}

impl Manifest {
    fn checksum(&self) -> String {
        let json = serde_json::to_vec(self).expect("a manifest has a JSON form");
        format!("{:08x}", crc32c(&json))
    }

    pub fn write(&self) -> Vec<u8> {
        let stored = Stored { manifest: self.clone(), crc32c: self.checksum() };
        let mut json = serde_json::to_vec(&stored).expect("a manifest has a JSON form");
        json.push(b'\n');
        json
    }

    /// Takes nothing but what [`Self::write`] writes, every byte of it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let Stored { manifest, crc32c } = stored;
        if manifest.checksum() != crc32c || manifest.write() != bytes {
            return Err("the manifest and its checksum differ".to_owned());
        }
        if manifest.version != VERSION {
            return Err(format!("the manifest has format version {}", manifest.version));
        }
        Ok(manifest)
    }
}
