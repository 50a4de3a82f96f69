//! The index's files, and what is said when one of them fails.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{Error, Result, error::no_room, log::Disk};

/// The folder of the index.
pub(crate) const FOLDER: &str = "index";
/// Its manifest.
pub(super) const MANIFEST: &str = "index/manifest";

/// What to do about damage.
const ADVICE: &str = "start again: the index is then rebuilt from the log";

/// The folder. Shared by the sealer, which writes, and everybody who looks up.
pub(super) struct Folder {
    pub disk: Arc<dyn Disk>,
    /// Set once damage was found. Held while the manifest is written or removed, so that no manifest
    /// is written that names a damaged run.
    damaged: Mutex<bool>,
}

impl Folder {
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, damaged: Mutex::new(false) }
    }

    /// The name of a run's file.
    pub fn run(number: u64) -> String {
        format!("{FOLDER}/{number:016x}.run")
    }

    /// Makes the folder, durably.
    pub fn create(&self) -> Result<()> {
        let created = self.disk.create_dir(FOLDER).and_then(|()| self.disk.sync_dir(""));
        created.map_err(|source| self.failed("making the folder", FOLDER, 0, source))
    }

    /// The names of all files.
    pub fn list(&self) -> Result<Vec<String>> {
        let names = self.disk.list(FOLDER).map_err(|source| self.failed("listing", FOLDER, 0, source))?;
        Ok(names.into_iter().map(|name| format!("{FOLDER}/{name}")).collect())
    }

    /// Replaces the manifest, durably.
    pub fn store_manifest(&self, bytes: &[u8]) -> Result<()> {
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if *damaged {
            return Err(self.damage(MANIFEST, 0, "a run was found damaged".to_owned()));
        }
        let stored = self.disk.write_atomic(MANIFEST, bytes);
        stored.map_err(|source| self.failed("writing", MANIFEST, bytes.len() as u64, source))
    }

    /// Removes a file that nothing names any more. That it stays is no fault: the next start removes it.
    pub fn discard(&self, name: &str) {
        if let Err(error) = self.disk.remove(name) {
            tracing::warn!(file = name, %error, "a file of the index that is not needed any more was left behind");
        }
    }

    /// Removes everything, the manifest first.
    pub fn clear(&self) -> Result<()> {
        let mut names = self.list()?;
        names.sort_by_key(|name| name != MANIFEST);
        for name in &names {
            self.remove(name)?;
        }
        self.disk.sync_dir(FOLDER).map_err(|source| self.failed("syncing the folder", FOLDER, 0, source))
    }

    /// Removes a file.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.disk.remove(name).map_err(|source| self.failed("removing", name, 0, source))
    }

    /// A look-up or a merge found bytes that are not what was written. Removes the manifest, so that
    /// the next start rebuilds the index, as the error says.
    pub fn condemn(&self, name: &str, offset: u64, what: String) -> Error {
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if !*damaged {
            *damaged = true;
            let removed = match self.disk.remove(MANIFEST) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => self.disk.sync_dir(FOLDER),
            };
            if let Err(source) = removed {
                return self.failed("removing, because a run is damaged,", MANIFEST, 0, source);
            }
        }
        self.damage(name, offset, what)
    }

    /// The error for a call that failed; `needed` bytes were to be written.
    pub fn failed(&self, doing: &'static str, name: &str, needed: u64, source: io::Error) -> Error {
        let path = self.disk.path(name);
        if no_room(&source) { Error::Full { path, needed, source } } else { Error::Io { doing, path, source } }
    }

    fn damage(&self, name: &str, offset: u64, what: String) -> Error {
        Error::Damaged { path: self.disk.path(name), offset, what, advice: ADVICE }
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder").field("disk", &self.disk).finish_non_exhaustive()
    }
}
