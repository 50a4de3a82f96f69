//! Copies of `service.db` with a backup of the log, in the folder that it leaves free.
//!
//! ```text
//! beside/service.json          which copy it is: written last, so that what it says is there
//! beside/service-<hash>.db     the copy
//! ```
//!
//! ```json
//! {"file":"service-5f2c….db","time":"…","bytes":45056,"sha256":"…"}
//! ```
//!
//! The log's backup is one thing and this copy another, made a moment later. Whatever `service.json` does not name
//! was left by a backup that was interrupted, or stood there before.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    path::Path,
};

use ledger::{Clock, SystemClock, backup::BESIDE};
use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Error, FILE, Result, Store};
use crate::{files, ledger_dir::LedgerDir};

const DESCRIPTION: &str = "service.json";
/// What a description may have; a real one has some 200.
const MAX_DESCRIPTION_BYTES: u64 = 4_096;

/// A copy beside a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copied {
    /// Its name.
    file: String,
    /// When it was made.
    pub time: Timestamp,
    /// How long it is.
    pub bytes: u64,
    sha256: String,
}

/// Copies what a ledger has into a backup, in place of an older copy; nothing where it has none.
pub fn back_up(ledger: &LedgerDir, backup: &Path) -> Result<Option<Copied>> {
    if !Store::exists(ledger)? {
        return Ok(None);
    }
    let folder = &*backup.join(BESIDE);
    files::make_folder(folder).map_err(|source| Error::io("making", folder, source))?;
    let made = File::open(backup).and_then(|backup| backup.sync_all());
    made.map_err(|source| Error::io("syncing", backup, source))?;
    let failed = |doing| move |source| Error::io(doing, folder, source);
    let draft = tempfile::Builder::new().prefix("service-").suffix(".draft").tempfile_in(folder);
    let draft = draft.map_err(failed("making a file in"))?;
    let time = super::block_on(async {
        let store = Store::open(ledger).await?;
        let copied = store.copy_to(draft.path()).await;
        store.close().await;
        copied.map(|()| SystemClock.now())
    })?;
    // Opened again: what stands under the name now is what is kept.
    let file = File::open(draft.path()).map_err(failed("reading a copy in"))?;
    let (bytes, sha256) = hashed(&file, &mut io::sink()).map_err(failed("reading a copy in"))?;
    file.sync_all().map_err(failed("syncing a copy in"))?;
    let copied = Copied { file: format!("service-{}.db", &sha256[..16]), time, bytes, sha256 };
    draft.persist(folder.join(&copied.file)).map_err(|kept| failed("keeping a copy in")(kept.error))?;
    let path = folder.join(DESCRIPTION);
    let text = serde_json::to_string(&copied).expect("a description is JSON");
    files::write_whole(&path, |mut file| Ok(writeln!(file, "{text}")?))
        .map_err(|error| Error::io("writing", &path, io::Error::other(format!("{error:#}"))))?;
    forget_others(folder, &copied.file).map_err(failed("removing older copies in"))?;
    Ok(Some(copied))
}

/// Looks whether the copy beside a backup is what was written, where there is one.
pub fn check(backup: &Path) -> Result<Option<Copied>> {
    let folder = &*backup.join(BESIDE);
    let Some(copied) = described(folder)? else { return Ok(None) };
    read(folder, &copied, &mut io::sink())?;
    Ok(Some(copied))
}

/// Puts the copy beside a backup into a ledger's folder, which has none yet; nothing where there is none.
pub fn restore(backup: &Path, ledger: &LedgerDir) -> Result<Option<Copied>> {
    let folder = &*backup.join(BESIDE);
    let Some(copied) = described(folder)? else { return Ok(None) };
    let to = ledger.path();
    let failed = |doing| move |source| Error::io(doing, to, source);
    let draft = tempfile::Builder::new().prefix("service-").suffix(".draft").tempfile_in(to);
    let mut draft = draft.map_err(failed("making a file in"))?;
    read(folder, &copied, draft.as_file_mut())?;
    draft.as_file().sync_all().map_err(failed("syncing what is restored in"))?;
    let kept = draft.persist_noclobber(to.join(FILE)).map_err(|kept| kept.error);
    kept.and_then(|_| File::open(to)?.sync_all()).map_err(failed("putting service.db into"))?;
    Ok(Some(copied))
}

fn described(folder: &Path) -> Result<Option<Copied>> {
    let path = folder.join(DESCRIPTION);
    let mut text = String::new();
    match File::open(&path).and_then(|file| file.take(MAX_DESCRIPTION_BYTES).read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::io("reading", &path, source)),
    }
    let damaged = |what: String| Error::Damaged { path: path.clone(), what };
    let copied: Copied = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    // It names a file beside it, whoever wrote it.
    if copied.file.contains('/') || !copied.file.starts_with("service-") {
        return Err(damaged(format!("{:?} is no copy beside it", copied.file)));
    }
    Ok(Some(copied))
}

fn read(folder: &Path, copied: &Copied, to: &mut impl Write) -> Result<()> {
    let path = folder.join(&copied.file);
    let file = File::open(&path).map_err(|source| Error::io("opening", &path, source))?;
    let found = hashed(&file, to).map_err(|source| Error::io("copying", &path, source))?;
    if found == (copied.bytes, copied.sha256.clone()) {
        return Ok(());
    }
    let what = "it is not what service.json describes; take another backup, or use an older one".to_owned();
    Err(Error::Damaged { path, what })
}

/// Copies a file, and says how long it is and what it hashes to.
fn hashed(mut file: &File, to: &mut impl Write) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok((bytes, hex(&hash.finalize()))),
            read => {
                hash.update(&chunk[..read]);
                to.write_all(&chunk[..read])?;
                bytes += read as u64;
            }
        }
    }
}

/// Bytes as people write hashes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes all");
        text
    })
}

/// Removes copies that are not described any more.
fn forget_others(folder: &Path, file: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let is_ours = entry.file_name().to_string_lossy().starts_with("service-")
            && path.extension().is_some_and(|extension| extension == "db" || extension == "draft");
        if is_ours && entry.file_name() != file {
            fs::remove_file(path)?;
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Arc};

    use ledger::{
        backup,
        log::{Disk, OsDisk},
    };

    use super::*;
    use crate::{
        access::{
            name::Name,
            roles::Role,
            terms::tests::terms,
            tokens::{create, list},
        },
        app,
        store::block_on,
    };

    fn ledger() -> (tempfile::TempDir, LedgerDir) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("log")).unwrap();
        let ledger = LedgerDir::new(folder.path());
        (folder, ledger)
    }

    fn with<T>(ledger: &LedgerDir, work: impl AsyncFnOnce(&Store) -> app::Result<T>) -> T {
        block_on(async {
            let store = Store::open(ledger).await?;
            let done = work(&store).await;
            store.close().await;
            done
        })
        .unwrap()
    }

    fn names(ledger: &LedgerDir) -> Vec<Name> {
        let listed = with(ledger, async |store| list(store, SystemClock.now()).await);
        listed.into_iter().map(|token| token.name).collect()
    }

    #[test]
    fn access_is_backed_up_and_comes_back() {
        let (_kept, from) = ledger();
        let backup = tempfile::tempdir().unwrap();
        assert_eq!(back_up(&from, backup.path()).unwrap(), None);
        assert_eq!(check(backup.path()).unwrap(), None);
        for name in ["one", "two"] {
            let name: Name = name.parse().unwrap();
            with(&from, async |store| create(store, &name, &terms(&[Role::Read]), SystemClock.now()).await);
            let copied = back_up(&from, backup.path()).unwrap();
            assert_eq!(check(backup.path()).unwrap(), copied);
            assert_eq!(fs::read_dir(backup.path().join(BESIDE)).unwrap().count(), 2, "the copy and its description");
        }
        let (kept, to) = ledger();
        restore(backup.path(), &to).unwrap().unwrap();
        assert_eq!(fs::metadata(kept.path().join(FILE)).unwrap().permissions().mode() & 0o777, files::PRIVATE);
        assert_eq!(names(&to), names(&from));
        restore(backup.path(), &to).unwrap_err();
    }

    #[test]
    fn access_stands_where_the_backup_of_the_log_leaves_room() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = LedgerDir::new(&folder.path().join("ledger"));
        ledger.make(Some(1)).unwrap().close().unwrap();
        with(&ledger, async |_| Ok(()));
        let backup = folder.path().join("backup");
        for _ in 0..2 {
            let disk: Arc<dyn Disk> = ledger.disk();
            backup::back_up(&disk, &OsDisk::new(&backup), SystemClock.now(), &mut |_, _| ()).unwrap();
            back_up(&ledger, &backup).unwrap().unwrap();
        }
        let to = LedgerDir::new(&folder.path().join("restored"));
        backup::restore(&OsDisk::new(&backup), &*to.disk(), backup::Lineage::New, &mut |_, _| ()).unwrap();
        restore(&backup, &to).unwrap().unwrap();
        to.start(None).unwrap().close().unwrap();
    }

    #[test]
    fn access_copies_that_rotted_are_found() {
        let (_kept, from) = ledger();
        with(&from, async |_| Ok(()));
        let backup = tempfile::tempdir().unwrap();
        let copied = back_up(&from, backup.path()).unwrap().unwrap();
        let path = backup.path().join(BESIDE).join(&copied.file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[5_000] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(check(backup.path()), Err(Error::Damaged { .. })));
        let (kept, to) = ledger();
        assert!(matches!(restore(backup.path(), &to), Err(Error::Damaged { .. })));
        assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 1, "nothing but the log");
        let outside = Copied { file: "service-/../../x".into(), ..copied };
        fs::write(backup.path().join(BESIDE).join(DESCRIPTION), serde_json::to_string(&outside).unwrap()).unwrap();
        assert!(matches!(check(backup.path()), Err(Error::Damaged { .. })));
    }
}
