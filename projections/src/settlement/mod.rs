//! The arithmetic of the month-end, restricted to shares and guilds: a pure function of the tallies
//! and the reference data.
//!
//! A streamer is paid a share of the paid base of the gifts booked in the month, and so is the guild
//! to which the streamer belonged on the day of the gift; the terms are those of that day too. A
//! refund of a gift of an earlier month is a negative base, and may make a line negative. Whatever
//! nobody is paid for stays with the platform: its part, the house's gifts, and what rounding leaves.

mod arithmetic;
mod debts;

use std::collections::BTreeMap;

use chrono_tz::Tz;
use schemars::JsonSchema;
use schemas::{Currency, Entity, GuildId, Hash, Money, Month, Share, StreamerId};
use serde::{Deserialize, Serialize};

use crate::{Error, InForce, Result, Tallies};
use arithmetic::{Kept, sum_of};
pub use arithmetic::{claw_back_candidate, share_towards_zero, worth_floor};
pub use debts::{Debt, Debts};

/// What a month pays, by the records and terms that it was calculated from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Payout {
    /// The month.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "Month")]
    pub month: Month,
    /// Whose months.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "String")]
    pub zone: Tz,
    /// What is paid out in.
    pub currency: Currency,
    /// How many coins are worth one unit of it.
    pub coins_per_unit: u32,
    /// The newest version of the reference data that held when it was calculated.
    pub reference_version: u64,
    /// By streamer and share.
    pub streamers: Vec<StreamerLine>,
    /// By guild and share.
    pub guilds: Vec<GuildLine>,
    /// The gifts that name no streamer.
    pub house: House,
    /// What stays: the worth of the base less all lines, so the house's gifts too.
    pub platform: Money,
    /// That it ties.
    pub check: Check,
}

/// What a streamer is paid. One who had two shares in the month has two lines; one without a base has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct StreamerLine {
    /// Who.
    pub streamer: StreamerId,
    /// Coins that pay out; negative where more was refunded than given.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "String")]
    pub base: i128,
    /// The streamer's share of it.
    pub share: Share,
    /// base ÷ coins per unit × share, to the minor unit towards zero.
    pub amount: Money,
}

/// What a guild is paid. One that had two shares in the month has two lines; one without a base has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, Deserialize)]
pub struct GuildLine {
    /// Which.
    pub guild: GuildId,
    /// Coins that pay out, of its streamers; negative where more was refunded than given.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "String")]
    pub base: i128,
    /// The guild's share of it.
    pub share: Share,
    /// base ÷ coins per unit × share, to the minor unit towards zero.
    pub amount: Money,
}

/// The gifts that name no streamer, which nobody is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "HouseLine")]
pub struct House {
    /// Coins that would pay out.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "String")]
    pub base: i128,
    /// Their worth, to the minor unit downwards; part of what stays with the platform.
    pub worth: Money,
}

/// The check line: streamers + guilds + platform = worth. The platform's part is summed up from what
/// each line leaves, the worth is taken from the whole base at once, so a gift that got lost on the
/// way to the lines shows as a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SettlementCheck")]
pub struct Check {
    /// All coins that pay out in the month, the house's included.
    #[serde(serialize_with = "schemas::serialize_sum", deserialize_with = "schemas::deserialize_sum")]
    #[schemars(with = "String")]
    pub base: i128,
    /// Their worth, to the minor unit downwards.
    pub worth: Money,
    /// The sum of the streamers' lines.
    pub streamers: Money,
    /// The sum of the guilds' lines.
    pub guilds: Money,
    /// What stays.
    pub platform: Money,
    /// worth − streamers − guilds − platform: zero, or the calculation is broken.
    pub difference: Money,
}

impl Check {
    /// Whether there is no difference.
    pub fn ties(&self) -> bool {
        self.difference.minor() == 0
    }
}

impl Payout {
    /// BLAKE3 of the canonical JSON: what an approval is bound to.
    pub fn digest(&self) -> Hash {
        Hash(*blake3::hash(self.canonical_json().as_bytes()).as_bytes())
    }

    /// The one JSON text of this payout: no spaces, fields and lines in the order of the type, amounts
    /// at the scale of their currency.
    ///
    /// # Panics
    /// Never: nothing in it is beyond JSON.
    pub fn canonical_json(&self) -> String {
        serde_json::to_string(self).expect("a payout holds nothing that JSON cannot say")
    }
}

/// Calculates what `month` pays, by the terms that are in force when it is calculated.
///
/// # Errors
/// If something that has to be published is not, or an amount is beyond what [`Money`] holds.
///
/// # Panics
/// If it does not tie, which would be a bug that must not pay anyone.
pub fn payout(month: Month, tallies: &Tallies, reference: &InForce) -> Result<Payout> {
    let entity = *reference.entity().ok_or(Error::NoEntity)?;
    if entity.coins_per_unit == 0 {
        return Err(Error::NoCoinsPerUnit);
    }
    if entity.zone.0 != tallies.zone() {
        return Err(Error::OtherZone { tallies: tallies.zone(), entity: entity.zone.0 });
    }
    let bases = Bases::of(month, tallies, reference)?;
    let currency = entity.currency;
    let mut kept = bases.kept;
    let mut streamers = Vec::with_capacity(bases.streamers.len());
    for ((streamer, share), base) in bases.streamers.into_iter().filter(|(_, base)| *base != 0) {
        let amount = share_towards_zero(base, share, entity)?;
        kept.line(base, share, amount);
        streamers.push(StreamerLine { streamer, base, share, amount });
    }
    let mut guilds = Vec::with_capacity(bases.guilds.len());
    for ((guild, share), base) in bases.guilds.into_iter().filter(|(_, base)| *base != 0) {
        let amount = share_towards_zero(base, share, entity)?;
        kept.line(base, share, amount);
        guilds.push(GuildLine { guild, base, share, amount });
    }
    let house = House { base: bases.house, worth: worth_floor(bases.house, entity)? };
    let platform = kept.floor(entity)?;
    let check = check(
        tallies.month(month).map(|line| line.tally.base).sum(),
        sum_of(currency, streamers.iter().map(|line| line.amount))?,
        sum_of(currency, guilds.iter().map(|line| line.amount))?,
        platform,
        entity,
    )?;
    assert!(check.ties(), "the payout of {month} does not tie: {check:?}");
    Ok(Payout {
        month,
        zone: entity.zone.0,
        currency,
        coins_per_unit: entity.coins_per_unit,
        reference_version: reference.version(),
        streamers,
        guilds,
        house,
        platform,
        check,
    })
}

fn check(base: i128, streamers: Money, guilds: Money, platform: Money, entity: Entity) -> Result<Check> {
    let worth = worth_floor(base, entity)?;
    let less = [streamers, guilds, platform].map(|part| -i128::from(part.minor()));
    let difference = arithmetic::money(i128::from(worth.minor()) + less.iter().sum::<i128>(), entity.currency)?;
    Ok(Check { base, worth, streamers, guilds, platform, difference })
}

/// The month's bases by what they are paid at.
#[derive(Default)]
struct Bases {
    streamers: BTreeMap<(StreamerId, Share), i128>,
    guilds: BTreeMap<(GuildId, Share), i128>,
    house: i128,
    kept: Kept,
}

impl Bases {
    fn of(month: Month, tallies: &Tallies, reference: &InForce) -> Result<Self> {
        let mut by_day: BTreeMap<_, i128> = BTreeMap::new();
        for line in tallies.month(month) {
            *by_day.entry((line.streamer, line.given)).or_default() += line.tally.base;
        }
        let mut bases = Self::default();
        for ((streamer, day), base) in by_day {
            if base == 0 {
                continue; // only bonus coins, or all refunded: no terms are needed
            }
            if streamer.is_house() {
                bases.house += base;
                bases.kept.whole(base);
                continue;
            }
            let share = reference.streamer_share(&streamer, day);
            let share = share.ok_or_else(|| Error::NoStreamerShare { streamer: streamer.clone(), day })?;
            let guild = match reference.guild_of(&streamer, day) {
                None => None,
                Some(guild) => match reference.guild_share(guild, day) {
                    Some(share) => Some((guild.clone(), share)),
                    None => return Err(Error::NoGuildShare { guild: guild.clone(), streamer, day }),
                },
            };
            bases.kept.rest(base, share, guild.as_ref().map(|(_, share)| *share));
            if let Some(key) = guild {
                *bases.guilds.entry(key).or_default() += base;
            }
            *bases.streamers.entry((streamer, share)).or_default() += base;
        }
        Ok(bases)
    }
}

#[cfg(test)]
mod tests;
