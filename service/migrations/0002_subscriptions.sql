-- Who follows the log under a name, how far each is, and what could not be delivered.

CREATE TABLE subscriptions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: ack ids name it
    name TEXT NOT NULL UNIQUE,
    -- Filter, beginning and settings, as JSON: read and written whole.
    definition TEXT NOT NULL,
    -- Signs what is pushed, so it is kept as it is.
    secret BLOB CHECK (length(secret) = 32),
    principal TEXT,
    created INTEGER NOT NULL, -- times are nanoseconds since 1970
    cursor TEXT NOT NULL, -- of the feed: everything before it is done or parked
    progress BLOB NOT NULL -- what is done beyond it, see subscriptions/delivery/progress.rs
) STRICT;

CREATE TABLE subscription_parked (
    subscription INTEGER NOT NULL REFERENCES subscriptions (id) ON DELETE CASCADE,
    shard INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    reason TEXT NOT NULL,
    time INTEGER NOT NULL,
    replaying INTEGER NOT NULL CHECK (replaying IN (0, 1)), -- it is being delivered again
    PRIMARY KEY (subscription, shard, sequence)
) STRICT, WITHOUT ROWID;
