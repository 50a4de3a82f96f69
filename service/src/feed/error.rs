//! Why the feed does not give what was asked for.

use schemas::Shard;
use uuid::Uuid;

use super::Position;

/// What the feed returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the feed does not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text that is no cursor: 400.
    #[error(
        "{found} is not a cursor: {what}. Allowed are a cursor that this feed gave, start (or 0) and now (or head)"
    )]
    NotACursor {
        /// The text, as far as it is worth showing.
        found: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A cursor of another ledger, or of this one before its end was cut: 410.
    #[error(
        "the cursor is of lineage {found}, this ledger is {own}: {}. Begin again, with start or now",
        if *former { "it was called so before its end was cut, and what came behind that is no longer so" }
        else { "another ledger" }
    )]
    OtherLineage {
        /// The cursor's.
        found: Uuid,
        /// The ledger's.
        own: Uuid,
        /// Whether the ledger had it before.
        former: bool,
    },
    /// A cursor that names another number of shards: 400.
    #[error("the cursor names {found} shards, this ledger has {own}")]
    OtherShards {
        /// The cursor's.
        found: usize,
        /// The ledger's.
        own: usize,
    },
    /// A cursor behind records that are not on the log: 410.
    #[error(
        "the cursor stands behind record {shard}-{sequence}, and shard {shard} ends with {head}: it comes from a log \
         that went further than this one"
    )]
    AheadOfLog {
        /// The first such shard.
        shard: Shard,
        /// The cursor's sequence.
        sequence: u64,
        /// The log's.
        head: u64,
    },
    /// A filter with a value that nothing can match: 400.
    #[error("{name}: {what}")]
    Filter {
        /// The filter: `kind`, `account`, `user`, `subject`, `shards`.
        name: &'static str,
        /// What was found, and what is allowed.
        what: String,
    },
    /// A text that names no record: 400.
    #[error("{found} is not a position: one is <shard>-<sequence>, such as 3-17")]
    NotAPosition {
        /// The text.
        found: String,
    },
    /// A position in a shard that there is not: 400.
    #[error("there is no shard {shard}: this ledger has 0 to {}", shards - 1)]
    NoShard {
        /// The shard.
        shard: Shard,
        /// How many there are.
        shards: Shard,
    },
    /// A record did not become durable in the time that somebody would wait: 503.
    #[error("record {position} is not there yet: shard {} has come to {reached}", position.shard)]
    Behind {
        /// The record.
        position: Position,
        /// The shard's newest sequence.
        reached: u64,
    },
    /// As many follow as may: 429.
    #[error("{most} followers are connected, and no more may be")]
    TooMany {
        /// The limit.
        most: usize,
    },
    /// The feed ends with its server: 503. The last batch's cursor resumes.
    #[error("the feed is stopping; go on from the last cursor")]
    Stopping,
    /// The log cannot be read: 500.
    #[error(transparent)]
    Log(#[from] ledger::Error),
}
