//! The vocabulary of Giftledger: what callers may say ([`Command`]), what has happened ([`Event`]),
//! why something was refused ([`Rejection`]) and the [`Record`] that keeps either for ever.
//!
//! Nothing here decides anything. A type checks its own limits when it is built or read, so whoever
//! holds one need not check again.

mod account;
mod chain;
mod command;
mod encoding;
mod envelope;
mod event;
mod ids;
mod json;
mod malformed;
mod members;
mod money;
mod names;
mod order;
mod record;
mod reference;
mod rejection;
mod shares;
mod subject;
mod sum;
mod text;
mod time;

pub use account::{Account, Asset, Posting, Purpose};
pub use chain::{BLOCK_RECORDS, Chain, Hash};
pub use command::{
    Capture, Chargeback, Combo, Command, Credit, ExpireHold, ExpireLot, Gift, GiveBack, Grant, HandOver, Hold,
    MAX_CHANGES_A_PART, MAX_GROUP, MAX_RECIPIENTS, OrderRef, Publish, Query, Recipient, Refund, Reinstate, Release,
    RollBackRefund, Send, TakeBack, TakeReference, TopUp, Unresolved,
};
pub use encoding::{DecodeError, Digest, MAX_RECORD_BYTES, decode_record, encode_record, encoded_len, is_canonical};
pub use envelope::{Client, Envelope};
pub use event::{
    Captured, ChargebackClaimed, ChargebackRemembered, ChargedBack, Dispatch, Event, GiftGiven, Granted, Held,
    LotExpired, OrderStep, ReferencePublished, ReferenceTaken, RefundRolledBack, Refunded, ReinstateClaimed,
    ReinstateRemembered, Reinstated, Released, Returned, TopUpClaimed, TopUpCredited, TopUpReversed, Unlapsed,
};
pub use ids::{
    ActivityId, ActorId, ChannelId, CommandId, GuildId, Id, IdError, ItemId, LotId, MAX_ID_BYTES, OrderId, ProviderId,
    ReasonCode, RoomId, Shard, Source, StreamerId, TransactionId, UserId,
};
pub use json::{Unread, json_schemas, read_json, schema_settings};
pub use malformed::{Malformed, nearest};
pub use money::{Coins, Currency, Money, MoneyError, Share, split_by_largest_remainder};
pub use names::{OrderName, PartName};
pub use order::{Lot, LotKind, Lots, Order, OrderKind, Status, coins_of, paid_of};
pub use record::{Body, Key, Moved, Origin, OriginKind, Record};
pub use reference::{Change, Entity, GiftItem, GuildTerms, Membership, StreamerTerms, Zone};
pub use rejection::Rejection;
pub use shares::{CoinsChange, FirstShare, ShareHeld, ShareMoved, held_shares, shares_between};
pub use subject::Subject;
pub use sum::{deserialize_sum, serialize_sum};
pub use text::{visible, visible_lines, write_json};
pub use time::{Month, TimeError, Timestamp, parse_zone};
