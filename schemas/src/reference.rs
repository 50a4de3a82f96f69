//! Reference data: what the catalogue sells and under which terms earnings are paid. Every change
//! is part of a numbered version on the log, so every price and rate has a history.

use chrono::NaiveDate;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Coins, Currency, GuildId, ItemId, Share, StreamerId, Timestamp, ids::TextVisitor, time};

/// One change of the reference data. Each replaces what held before for the same key from its time on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A gift is sold at these conditions.
    Item(GiftItem),
    /// A gift is no longer sold.
    WithdrawItem(ItemId),
    /// The books: currency, time zone, worth of a coin.
    Entity(Entity),
    /// What a streamer is paid.
    Streamer(StreamerTerms),
    /// What a guild is paid.
    Guild(GuildTerms),
    /// Which guild a streamer belongs to.
    Membership(Membership),
}

impl Change {
    /// The entity, where it sets one.
    pub const fn entity(&self) -> Option<Entity> {
        match self {
            Self::Entity(entity) => Some(*entity),
            Self::Item(_) | Self::WithdrawItem(_) | Self::Streamer(_) | Self::Guild(_) | Self::Membership(_) => None,
        }
    }

    /// Whether a decision reads it, so that every shard holds it; the rest stays with the reference.
    pub const fn is_read_by_decisions(&self) -> bool {
        matches!(self, Self::Item(_) | Self::WithdrawItem(_))
    }

    /// Which piece of the reference data it is about, in words. Two changes of one piece contradict each other.
    pub fn title(&self) -> String {
        match self {
            Self::Item(GiftItem { item, .. }) | Self::WithdrawItem(item) => format!("item {item}"),
            Self::Entity(_) => "entity".to_owned(),
            Self::Streamer(StreamerTerms { streamer: Some(streamer), from, .. }) => {
                format!("streamer {streamer} from {from}")
            }
            Self::Streamer(StreamerTerms { streamer: None, from, .. }) => format!("every other streamer from {from}"),
            Self::Guild(terms) => format!("guild {} from {}", terms.guild, terms.from),
            Self::Membership(one) => format!("membership of streamer {} from {}", one.streamer, one.from),
        }
    }
}

/// A gift of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GiftItem {
    /// Its id.
    pub item: ItemId,
    /// What one costs the payer.
    #[schemars(extend("minimum" = 1))]
    pub price: Coins,
    /// What one is worth to the recipient; the price where absent in a file.
    pub value: Coins,
    /// On sale from; at once where absent.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// On sale until; without an end where absent.
    #[serde(default)]
    pub until: Option<Timestamp>,
}

/// The legal entity whose books these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// What it pays out in.
    pub currency: Currency,
    /// Where its days and months begin.
    pub zone: Zone,
    /// How many coins one unit of the currency is worth in a settlement: 100 coins = ¥1.
    #[schemars(range(min = 1))]
    pub coins_per_unit: u32,
}

/// A streamer's contract from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamerTerms {
    /// Whose; every streamer without terms of their own where absent.
    #[schemars(extend("not" = {"const": "house"}))]
    pub streamer: Option<StreamerId>,
    /// The streamer's share of the paid base.
    pub share: Share,
    /// From which day of the entity's zone on, by the time of the gift.
    #[serde(deserialize_with = "time::read_day")]
    #[schemars(schema_with = "time::day_schema")]
    pub from: NaiveDate,
}

/// A guild's contract from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuildTerms {
    /// Which guild.
    pub guild: GuildId,
    /// The guild's share of the paid base of its streamers.
    pub share: Share,
    /// From which day of the entity's zone on, by the time of the gift.
    #[serde(deserialize_with = "time::read_day")]
    #[schemars(schema_with = "time::day_schema")]
    pub from: NaiveDate,
}

/// A streamer's guild from a day on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Who.
    #[schemars(extend("not" = {"const": "house"}))]
    pub streamer: StreamerId,
    /// Which guild; none where absent.
    pub guild: Option<GuildId>,
    /// From which day of the entity's zone on, by the time of the gift.
    #[serde(deserialize_with = "time::read_day")]
    #[schemars(schema_with = "time::day_schema")]
    pub from: NaiveDate,
}

/// A time zone of the tz database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(pub Tz);

impl Serialize for Zone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}
impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}
impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor {
            expected: "a time zone of the tz database such as Asia/Shanghai",
            parse: |text: &str| time::parse_zone(text).map(Self),
        })
    }
}
impl JsonSchema for Zone {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Zone".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "A name of the tz database, such as Asia/Shanghai."})
    }
}
