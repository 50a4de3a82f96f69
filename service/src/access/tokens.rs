//! The tokens in `service.db`: what the CLI and the console do with them. A server that has them in memory sees what
//! is done here within a second.

use schemas::Timestamp;
use serde::Serialize;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::{
    daily::day,
    name::Name,
    secret::{Secret, Sha256Hash},
    terms::Terms,
};
use crate::{
    app,
    store::{self, Store},
};

/// How long a secret that was replaced is remembered, so that whoever still sends it is told that it was.
const REMEMBERED_MILLIS: i64 = 90 * 86_400_000;

/// A token as it is shown: everything but its secrets.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// What it is called.
    pub name: Name,
    /// What it says.
    #[serde(flatten)]
    pub terms: Terms,
    /// When it was made.
    pub created: Timestamp,
    /// When it was taken back.
    pub revoked: Option<Timestamp>,
    /// What proves that one has it, the newest first.
    pub secrets: Vec<ListedSecret>,
    /// What counts against its daily coins today, in UTC.
    pub coins_today: u64,
}

/// One secret of a token as it is shown.
#[derive(Debug, Serialize)]
pub struct ListedSecret {
    /// Its last four characters.
    pub last_four: String,
    /// When it was made.
    pub created: Timestamp,
    /// Until when it works, where a newer one has replaced it.
    pub until: Option<Timestamp>,
}

/// Makes a token. Its secret is in the answer and nowhere else.
///
/// # Errors
/// If one that is in force has the name.
pub async fn create(store: &Store, name: &Name, terms: &Terms, now: Timestamp) -> app::Result<Secret> {
    if terms.expires.is_some_and(|expires| expires <= now) {
        return Err(app::Error::Unasked(format!("the token would have expired already: it is {now}")));
    }
    let mut change = store.begin().await?;
    if in_force(store, &mut change, name).await?.is_some() {
        return Err(app::Error::Unasked(format!(
            "there is a token {name} already: choose another name, give it a new secret with giftledger token rotate \
             {name}, or end it with giftledger token revoke {name}"
        )));
    }
    let text = serde_json::to_string(terms).expect("terms are JSON");
    let id = sqlx::query("INSERT INTO tokens (name, terms, created) VALUES (?, ?, ?)")
        .bind(name.as_str())
        .bind(text)
        .bind(now.nanos())
        .execute(&mut *change)
        .await
        .map_err(store.failed("keeping a token in"))?
        .last_insert_rowid();
    let secret = add_secret(store, &mut change, id, now).await?;
    change.commit().await.map_err(store.failed("keeping a token in"))?;
    Ok(secret)
}

/// Gives a token a new secret; those before it work for `grace_millis` more.
///
/// # Errors
/// If no token in force has the name.
pub async fn rotate(store: &Store, name: &Name, grace_millis: i64, now: Timestamp) -> app::Result<Secret> {
    let mut change = store.begin().await?;
    let id = must_be_in_force(store, &mut change, name).await?;
    let until = now.plus_millis(grace_millis).nanos();
    sqlx::query("UPDATE secrets SET until = ?1 WHERE token = ?2 AND (until IS NULL OR until > ?1)")
        .bind(until)
        .bind(id)
        .execute(&mut *change)
        .await
        .map_err(store.failed("replacing a secret in"))?;
    sqlx::query("DELETE FROM secrets WHERE token = ? AND until < ?")
        .bind(id)
        .bind(now.plus_millis(-REMEMBERED_MILLIS).nanos())
        .execute(&mut *change)
        .await
        .map_err(store.failed("forgetting old secrets in"))?;
    let secret = add_secret(store, &mut change, id, now).await?;
    change.commit().await.map_err(store.failed("replacing a secret in"))?;
    Ok(secret)
}

/// Takes a token back. Its name is free again.
///
/// # Errors
/// If no token in force has the name.
pub async fn revoke(store: &Store, name: &Name, now: Timestamp) -> app::Result<()> {
    let mut change = store.begin().await?;
    let id = must_be_in_force(store, &mut change, name).await?;
    sqlx::query("UPDATE tokens SET revoked = ? WHERE id = ?")
        .bind(now.nanos())
        .bind(id)
        .execute(&mut *change)
        .await
        .map_err(store.failed("revoking a token in"))?;
    change.commit().await.map_err(store.failed("revoking a token in"))?;
    Ok(())
}

/// All tokens, those in force first, by name.
pub async fn list(store: &Store, now: Timestamp) -> app::Result<Vec<Listed>> {
    type Row = (i64, String, String, i64, Option<i64>, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, terms, created, revoked, coalesce(taken, 0) FROM tokens LEFT JOIN daily_coins ON token = id \
         AND day = ? ORDER BY revoked IS NOT NULL, name, id",
    )
    .bind(day(now))
    .fetch_all(store.pool())
    .await
    .map_err(store.failed("listing the tokens of"))?;
    let mut all = Vec::with_capacity(rows.len());
    for (id, name, terms, created, revoked, taken) in rows {
        let secrets: Vec<(String, i64, Option<i64>)> =
            sqlx::query_as("SELECT last_four, created, until FROM secrets WHERE token = ? ORDER BY created DESC")
                .bind(id)
                .fetch_all(store.pool())
                .await
                .map_err(store.failed("listing the tokens of"))?;
        let secrets = secrets.into_iter().map(|(last_four, created, until)| ListedSecret {
            last_four,
            created: Timestamp::from_nanos(created),
            until: until.map(Timestamp::from_nanos),
        });
        let (name, terms) = read(store, &name, &terms)?;
        all.push(Listed {
            name,
            terms,
            created: Timestamp::from_nanos(created),
            revoked: revoked.map(Timestamp::from_nanos),
            secrets: secrets.collect(),
            coins_today: u64::try_from(taken).unwrap_or_default(),
        });
    }
    Ok(all)
}

/// A secret and the token that it belongs to.
pub(super) struct Loaded {
    pub id: i64,
    pub sha256: Sha256Hash,
    pub until: Option<Timestamp>,
    pub name: Name,
    pub terms: Terms,
    pub revoked: Option<Timestamp>,
}

/// All secrets, in one view of the database.
pub(super) async fn load(store: &Store, connection: &mut SqliteConnection) -> store::Result<Vec<Loaded>> {
    type Row = (i64, Vec<u8>, Option<i64>, String, String, Option<i64>);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, sha256, until, name, terms, revoked FROM secrets JOIN tokens ON token = id ORDER BY id",
    )
    .fetch_all(connection)
    .await
    .map_err(store.failed("reading the tokens of"))?;
    let loaded = rows.into_iter().map(|(id, sha256, until, name, terms, revoked)| {
        let (name, terms) = read(store, &name, &terms)?;
        let sha256 = sha256.try_into().expect("the table holds 32 bytes");
        let revoked = revoked.map(Timestamp::from_nanos);
        Ok(Loaded { id, sha256, until: until.map(Timestamp::from_nanos), name, terms, revoked })
    });
    loaded.collect()
}

fn read(store: &Store, name: &str, terms: &str) -> store::Result<(Name, Terms)> {
    let unreadable = |what| move |source| store::Error::Unreadable { path: store.path().to_owned(), what, source };
    let parsed = name.parse().map_err(serde::de::Error::custom).map_err(unreadable("name of a token"))?;
    Ok((parsed, serde_json::from_str(terms).map_err(unreadable("terms of a token"))?))
}

async fn add_secret(
    store: &Store,
    change: &mut Transaction<'static, Sqlite>,
    id: i64,
    now: Timestamp,
) -> app::Result<Secret> {
    let asking = |source| app::Error::Io { doing: "asking the system for random bytes".to_owned(), source };
    let secret = Secret::random().map_err(asking)?;
    sqlx::query("INSERT INTO secrets (sha256, token, last_four, created) VALUES (?, ?, ?, ?)")
        .bind(&secret.sha256()[..])
        .bind(id)
        .bind(secret.last_four())
        .bind(now.nanos())
        .execute(&mut **change)
        .await
        .map_err(store.failed("keeping a secret in"))?;
    Ok(secret)
}

async fn in_force(store: &Store, change: &mut Transaction<'static, Sqlite>, name: &Name) -> store::Result<Option<i64>> {
    sqlx::query_scalar("SELECT id FROM tokens WHERE name = ? AND revoked IS NULL")
        .bind(name.as_str())
        .fetch_optional(&mut **change)
        .await
        .map_err(store.failed("looking for a token in"))
}

async fn must_be_in_force(store: &Store, change: &mut Transaction<'static, Sqlite>, name: &Name) -> app::Result<i64> {
    if let Some(id) = in_force(store, change, name).await? {
        return Ok(id);
    }
    let rows: Vec<(String, Option<i64>)> = sqlx::query_as("SELECT name, revoked FROM tokens ORDER BY id")
        .fetch_all(&mut **change)
        .await
        .map_err(store.failed("looking for a token in"))?;
    let revoked = rows.iter().rev().find_map(|(known, revoked)| (known == name.as_str()).then_some(*revoked)?);
    if let Some(at) = revoked {
        return Err(app::Error::NotFound(format!("token {name} was revoked at {}", Timestamp::from_nanos(at))));
    }
    let known = rows.iter().filter(|(_, revoked)| revoked.is_none()).map(|(known, _)| known);
    let near = known.map(|known| (strsim::osa_distance(name.as_str(), known), known));
    // A third of the letters may be wrong, as with the words of commands.
    let near = near.filter(|(distance, known)| *distance <= known.len().div_ceil(3)).min();
    let hint =
        near.map_or_else(|| "giftledger token list shows them".into(), |(_, near)| format!("did you mean {near}?"));
    Err(app::Error::NotFound(format!("there is no token {name}: {hint}")))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{gate::tests::Bed, roles::Role, terms::tests::terms},
        *,
    };

    #[tokio::test]
    async fn access_names_are_used_once_at_a_time_and_nothing_shows_a_secret() {
        let bed = Bed::new().await;
        let now = bed.now();
        let name: Name = "gifts".parse().unwrap();
        let first = create(&bed.store, &name, &terms(&[Role::Append]), now).await.unwrap();
        let taken = create(&bed.store, &name, &terms(&[Role::Read]), now).await.unwrap_err().to_string();
        assert!(taken.contains("token rotate gifts"), "{taken}");
        let second = rotate(&bed.store, &name, 3_600_000, now).await.unwrap();
        revoke(&bed.store, &name, now).await.unwrap();
        let again = revoke(&bed.store, &name, now).await.unwrap_err().to_string();
        assert!(again.contains("was revoked at"), "{again}");
        let third = create(&bed.store, &name, &terms(&[Role::Read]), now).await.unwrap();
        let listed = list(&bed.store, now).await.unwrap();
        let shown: Vec<_> = listed.iter().map(|token| (token.revoked.is_some(), token.secrets.len())).collect();
        assert_eq!(shown, [(false, 1), (true, 2)]);
        let all = format!("{listed:?} {}", serde_json::to_string(&listed).unwrap());
        let file = std::fs::read(bed.store.path()).unwrap();
        for secret in [first, second, third] {
            assert!(!all.contains(secret.expose()));
            assert!(!file.windows(46).any(|bytes| bytes == secret.expose().as_bytes()));
        }
    }

    #[tokio::test]
    async fn access_to_a_name_that_is_not_there_tells_the_nearest() {
        let bed = Bed::new().await;
        let make = async |name: &str| {
            create(&bed.store, &name.parse().unwrap(), &terms(&[Role::Read]), bed.now()).await.unwrap();
        };
        make("gift-service").await;
        make("console").await;
        for (asked, hint) in [("gift-servcie", "did you mean gift-service?"), ("zzz", "token list shows them")] {
            let said = revoke(&bed.store, &asked.parse().unwrap(), bed.now()).await.unwrap_err().to_string();
            assert!(said.contains(hint), "{said}");
        }
        let past = Terms { expires: Some(bed.now()), ..terms(&[]) };
        create(&bed.store, &"late".parse().unwrap(), &past, bed.now()).await.unwrap_err();
    }
}
