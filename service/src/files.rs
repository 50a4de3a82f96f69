//! Files at paths that a user named: for this user only, and whole or not there at all.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a file for its owner only may be used for.
pub const PRIVATE: u32 = 0o600;
/// The same of a folder.
const PRIVATE_FOLDER: u32 = 0o700;
/// What a group may do that reads a file.
const GROUP_READS: u32 = 0o040;
/// Whatever others may do with a file.
pub const OTHERS: u32 = 0o077;

/// Puts a file at `path` once all of it is written; until then what stood there stays. It is made under a
/// name that nobody can foresee, so nothing that lies in the folder is written through, and what `path`
/// names is replaced, not followed. A device or a pipe is written to as it is.
pub fn write_whole(path: &Path, write: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    let putting = || format!("putting {} in place", path.display());
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let there = File::options().write(true).open(path).with_context(|| format!("opening {}", path.display()))?;
        return write(&there);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let making = || format!("making a file in {}", folder.display());
    let mut draft = tempfile::Builder::new();
    let draft = draft.prefix(".giftledger-").suffix(".draft").tempfile_in(folder).with_context(making)?;
    write(draft.as_file())?;
    draft.as_file().sync_all().with_context(|| format!("syncing {}", draft.path().display()))?;
    draft.persist(path).map_err(|kept| kept.error).with_context(putting)?;
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(putting)
}

/// Makes a folder, and those above it that are missing.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path)
}

/// Appends a line to a file, durably.
pub fn append_line(path: &Path, line: &[u8]) -> Result<()> {
    let writing = || format!("writing to {}", path.display());
    let mut file = File::options().append(true).create(true).mode(PRIVATE).open(path).with_context(writing)?;
    file.write_all(&[line, b"\n"].concat()).and_then(|()| file.sync_all()).with_context(writing)
}

/// Reads a file that nobody else may read; one that others can read is refused, since they may have.
pub fn read_secret(path: &Path) -> Result<String> {
    let reading = || format!("reading the key in {}", path.display());
    let mut file = File::open(path).with_context(reading)?;
    let mode = file.metadata().with_context(reading)?.mode();
    // systemd lets a service read a credential by a list of its own, which shows as rights of the group.
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let is_credential = credentials.is_some_and(|folder| !folder.is_empty() && path.starts_with(folder));
    let others = if is_credential { OTHERS & !GROUP_READS } else { OTHERS };
    if mode & others != 0 {
        bail!(
            "the key in {0} is open to others (mode {1:04o}): close it with chmod 600 {0}, and if anybody else may have \
             read it, make another one",
            path.display(),
            mode & 0o7777
        );
    }
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(reading)?;
    Ok(text)
}

/// Lets this process have as many files open as the system allows it; how many those are.
pub fn open_more_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Where it is refused, it stays as it was.
    let raised = setrlimit(Resource::Nofile, most).is_ok();
    if raised { limit.maximum } else { limit.current }.unwrap_or(u64::MAX)
}

/// What is free on the disk of a folder for whoever is not its keeper.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_lies_in_the_folder_is_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, books) = (folder.path().join("victim"), folder.path().join("books"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, &books).unwrap();
        symlink(&victim, folder.path().join("books.draft")).unwrap();
        write_whole(&books, |mut file| Ok(file.write_all(b"entries")?)).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert_eq!((fs::read(&books).unwrap(), mode(&books)), (b"entries".to_vec(), PRIVATE));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no draft is left");
    }

    #[test]
    fn what_is_not_whole_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let books = folder.path().join("books");
        fs::write(&books, "of last month").unwrap();
        let failed = write_whole(&books, |mut file| {
            file.write_all(b"half of")?;
            bail!("no more")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&books).unwrap(), b"of last month");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
        write_whole(Path::new("/dev/null"), |mut file| Ok(file.write_all(b"gone")?)).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file(), "a device is written to, not replaced");
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        for (mode, others) in [(0o600, false), (0o400, false), (0o644, true), (0o640, true), (0o602, true)] {
            fs::write(&key, "secret").unwrap();
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            let read = read_secret(&key).map_err(|error| format!("{error:#}"));
            if others {
                assert!(read.unwrap_err().contains(&format!("chmod 600 {}", key.display())));
            } else {
                assert_eq!(read.unwrap(), "secret");
            }
            fs::remove_file(&key).unwrap();
        }
    }
}
