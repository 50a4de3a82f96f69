//! Accounts, assets and postings.
//!
//! One sign for all of them: **plus is what the platform owes to the account's holder, minus is
//! what the account has put in or owes.** So a user's coins are plus, and what a channel still has to pay out to the
//! platform is minus; in books, plus is a credit and minus a debit. Every record's postings sum to
//! zero per asset.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{ChannelId, Currency, OrderId, ProviderId, Shard, StreamerId, UserId, ids::TextVisitor};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asset {
    /// Coins, in whole ones.
    Coin,
    /// A currency, in its minor unit.
    Currency(Currency),
}

/// Who or what holds an asset. Text form: `user:<id>`, `held:<order>`, `streamer:<id>:turnover`,
/// `provider:<id>:payable`, `channel:<id>:receivable`, `platform:<purpose>`,
/// `transit:<source>:<target>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// A user's wallet, less the user's debt.
    User(UserId),
    /// Coins held for a game order.
    Held(OrderId),
    /// Recipient value of gifts.
    StreamerTurnover(StreamerId),
    /// What a provider has earned.
    ProviderPayable(ProviderId),
    /// What a channel has taken and not paid out.
    ChannelReceivable(ChannelId),
    /// The platform's own.
    Platform(Purpose),
    /// Coins between two shards.
    Transit {
        /// From.
        source: Shard,
        /// To.
        target: Shard,
    },
}

/// What an account of the platform is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Coins issued against payments.
    Issued,
    /// Payments taken for coins.
    Sales,
    /// Bonus coins given.
    Grants,
    /// Bonus coins that lapsed.
    Expired,
    /// The difference between what gifts cost and what they credit.
    Gifts,
}

/// One line of a record's postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Where.
    pub account: Account,
    /// What.
    pub asset: Asset,
    /// How much, in coins or the minor unit; see the module for the sign.
    pub amount: i64,
}

impl Asset {
    /// Its decimals.
    pub fn scale(self) -> u32 {
        match self {
            Self::Coin => 0,
            Self::Currency(currency) => currency.scale(),
        }
    }

    /// An amount of it as text: `1200`, `-12.34`.
    pub fn show(self, amount: i128) -> String {
        let sign = if amount < 0 { "-" } else { "" };
        let unit = 10_u128.pow(self.scale());
        let (whole, minor) = (amount.unsigned_abs() / unit, amount.unsigned_abs() % unit);
        match self.scale() {
            0 => format!("{sign}{whole}"),
            scale => format!("{sign}{whole}.{minor:0width$}", width = usize::try_from(scale).unwrap_or(0)),
        }
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coin => f.pad("coin"),
            Self::Currency(currency) => f.pad(currency.code()),
        }
    }
}

impl Purpose {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Issued, "issued"),
        (Self::Sales, "sales"),
        (Self::Grants, "grants"),
        (Self::Expired, "expired"),
        (Self::Gifts, "gifts"),
    ];
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = Self::ALL.iter().find(|(purpose, _)| purpose == self).expect("every purpose is listed");
        f.write_str(name)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => write!(f, "user:{user}"),
            Self::Held(order) => write!(f, "held:{order}"),
            Self::StreamerTurnover(streamer) => write!(f, "streamer:{streamer}:turnover"),
            Self::ProviderPayable(provider) => write!(f, "provider:{provider}:payable"),
            Self::ChannelReceivable(channel) => write!(f, "channel:{channel}:receivable"),
            Self::Platform(purpose) => write!(f, "platform:{purpose}"),
            Self::Transit { source, target } => write!(f, "transit:{source}:{target}"),
        }
    }
}

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let parsed = match parts[..] {
            ["user", user] => user.parse().ok().map(Self::User),
            ["held", order] => order.parse().ok().map(Self::Held),
            ["streamer", streamer, "turnover"] => streamer.parse().ok().map(Self::StreamerTurnover),
            ["provider", provider, "payable"] => provider.parse().ok().map(Self::ProviderPayable),
            ["channel", channel, "receivable"] => channel.parse().ok().map(Self::ChannelReceivable),
            ["platform", purpose] => {
                Purpose::ALL.iter().find(|(_, name)| *name == purpose).map(|(purpose, _)| Self::Platform(*purpose))
            }
            ["transit", source, target] => match (source.parse(), target.parse()) {
                (Ok(source), Ok(target)) => Some(Self::Transit { source, target }),
                _ => None,
            },
            _ => None,
        };
        parsed.ok_or_else(|| {
            format!(
                "{text:?} is not an account: user:<id>, held:<order>, streamer:<id>:turnover, \
                 provider:<id>:payable, channel:<id>:receivable, platform:<issued|sales|grants|expired|gifts> \
                 or transit:<source>:<target>"
            )
        })
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor { expected: "an account such as user:<id>", parse: str::parse })
    }
}

impl JsonSchema for Account {
    fn schema_name() -> Cow<'static, str> {
        "Account".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(user|held|streamer|provider|channel|platform|transit):[^\\s]+$",
            "description": "An account: user:<id>, held:<order>, streamer:<id>:turnover, provider:<id>:payable, \
                            channel:<id>:receivable, platform:<purpose> or transit:<shard>:<shard>.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_read_as_they_print() {
        for text in [
            "user:u1",
            "held:3-17",
            "streamer:house:turnover",
            "provider:p:payable",
            "channel:apple:receivable",
            "platform:issued",
            "platform:gifts",
            "transit:0:15",
        ] {
            assert_eq!(text.parse::<Account>().unwrap().to_string(), text);
        }
        for bad in ["", "user", "user:", "user:a:b", "streamer:s", "platform:else", "transit:0", "held:x"] {
            assert!(bad.parse::<Account>().is_err(), "{bad:?} was read as an account");
        }
    }

    #[test]
    fn amounts_show_at_the_scale_of_their_asset() {
        assert_eq!(Asset::Coin.show(1200), "1200");
        assert_eq!(Asset::Currency("USD".parse().unwrap()).show(-1234), "-12.34");
        assert_eq!(Asset::Currency("JPY".parse().unwrap()).show(1234), "1234");
    }
}
