//! What the recipients of a gift hold of it.
//!
//! A gift begins with shares of its value ([`FirstShare`]). What each recipient holds at any later time is
//! a function of those, of how much of the charge is left and of how much of that is paid ([`held_shares`]),
//! by whatever path of refunds and roll-backs it came there:
//!
//! - the values left go by Webster's method (Sainte-Laguë) on the first shares, ties to the last named: a
//!   divisor method, so no value rises with a refund or falls with a roll-back, and all of the value gives
//!   the first shares again;
//! - the paid base left goes by largest remainder over the values left, ties to the first named: so each base
//!   is at most its value. A single base may rise by a coin with a refund.
//!
//! Source: Balinski and Young, *Fair Representation*, on divisor methods and their monotony.

use std::cmp::Ordering;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use crate::{Coins, MoneyError, StreamerId, split_by_largest_remainder};

/// One recipient's part of a gift's value when it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstShare {
    /// The recipient.
    pub streamer: StreamerId,
    /// In coins of recipient value.
    pub value: Coins,
}

/// What one recipient holds of a gift's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareHeld {
    /// The recipient.
    pub streamer: StreamerId,
    /// In coins of recipient value.
    pub value: Coins,
    /// What of it pays out: their part of the paid base.
    pub base: Coins,
}

/// What a refund took of one recipient's share, or its roll-back gave of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareMoved {
    /// The recipient.
    pub streamer: StreamerId,
    /// Of the recipient value.
    pub value: Coins,
    /// Of the base. Below zero where rounding moves a coin the other way.
    pub base: CoinsChange,
}

/// A difference of two amounts of coins: −(2^53 − 1) to 2^53 − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CoinsChange(i64);

impl CoinsChange {
    /// What there is `after` and was not `before`.
    pub fn between(before: Coins, after: Coins) -> Self {
        Self(i64::try_from(after.signed() - before.signed()).expect("two amounts below 2^53"))
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// As a posting's amount.
    pub fn signed(self) -> i128 {
        i128::from(self.0)
    }
}

impl TryFrom<i64> for CoinsChange {
    type Error = MoneyError;

    fn try_from(change: i64) -> Result<Self, MoneyError> {
        Coins::new(change.unsigned_abs()).map(|_| Self(change))
    }
}

impl Serialize for CoinsChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}
impl<'de> Deserialize<'de> for CoinsChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
impl JsonSchema for CoinsChange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CoinsChange".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let most = Coins::MAX.get();
        json_schema!({
            "type": "integer",
            "minimum": -i64::try_from(most).expect("below 2^53"),
            "maximum": most,
            "description": "A difference of two amounts of coins.",
        })
    }
}

/// What each recipient of a gift holds when `value_left` of its value and `base_left` of its base are left.
pub fn held_shares(first: &[FirstShare], value_left: Coins, base_left: Coins) -> SmallVec<[ShareHeld; 1]> {
    if let [only] = first {
        return SmallVec::from_buf([ShareHeld { streamer: only.streamer.clone(), value: value_left, base: base_left }]);
    }
    let firsts: Vec<Coins> = first.iter().map(|share| share.value).collect();
    let values = by_webster(value_left, &firsts);
    let weights: Vec<u64> = values.iter().map(|value| value.get()).collect();
    let bases = split_by_largest_remainder(base_left, &weights);
    let each = first.iter().zip(values).zip(bases);
    each.map(|((first, value), base)| ShareHeld { streamer: first.streamer.clone(), value, base }).collect()
}

/// What the shares changed by from `less` to `more`, which name the same recipients in the same order.
pub fn shares_between(less: &[ShareHeld], more: &[ShareHeld]) -> SmallVec<[ShareMoved; 1]> {
    let between = |(less, more): (&ShareHeld, &ShareHeld)| ShareMoved {
        streamer: more.streamer.clone(),
        value: more.value.minus(less.value).expect("no value rises with a refund or falls with a roll-back"),
        base: CoinsChange::between(less.base, more.base),
    };
    less.iter().zip(more).map(between).collect()
}

/// Splits `total`, at most the sum of `first`, by Webster's method: of all claims `first[i] ÷ (2k − 1)` for the
/// k-th coin of the i-th recipient the largest `total` get one, of equal ones the last named first.
fn by_webster(total: Coins, first: &[Coins]) -> Vec<Coins> {
    let sum: u128 = first.iter().map(|value| u128::from(value.get())).sum();
    let total = u128::from(total.get());
    assert!(total <= sum, "{total} coins are left of {sum}");
    if total == 0 {
        return vec![Coins::ZERO; first.len()];
    }
    // All claims above sum ÷ 2·total, which are the largest so many: the exact part, a half rounded down.
    let weight = |i: usize| u128::from(first[i].get());
    let mut coins: Vec<u128> =
        (0..first.len()).map(|i| (2 * weight(i) * total).saturating_sub(sum).div_ceil(2 * sum)).collect();
    // Compares the claim of i for its coin number `k(i)` with that of j: the larger, or the later named, wins.
    let order = |i: usize, j: usize, k: &dyn Fn(usize) -> u128| -> Ordering {
        (weight(i) * (2 * k(j) - 1)).cmp(&(weight(j) * (2 * k(i) - 1))).then(i.cmp(&j))
    };
    // At most half a coin a recipient is off, so these loops end after at most as many rounds.
    while coins.iter().sum::<u128>() < total {
        let next = |i: usize| coins[i] + 1;
        let best = (0..first.len()).max_by(|&i, &j| order(i, j, &next)).expect("a gift has a recipient");
        coins[best] += 1;
    }
    while coins.iter().sum::<u128>() > total {
        let last = |i: usize| coins[i];
        let held = (0..first.len()).filter(|&i| coins[i] > 0);
        let worst = held.min_by(|&i, &j| order(i, j, &last)).expect("more than the total is held");
        coins[worst] -= 1;
    }
    let coin = |coins: u128| u64::try_from(coins).ok().and_then(|coins| Coins::new(coins).ok());
    coins.into_iter().map(|coins| coin(coins).expect("a part is at most the total")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn coins(coins: &[u64]) -> Vec<Coins> {
        coins.iter().map(|&coins| Coins::new(coins).unwrap()).collect()
    }

    fn webster(total: u64, first: &[u64]) -> Vec<u64> {
        by_webster(Coins::new(total).unwrap(), &coins(first)).iter().map(|part| part.get()).collect()
    }

    /// One coin after the other to the largest claim.
    fn coin_by_coin(total: u64, first: &[u64]) -> Vec<u64> {
        let mut parts = vec![0_u64; first.len()];
        for _ in 0..total {
            let mut best = 0;
            for i in 1..first.len() {
                // first[i] ÷ (2·parts[i] + 1), not below that of the best so far.
                if first[i] * (2 * parts[best] + 1) >= first[best] * (2 * parts[i] + 1) {
                    best = i;
                }
            }
            parts[best] += 1;
        }
        parts
    }

    #[test]
    fn values_of_the_domain() {
        assert_eq!(webster(3, &[2, 2, 0]), [1, 2, 0]);
        assert_eq!(webster(2, &[2, 1, 1]), [1, 0, 1]);
        assert_eq!(webster(100, &[90, 10, 0]), [90, 10, 0]);
        let most = Coins::MAX.get();
        assert_eq!(webster(most - 1, &[most - 2, 1, 1]), [most - 3, 1, 1]);
    }

    #[test]
    fn bases_of_the_domain() {
        let streamers = ["a", "b", "c"].map(|name| name.parse::<StreamerId>().unwrap());
        let first: Vec<FirstShare> = streamers
            .iter()
            .zip(coins(&[2, 1, 1]))
            .map(|(s, value)| FirstShare { streamer: s.clone(), value })
            .collect();
        let held = held_shares(&first, Coins::new(2).unwrap(), Coins::new(1).unwrap());
        let shown: Vec<(u64, u64)> = held.iter().map(|share| (share.value.get(), share.base.get())).collect();
        assert_eq!(shown, [(1, 1), (0, 0), (1, 0)]);
    }

    proptest! {
        #[test]
        fn it_is_one_coin_after_the_other(first in prop::collection::vec(0_u64..40, 1..9), part in 0_u64..=100) {
            let sum: u64 = first.iter().sum();
            let total = sum * part / 100;
            prop_assume!(total > 0);
            prop_assert_eq!(webster(total, &first), coin_by_coin(total, &first));
        }

        #[test]
        fn no_part_rises_as_less_is_left(first in prop::collection::vec(0_u64..1 << 46, 2..65), part in 1_u64..=1 << 20) {
            let sum: u64 = first.iter().sum();
            prop_assume!(sum > 0);
            let total = u64::try_from((u128::from(sum) * u128::from(part)) >> 20).unwrap().max(1);
            let (more, less) = (webster(total, &first), webster(total - 1, &first));
            prop_assert_eq!(more.iter().sum::<u64>(), total);
            prop_assert!(less.iter().zip(&more).all(|(less, more)| less <= more));
            prop_assert!(more.iter().zip(&first).all(|(more, first)| more <= first));
        }
    }
}
