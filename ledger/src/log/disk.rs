//! What the log asks of a disk: a folder of files with positioned reads and writes, reserved space
//! and syncs that can be relied on. Two homes: [`OsDisk`], and `SimDisk` with its faults.
//!
//! Names are paths below the folder, `log/0000000000000000.seg`. Everything reports plain
//! `io::Error`s; the log knows what it was doing and says so.

use std::{
    any::Any,
    fmt,
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::PathBuf,
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, CWD, FallocateFlags, OFlags, Statx, StatxFlags, fallocate, major, makedev, minor, statx},
    io::Errno,
};

/// The file in which earlier releases kept their lock. Nobody reads it any more.
pub(crate) const LOCK: &str = "LOCK";

/// Files are for their owner only, and so are folders.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

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

/// Which file it is, whatever its name: its device and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId(pub u64, pub u64);

impl FileId {
    /// Only the number is ever asked for: whoever asks for a file's times has the system keep exact ones from
    /// then on, and the next write pays for that with a transaction of the file system's journal. (Where a sandbox
    /// does not allow that call, the older one has to do.)
    fn of(file: &Statx) -> Self {
        Self(makedev(file.stx_dev_major, file.stx_dev_minor), file.stx_ino)
    }
}

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

    /// Which file a name stands for now; none if there is no such file.
    fn id_of(&self, name: &str) -> io::Result<Option<FileId>>;

    /// Takes the writer's lock, which is the folder itself: nobody can remove it under its holder and take
    /// another one. `WouldBlock` if somebody holds it.
    fn lock(&self) -> io::Result<LockGuard>;

    /// Whether somebody holds the writer's lock.
    fn is_locked(&self) -> io::Result<bool>;

    /// The process that holds the writer's lock, where the system tells.
    fn lock_holder(&self) -> Option<u32>;

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

    /// Which file it is.
    fn id(&self) -> io::Result<FileId>;

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

    /// The folder is the ledger's: others could hold its lock as long as they can open it. Where the system
    /// does not let us close it, it is not ours to close.
    fn close_to_others(folder: &File) -> io::Result<()> {
        let mode = folder.metadata()?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            match folder.set_permissions(Permissions::from_mode(mode & !0o077)) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a lock was free to take.
fn taken(locked: Result<(), TryLockError>) -> io::Result<bool> {
    match locked {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Disk for OsDisk {
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(self.root.join(dir))
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
        let mut options = OpenOptions::new();
        options.read(true).write(create).create(create).truncate(false).mode(FILE_MODE);
        if create {
            // What is made is a file of ours, never what a link leads to.
            options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        }
        self.file(name, &options)
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

    fn id_of(&self, name: &str) -> io::Result<Option<FileId>> {
        let path = self.root.join(name);
        let found = match statx(CWD, &path, AtFlags::empty(), StatxFlags::INO) {
            Ok(file) => Ok(FileId::of(&file)),
            Err(Errno::NOSYS | Errno::PERM) => std::fs::metadata(&path).map(|file| FileId(file.dev(), file.ino())),
            Err(error) => Err(error.into()),
        };
        match found {
            Ok(id) => Ok(Some(id)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lock(&self) -> io::Result<LockGuard> {
        // A reader's `is_locked` takes the lock for some microseconds: look again before giving up.
        for _ in 0..3 {
            let folder = File::open(&self.root)?;
            if taken(folder.try_lock())? {
                Self::close_to_others(&folder)?;
                return Ok(Box::new(folder));
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn is_locked(&self) -> io::Result<bool> {
        match File::open(&self.root) {
            // Shared, so that readers who look at the same time do not take each other for a writer.
            Ok(folder) => Ok(!taken(folder.try_lock_shared())?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lock_holder(&self) -> Option<u32> {
        let folder = std::fs::metadata(&self.root).ok()?;
        let (device, number) = (folder.dev(), folder.ino());
        let place = format!("{:02x}:{:02x}:{number}", major(device), minor(device));
        holder(&std::fs::read_to_string("/proc/locks").ok()?, &place)
    }
}

/// The process that has the file at a place locked to write, by what `/proc/locks` lists:
/// `1: FLOCK  ADVISORY  WRITE 18956 fe:00:5390372 0 EOF`. Processes that we cannot see are number 0.
fn holder(locks: &str, place: &str) -> Option<u32> {
    let holds = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let is_lock = [words.next(), words.next(), words.next()] == ["FLOCK", "ADVISORY", "WRITE"].map(Some);
        let process = words.next()?.parse().ok()?;
        (is_lock && words.next() == Some(place) && process > 0).then_some(process)
    };
    locks.lines().find_map(holds)
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

    fn id(&self) -> io::Result<FileId> {
        match statx(&self.file, "", AtFlags::EMPTY_PATH, StatxFlags::INO) {
            Ok(file) => Ok(FileId::of(&file)),
            Err(Errno::NOSYS | Errno::PERM) => self.file.metadata().map(|file| FileId(file.dev(), file.ino())),
            Err(error) => Err(error.into()),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_names_who_holds_a_lock() {
        let locks = "1: FLOCK  ADVISORY  READ 17 fe:00:5 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 18 fe:00:5 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 19 fe:00:5 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 20 fe:00:55 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 21 fe:00:5 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 0 fe:00:6 0 EOF\n";
        assert_eq!(holder(locks, "fe:00:5"), Some(21));
        assert_eq!(holder(locks, "fe:00:6"), None, "a process of another namespace");
        assert_eq!(holder(locks, "fe:00:7"), None);
    }

    /// Two handles of one folder are two holders, as two processes are.
    #[test]
    fn a_folder_has_one_holder_whatever_lies_in_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let (first, second) = (OsDisk::new(folder.path()), OsDisk::new(folder.path()));
        assert!(!second.is_locked().unwrap());
        let held = first.lock().unwrap();
        assert_eq!(folder.path().metadata().unwrap().mode() & 0o777, FOLDER_MODE, "nobody else can open it");
        for _ in 0..2 {
            assert!(second.is_locked().unwrap());
            assert_eq!(second.lock().err().map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
            assert_eq!(second.lock_holder(), Some(std::process::id()));
            drop(std::fs::remove_file(folder.path().join(LOCK))); // it decides nothing
            std::fs::write(folder.path().join(LOCK), "1").unwrap();
        }
        drop(held);
        assert!(!second.is_locked().unwrap());
        assert_eq!(second.lock_holder(), None);
        drop(second.lock().unwrap());
    }

    #[test]
    fn nothing_is_made_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("made")).unwrap();
        let disk = OsDisk::new(folder.path());
        assert!(disk.open("made", true).is_err());
        disk.write_atomic("made", b"new").unwrap();
        assert_eq!(
            (std::fs::read(&victim).unwrap(), disk.read("made").unwrap()),
            (b"precious".to_vec(), b"new".to_vec())
        );
    }
}
