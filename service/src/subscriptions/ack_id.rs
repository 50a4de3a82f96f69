//! What an entry is acked by: base64url of postcard of the subscription's number, that of the handing out, shard and
//! sequence. To consumers it is opaque. It is no secret: who may ack may ack anything.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use schemas::Shard;

use crate::feed::Position;

/// Longer than any.
const MOST_LETTERS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AckId {
    pub subscription: i64,
    pub number: u64,
    pub position: Position,
}

impl AckId {
    /// The entry and the handing out that a text names, if it is one of a subscription.
    pub fn place(text: &str, subscription: i64) -> Option<(Position, u64)> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok().filter(|_| text.len() <= MOST_LETTERS)?;
        let (of, number, shard, sequence): (i64, u64, Shard, u64) = postcard::from_bytes(&bytes).ok()?;
        (of == subscription).then_some((Position { shard, sequence }, number))
    }
}

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subscription, number, position } = self;
        let bytes = postcard::to_stdvec(&(subscription, number, position.shard, position.sequence));
        BASE64URL_NOPAD.encode_display(&bytes.expect("numbers have a form")).fmt(f)
    }
}
