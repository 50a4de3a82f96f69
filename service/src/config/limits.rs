//! What a server lets its clients take. Each is a setting of the same name under `limits`.

use std::time::Duration;

use crate::http::MAX_COMMAND_BYTES;

/// How much, how many, how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; whoever comes behind them is told so.
    pub connections: u64,
    /// Followers of the feed at once; each may have a batch of up to 64 KiB in hand.
    pub followers: u64,
    /// Questions that fold the log at once: each takes a processor and a page of the log at a time.
    pub folds: u64,
    /// How long a question waits for its turn to fold.
    pub fold_wait_ms: u64,
    /// Bytes of the head of a request; so much may each connection make us keep before anybody knows who it is.
    pub head_bytes: u64,
    /// How long the head of a request may take, from its first byte on; for the first one, from the connection on.
    pub head_timeout_ms: u64,
    /// How long a connection may be idle between two requests. Longer than most pools of clients keep one, so that it
    /// is they who close it, and never while they send.
    pub idle_timeout_ms: u64,
    /// How long the body of one command may take, and the time between two pieces of a bulk.
    pub body_timeout_ms: u64,
    /// The slowest that a bulk may come on the whole, behind [`Self::body_timeout_ms`]: a gift a second is faster.
    pub body_bytes_per_s: u64,
    /// How long a client may read nothing of an answer that waits for it.
    pub read_timeout_ms: u64,
    /// How long a TLS handshake may take.
    pub handshake_timeout_ms: u64,
    /// How long what is under way may go on when the server is asked to end.
    pub end_timeout_ms: u64,
    /// Bytes of one command.
    pub command_bytes: u64,
    /// Lines of a bulk.
    pub bulk_lines: u64,
    /// Bytes of a bulk.
    pub bulk_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            followers: 4_096,
            folds: 2,
            fold_wait_ms: 20_000,
            head_bytes: 64 << 10,
            head_timeout_ms: 15_000,
            idle_timeout_ms: 100_000,
            body_timeout_ms: 30_000,
            body_bytes_per_s: 128,
            read_timeout_ms: 90_000,
            handshake_timeout_ms: 10_000,
            end_timeout_ms: 20_000,
            command_bytes: MAX_COMMAND_BYTES,
            bulk_lines: 100_000,
            bulk_bytes: 32 << 20,
        }
    }
}

impl Limits {
    /// [`Self::body_timeout_ms`].
    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    /// How long a client may keep us waiting for so many bytes of a body, all its pauses together.
    pub fn body_time(&self, bytes: u64) -> Duration {
        self.body_timeout() + Duration::from_secs(bytes) / u32::try_from(self.body_bytes_per_s).unwrap_or(u32::MAX)
    }

    /// The files that a server may need: a connection each, and as many for the spools of bulks; the log, the index
    /// and the database take a few hundred.
    pub fn files(&self) -> u64 {
        self.connections + self.connections / 4 + 512
    }
}

/// A limit as a size in memory.
pub fn size(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
