//! The calls of the simulated disk, each with what its fault makes of it.

use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc};

use rand::RngExt;

use super::{Call, Fault, SimDisk, State, failed, file::SimFile};
use crate::log::disk::{Disk, DiskFile, FileId, LockGuard, folder_of};

impl Disk for SimDisk {
    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/simulated").join(name)
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        or_fail(state.strike(Call::Create)?)?;
        state.folders.insert(dir.to_owned());
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        let mut names: BTreeSet<&str> = state.names.keys().map(String::as_str).collect();
        names.extend(state.folders.iter().map(String::as_str).filter(|folder| !folder.is_empty()));
        let inside = names.into_iter().filter(|name| folder_of(name) == dir);
        Ok(inside.map(|name| name.rsplit('/').next().unwrap_or(name).to_owned()).collect())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let id = match state.find(name) {
            Err(_) if create => {
                or_fail(state.strike(Call::Create)?)?;
                let id = state.new_file(SimFile::default());
                state.rename(folder_of(name), vec![(name.to_owned(), Some(id))]);
                id
            }
            found => found?,
        };
        Ok(Arc::new(Handle { disk: self.clone(), id, life: state.life }))
    }

    fn open_existing(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.open(name, false)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        or_fail(state.strike(Call::Other)?)?;
        let id = state.find(from)?;
        state.rename(folder_of(to), vec![(from.to_owned(), None), (to.to_owned(), Some(id))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        or_fail(state.strike(Call::Other)?)?;
        state.find(name)?;
        state.rename(folder_of(name), vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let state = &mut *self.state();
        or_fail(state.strike(Call::Sync)?)?;
        for renaming in std::mem::take(&mut state.renamings) {
            if renaming.folder == dir {
                renaming.apply(&mut state.durable_names);
            } else {
                state.renamings.push(renaming);
            }
        }
        Ok(())
    }

    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        Ok(self.identity(name).map(|id| FileId(0, id)))
    }

    fn lock_holder(&self) -> Option<u32> {
        None // one process at a time
    }

    fn lock(&self) -> io::Result<LockGuard> {
        let mut state = self.state();
        if state.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked = true;
        Ok(Box::new(Lock { disk: self.clone(), life: state.life }))
    }

    fn is_locked(&self) -> io::Result<bool> {
        Ok(self.state().locked)
    }
}

struct Lock {
    disk: SimDisk,
    life: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locked = false;
        }
    }
}

struct Handle {
    disk: SimDisk,
    id: u64,
    life: u64,
}

impl Handle {
    /// Counts a call on an open file.
    fn call<T>(&self, call: Call, f: impl FnOnce(&mut State, Option<Fault>) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.life != self.life {
            return Err(failed("the process that opened this file is dead"));
        }
        let struck = state.strike(call)?;
        f(&mut state, struck)
    }

    fn with<T>(&self, state: &mut State, f: impl FnOnce(&mut SimFile) -> T) -> T {
        f(state.files.get_mut(&self.id).expect("files stay while anybody may have them open"))
    }
}

impl DiskFile for Handle {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.call(Call::Read, |state, struck| {
            let read = self.with(state, |file| file.read(offset, bytes));
            if struck == Some(Fault::BitFlip) && read > 0 {
                let at = state.random.random_range(0..read);
                bytes[at] ^= 1 << state.random.random_range(0..8);
            }
            Ok(read)
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.call(Call::Write, |state, struck| {
            let done = match struck {
                None => bytes.len(),
                Some(Fault::WriteError) => 0,
                Some(_) => state.random.random_range(0..=bytes.len()),
            };
            state.room(self.id, offset + done as u64)?;
            self.with(state, |file| file.write(offset, &bytes[..done]));
            or_fail(struck)
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.call(Call::Other, |state, struck| {
            or_fail(struck)?;
            self.with(state, |file| file.set_len(len));
            Ok(())
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.call(Call::Allocate, |state, struck| {
            or_fail(struck)?;
            state.room(self.id, len)?;
            self.with(state, |file| file.set_len(len.max(file.len())));
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.call(Call::Sync, |state, struck| {
            if struck == Some(Fault::SyncError) {
                self.with(state, SimFile::lose_sync);
            }
            or_fail(struck)?;
            self.with(state, SimFile::sync);
            Ok(())
        })
    }

    fn id(&self) -> io::Result<FileId> {
        Ok(FileId(0, self.id))
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        Ok(self.with(&mut state, |file| file.len()))
    }
}

/// Lets a changing call fail, where a fault says so before it did anything.
fn or_fail(struck: Option<Fault>) -> io::Result<()> {
    struck.map_or(Ok(()), |fault| Err(failed(&format!("{fault:?}"))))
}
