//! On real files.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use super::*;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn access_open(folder: &Path) -> Result<Store> {
    block_on(Store::open_in(folder))
}

#[test]
fn access_files_are_for_their_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let store = Store::open_in(folder.path()).await?;
        let mut change = store.begin().await?;
        sqlx::query(
            "INSERT INTO refused_attempts (time, method, path, code, remote, missed) VALUES (1, '', '', '', '', 0)",
        )
        .execute(&mut *change)
        .await
        .unwrap();
        change.commit().await.unwrap();
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(names.len() > 1, "the write-ahead log is there: {names:?}");
        for name in names {
            assert_eq!(mode(&name), files::PRIVATE, "{}", name.display());
        }
        store.close().await;
        Ok::<_, Error>(())
    })
    .unwrap();
    fs::set_permissions(folder.path().join(FILE), fs::Permissions::from_mode(0o640)).unwrap();
    let error = access_open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
}

#[test]
fn access_follows_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    symlink(&elsewhere, folder.path().join(FILE)).unwrap();
    let error = access_open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("a symbolic link"), "{error}");
    assert_eq!(fs::read(&elsewhere).unwrap(), b"");
    fs::remove_file(folder.path().join(FILE)).unwrap();
    fs::create_dir(folder.path().join(FILE)).unwrap();
    access_open(folder.path()).unwrap_err();
}

#[test]
fn access_refuses_a_database_from_the_future_and_leaves_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (statement, said) in [
        ("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1", "another migration 1"),
        ("UPDATE _sqlx_migrations SET version = 7001 WHERE version = 1", "it has migration 7001, and this one knows"),
    ] {
        block_on(async {
            let store = Store::open_in(folder.path()).await?;
            sqlx::query(statement).execute(store.pool()).await.unwrap();
            store.close().await;
            Ok::<_, Error>(())
        })
        .unwrap();
        let before = fs::read(folder.path().join(FILE)).unwrap();
        let error = access_open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), before);
        fs::remove_file(folder.path().join(FILE)).unwrap();
    }
    fs::write(folder.path().join(FILE), "no database at all, but long enough to be taken for a page of one").unwrap();
    fs::set_permissions(folder.path().join(FILE), fs::Permissions::from_mode(files::PRIVATE)).unwrap();
    access_open(folder.path()).unwrap_err();
}

#[test]
fn access_opens_beside_others() {
    let folder = tempfile::tempdir().unwrap();
    let open = || std::thread::scope(|scope| scope.spawn(|| access_open(folder.path()).map(drop)).join().unwrap());
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
        for one in all {
            one.join().unwrap().unwrap();
        }
    });
}

#[test]
fn access_copies_are_whole_beside_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let copies = tempfile::tempdir().unwrap();
    block_on(async {
        let store = Store::open_in(folder.path()).await?;
        let copy = copies.path().join(FILE);
        make_private(&copy)?;
        let mut change = store.begin().await?;
        sqlx::query("INSERT INTO tokens (name, terms, created) VALUES ('half', '{}', 1)")
            .execute(&mut *change)
            .await
            .unwrap();
        store.copy_to(&copy).await?;
        change.commit().await.unwrap();
        assert_eq!(mode(&copy), files::PRIVATE);
        let copied = Store::open_in(copies.path()).await?;
        let tokens: i64 = sqlx::query_scalar("SELECT count(*) FROM tokens").fetch_one(copied.pool()).await.unwrap();
        assert_eq!(tokens, 0, "what was not committed is not in it");
        Ok::<_, Error>(())
    })
    .unwrap();
}
