//! The tables of `service.db`, in numbered steps. A step that was released is never edited: add one.

use sqlx::{
    SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::{Error, Result, Store};

/// Each step with what it brings. Numbers only grow.
const STEPS: [(i64, &str, &str); 2] = [
    (1, "access", include_str!("../../migrations/0001_access.sql")),
    (2, "subscriptions", include_str!("../../migrations/0002_subscriptions.sql")),
];

/// The newest step.
pub(super) const KNOWN: i64 = STEPS[STEPS.len() - 1].0;

/// Takes the steps that are missing, all or none, while nobody else does.
pub(super) async fn run(store: &Store) -> Result<()> {
    let steps = STEPS.map(|(number, what, sql)| {
        Migration::new(number, what.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut change = store.begin().await?;
    match Migrator::with_migrations(steps.into()).run(&mut *change).await {
        Ok(()) => change.commit().await.map_err(store.failed("migrating")),
        Err(MigrateError::VersionMissing(found)) => Err(Error::Newer { path: store.path.clone(), found, known: KNOWN }),
        Err(MigrateError::VersionMismatch(number)) => Err(Error::Changed { path: store.path.clone(), number }),
        Err(other) => Err(store.failed("migrating")(sqlx::Error::Migrate(Box::new(other)))),
    }
}
