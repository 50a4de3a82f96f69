//! The one error of the crate.

use std::io;

use chrono::NaiveDate;
use chrono_tz::Tz;
use schemas::{Currency, GuildId, StreamerId};

/// What projections return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be calculated or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody said in which currency and time zone the books are kept.
    #[error("no entity is published, so there is no currency, time zone or worth of a coin: publish an `entity`")]
    NoEntity,
    /// A unit of the currency that is worth no coins.
    #[error("the published entity says 0 coins per unit of its currency: publish an `entity` with a number above 0")]
    NoCoinsPerUnit,
    /// The days of the tallies are not the days of the books.
    #[error(
        "the tallies were folded by the days of {tallies}, the books of the published entity are kept in {entity}: \
         fold them again in {entity}"
    )]
    OtherZone {
        /// The zone of the tallies.
        tallies: Tz,
        /// The zone of the entity.
        entity: Tz,
    },
    /// A streamer received gifts on a day without a share.
    #[error(
        "no terms say what streamer {streamer} is paid for gifts of {day}: publish `streamer` terms for {streamer}, \
         or for every streamer, from {day} or earlier"
    )]
    NoStreamerShare {
        /// Who received the gifts.
        streamer: StreamerId,
        /// The day of the gifts.
        day: NaiveDate,
    },
    /// A streamer received gifts as a member of a guild that had no share that day.
    #[error(
        "no terms say what guild {guild}, to which streamer {streamer} belonged, is paid for gifts of {day}: publish \
         `guild` terms for {guild} from {day} or earlier"
    )]
    NoGuildShare {
        /// The guild.
        guild: GuildId,
        /// Its member who received the gifts.
        streamer: StreamerId,
        /// The day of the gifts.
        day: NaiveDate,
    },
    /// More than 64 bits of the minor unit.
    #[error("{minor} of the minor unit of {currency} is beyond what an amount of money can be")]
    OutOfRange {
        /// The amount in the minor unit.
        minor: i128,
        /// Its currency.
        currency: Currency,
    },
    /// The journal's destination took no more.
    #[error("writing the journal")]
    Write(#[from] io::Error),
}
