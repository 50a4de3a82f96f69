//! What the log asks of a disk: a folder of files with positioned reads and writes, reserved space
//! and syncs that can be relied on. Two homes: [`OsDisk`], and `SimDisk` with its faults.
//!
//! Names are paths below the folder, `log/0000000000000000.seg`. Everything reports plain
//! `io::Error`s; the log knows what it was doing and says so.

use std::{
    any::Any,
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use rustix::fs::{FallocateFlags, fallocate};

/// The file whose lock makes its holder the one writer. It contains the holder's process id.
pub const LOCK: &str = "LOCK";

/// Ends the names of files that are not whole yet, and may be removed by the next start.
pub(crate) const UNFINISHED: &str = ".tmp";

/// What the name of an unfinished file would be: `write_atomic` puts the process id in between.
pub(crate) fn finished_name(name: &str) -> &str {
    let Some(plain) = name.strip_suffix(UNFINISHED) else { return name };
    match plain.rsplit_once('.') {
        Some((plain, pid)) if pid.bytes().all(|b| b.is_ascii_digit()) => plain,
        _ => plain,
    }
}

/// Held while a ledger is written; dropping it gives the lock back.
pub type LockGuard = Box<dyn Any + Send + Sync>;

/// A folder.
pub trait Disk: Send + Sync + fmt::Debug {
    /// The folder, or a file in it, as messages name it.
    fn path(&self, name: &str) -> PathBuf;

    /// Makes a folder (and the disk's own, where that is missing) unless it is there. Durable after
    /// `sync_dir("")`.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// The names in a folder (`""` is the disk's own), in order; none where it does not exist.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Opens a file, to read and write where `create` is set (and makes it where it is missing),
    /// else only to read and sync.
    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that is there to read and write.
    fn open_existing(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, over another one if need be. Durable after `sync_dir`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after `sync_dir`.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Takes the writer's lock; `WouldBlock` if somebody holds it.
    fn lock(&self) -> io::Result<LockGuard>;

    /// Whether somebody holds the writer's lock.
    fn is_locked(&self) -> io::Result<bool>;

    /// The whole of a small file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.open(name, false)?;
        let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Writes a whole file so that, whatever happens, either the old content or the new one is
    /// there: a file beside it, synced, renamed over it.
    fn write_atomic(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // A name of its own for each process: two may store a position at the same time.
        let beside = format!("{name}.{}{UNFINISHED}", std::process::id());
        let file = self.open(&beside, true)?;
        file.set_len(0)?;
        file.write_at(0, bytes)?;
        file.sync()?;
        self.rename(&beside, name)?;
        self.sync_dir(folder_of(name))
    }
}

/// An open file. Calls do not move a position, so it can be shared.
pub trait DiskFile: Send + Sync {
    /// Reads as many of the bytes as there are before the end of the file.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;

    /// Writes all of the bytes.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the file at least `len` bytes long, with zeros, and sees to it that writing them
    /// cannot fail for want of space.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Makes what was written, and the length, durable.
    fn sync(&self) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// The folder part of a name.
pub(super) fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// A folder of the file system.
#[derive(Debug, Clone)]
pub struct OsDisk {
    root: PathBuf,
}

impl OsDisk {
    /// The folder at `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn file(&self, name: &str, options: &OpenOptions) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OsFile { file: options.open(self.root.join(name))? }))
    }

    /// The lock's file, and whether its lock was free to take.
    fn try_lock(&self, options: &OpenOptions) -> io::Result<Option<File>> {
        let file = options.open(self.root.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Disk for OsDisk {
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        std::fs::create_dir_all(self.root.join(dir))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.root.join(dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.file(name, OpenOptions::new().read(true).write(create).create(create).truncate(false))
    }

    fn open_existing(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.file(name, OpenOptions::new().read(true).write(true))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.root.join(name))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.root.join(dir))?.sync_all()
    }

    fn lock(&self) -> io::Result<LockGuard> {
        // A reader's `is_locked` takes the lock for some microseconds: look again before giving up.
        for _ in 0..3 {
            let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
            if let Some(mut file) = self.try_lock(&options)? {
                file.set_len(0)?;
                file.write_all(std::process::id().to_string().as_bytes())?;
                return Ok(Box::new(file));
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn is_locked(&self) -> io::Result<bool> {
        match self.try_lock(OpenOptions::new().read(true)) {
            Ok(taken) => Ok(taken.is_none()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

struct OsFile {
    file: File,
}

impl DiskFile for OsFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP) => self.write_zeros(len),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

impl OsFile {
    /// Reserves by writing, for file systems that cannot reserve.
    fn write_zeros(&self, len: u64) -> io::Result<()> {
        let zeros = vec![0; 1 << 20];
        let mut at = self.len()?;
        while at < len {
            let step = usize::try_from(len - at).map_or(zeros.len(), |left| left.min(zeros.len()));
            self.write_at(at, &zeros[..step])?;
            at += step as u64;
        }
        Ok(())
    }
}
