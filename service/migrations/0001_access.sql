-- Who may ask for what, and who was turned away.

CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    -- What the token is and may, as JSON: read and written whole, never asked by its parts.
    terms TEXT NOT NULL,
    created INTEGER NOT NULL, -- times are nanoseconds since 1970
    revoked INTEGER
) STRICT;
CREATE UNIQUE INDEX tokens_in_force ON tokens (name) WHERE revoked IS NULL;

CREATE TABLE secrets (
    sha256 BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    token INTEGER NOT NULL REFERENCES tokens (id),
    last_four TEXT NOT NULL,
    created INTEGER NOT NULL,
    until INTEGER -- replaced by a newer one, it works until then
) STRICT, WITHOUT ROWID;
CREATE INDEX secrets_of_token ON secrets (token);

-- Coins that a token may have made on a day of UTC: taken in blocks before anything is decided, so that
-- a crash leaves too many counted and never too few.
CREATE TABLE daily_coins (
    token INTEGER NOT NULL REFERENCES tokens (id),
    day INTEGER NOT NULL, -- since 1970
    taken INTEGER NOT NULL CHECK (taken >= 0),
    PRIMARY KEY (token, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE refused_attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    token TEXT,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    code TEXT NOT NULL,
    remote TEXT NOT NULL,
    missed INTEGER NOT NULL -- attempts just before it that came too fast to be kept
) STRICT;
