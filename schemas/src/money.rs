//! Amounts. [`Coins`] are integers, [`Money`] is exact in the minor unit of its currency; both
//! check every operation, and wherever a division happens its rounding is in the function's name.

use std::{borrow::Cow, fmt, str::FromStr};

use rust_decimal::Decimal;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::TextVisitor;

/// A number of coins, from 0 to 2^53 − 1 (so that every JSON reader holds it exactly).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Coins(u64);

/// Why an amount cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// More than 2^53 − 1 coins.
    #[error("{0} coins are more than 9007199254740991, the most an amount can be")]
    TooManyCoins(u128),
    /// Fewer than no coins.
    #[error("an amount of coins would be negative: {0} less {1}")]
    NegativeCoins(u64, u64),
    /// Not a code of ISO 4217.
    #[error("{0:?} is not a currency code of ISO 4217")]
    Currency(String),
    /// Not a decimal number.
    #[error("{0:?} is not a decimal amount such as 12.34")]
    Amount(String),
    /// More decimals than the currency has.
    #[error("{amount} has more decimals than {currency}, which has {scale}")]
    Scale {
        /// The amount as given.
        amount: Decimal,
        /// Its currency.
        currency: Currency,
        /// The decimals that the currency has.
        scale: u32,
    },
    /// Beyond 64 bits of the minor unit.
    #[error("{0} is beyond what an amount of money can be")]
    OutOfRange(Decimal),
    /// Two currencies in one sum.
    #[error("{0} and {1} cannot be added")]
    TwoCurrencies(Currency, Currency),
    /// A share outside 0 to 1, or finer than a millionth.
    #[error("{0:?} is not a share from 0 to 1 with at most 6 decimals, such as 0.45")]
    Share(String),
}

impl Coins {
    /// No coins.
    pub const ZERO: Self = Self(0);
    /// 2^53 − 1 coins.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// Checks the upper limit.
    pub fn new(coins: u64) -> Result<Self, MoneyError> {
        if coins > Self::MAX.0 { Err(MoneyError::TooManyCoins(coins.into())) } else { Ok(Self(coins)) }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether there are none.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or an error beyond the limit.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        Self::new(self.0 + other.0)
    }

    /// The difference, or an error below zero.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::NegativeCoins(self.0, other.0))
    }

    /// What is left after taking `other`, or nothing.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `quantity` times as many.
    pub fn times(self, quantity: u64) -> Result<Self, MoneyError> {
        let product = u128::from(self.0) * u128::from(quantity);
        u64::try_from(product).ok().filter(|&p| p <= Self::MAX.0).map(Self).ok_or(MoneyError::TooManyCoins(product))
    }

    /// floor(self × part ÷ whole): the share of these coins that `part` is of `whole`, where
    /// `part ≤ whole`. Nothing of a whole of zero.
    #[must_use]
    pub fn portion_floor(self, part: Self, whole: Self) -> Self {
        assert!(part <= whole, "a portion of {part} of {whole}");
        if whole.is_zero() {
            return Self::ZERO;
        }
        let portion = u128::from(self.0) * u128::from(part.0) / u128::from(whole.0);
        Self(u64::try_from(portion).expect("a portion is at most the whole"))
    }

    /// As a posting's amount.
    pub fn signed(self) -> i128 {
        i128::from(self.0)
    }
}

impl fmt::Debug for Coins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
impl fmt::Display for Coins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Coins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}
impl<'de> Deserialize<'de> for Coins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl de::Visitor<'_> for Whole {
            type Value = Coins;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number of coins from 0 to 9007199254740991")
            }
            fn visit_u64<E: de::Error>(self, coins: u64) -> Result<Coins, E> {
                Coins::new(coins).map_err(E::custom)
            }
        }
        deserializer.deserialize_u64(Whole)
    }
}
impl JsonSchema for Coins {
    fn schema_name() -> Cow<'static, str> {
        "Coins".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer", "minimum": 0, "maximum": Self::MAX.0,
            "description": "A whole number of coins.",
        })
    }
}

/// Splits `total` by `weights` with nothing lost: each part gets the floor of its exact share, and
/// the rest goes one by one to the largest remainders, ties to the first named.
///
/// # Panics
/// If the weights sum to zero while `total` does not: the caller has checked that someone is named.
pub fn split_by_largest_remainder(total: Coins, weights: &[u64]) -> Vec<Coins> {
    let sum: u128 = weights.iter().map(|&w| u128::from(w)).sum();
    if total.is_zero() {
        return vec![Coins::ZERO; weights.len()];
    }
    assert!(sum > 0, "a split of {total} among weights that are all zero");
    let exact = |weight: u64| u128::from(total.0) * u128::from(weight);
    let mut parts: Vec<u64> = Vec::with_capacity(weights.len());
    for &weight in weights {
        parts.push(u64::try_from(exact(weight) / sum).expect("a part is at most the total"));
    }
    let left = total.0 - parts.iter().sum::<u64>();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by_key(|&i| std::cmp::Reverse(exact(weights[i]) % sum)); // stable: ties keep their order
    for &i in by_remainder.iter().take(usize::try_from(left).expect("fewer than the parts")) {
        parts[i] += 1;
    }
    parts.into_iter().map(Coins).collect()
}

/// A currency of ISO 4217.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The decimals of its minor unit: 2 for USD, 0 for JPY.
    pub fn scale(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }

    /// The three letters.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}
impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Currency {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.code().cmp(other.code())
    }
}
impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(text).map(Self).ok_or_else(|| MoneyError::Currency(text.to_owned()))
    }
}
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(TextVisitor { expected: "a currency code of ISO 4217 such as CNY", parse: str::parse })
    }
}
impl JsonSchema for Currency {
    fn schema_name() -> Cow<'static, str> {
        "Currency".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[A-Z]{3}$", "description": "A code of ISO 4217."})
    }
}

/// An amount in a currency, exact in its minor unit. May be negative.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    currency: Currency,
    minor: i64,
}

impl Money {
    /// From units such as 12.34; refuses more decimals than the currency has.
    pub fn new(currency: Currency, amount: Decimal) -> Result<Self, MoneyError> {
        let scale = currency.scale();
        let plain = amount.normalize();
        if plain.scale() > scale {
            return Err(MoneyError::Scale { amount, currency, scale });
        }
        let out_of_range = || MoneyError::OutOfRange(amount);
        let minor = plain.mantissa().checked_mul(10_i128.pow(scale - plain.scale())).ok_or_else(out_of_range)?;
        Ok(Self { currency, minor: i64::try_from(minor).map_err(|_| out_of_range())? })
    }

    /// From the minor unit: 1234 cents.
    pub const fn from_minor(currency: Currency, minor: i64) -> Self {
        Self { currency, minor }
    }

    /// Cuts what is finer than the minor unit, towards zero.
    pub fn towards_zero(currency: Currency, amount: Decimal) -> Result<Self, MoneyError> {
        Self::new(currency, amount.trunc_with_scale(currency.scale()))
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// In the minor unit.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// In units, at the currency's scale.
    pub fn amount(self) -> Decimal {
        Decimal::new(self.minor, self.currency.scale())
    }

    /// The sum of two amounts of one currency.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::TwoCurrencies(self.currency, other.currency));
        }
        let minor = self.minor.checked_add(other.minor);
        let minor = minor.ok_or_else(|| MoneyError::OutOfRange(self.amount()))?;
        Ok(Self { currency: self.currency, minor })
    }

    /// The same amount the other way.
    pub fn negated(self) -> Result<Self, MoneyError> {
        let minor = self.minor.checked_neg().ok_or_else(|| MoneyError::OutOfRange(self.amount()))?;
        Ok(Self { currency: self.currency, minor })
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount(), self.currency)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Money", deny_unknown_fields)]
struct MoneyText {
    currency: Currency,
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    amount: Decimal,
}

fn as_text<S: Serializer>(amount: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let expected = "a decimal amount, as a text such as \"12.34\"";
    deserializer.deserialize_str(TextVisitor { expected, parse: parse_amount })
}

/// The form of an amount: digits without a needless zero before them, and digits behind a point if there is one.
const AMOUNT_PATTERN: &str = "^-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,9})?$";

/// Reads what has the form of an amount; anything else, such as `1_000`, `+10` or `10.`, is none.
fn parse_amount(text: &str) -> Result<Decimal, MoneyError> {
    let (whole, fraction) = text
        .strip_prefix('-')
        .unwrap_or(text)
        .split_once('.')
        .map_or_else(|| (text.strip_prefix('-').unwrap_or(text), None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |part: &str, most| (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let well = digits(whole, 19)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(|fraction| digits(fraction, 9));
    let amount = well.then(|| Decimal::from_str_exact(text).ok()).flatten();
    let amount = amount.filter(|amount| !(text.starts_with('-') && amount.is_zero()));
    amount.ok_or_else(|| MoneyError::Amount(text.to_owned()))
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            MoneyText { currency: self.currency, amount: self.amount() }.serialize(serializer)
        } else {
            (self.currency, self.minor).serialize(serializer)
        }
    }
}
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = MoneyText::deserialize(deserializer)?;
            Self::new(text.currency, text.amount).map_err(de::Error::custom)
        } else {
            let (currency, minor) = Deserialize::deserialize(deserializer)?;
            Ok(Self { currency, minor })
        }
    }
}
impl JsonSchema for Money {
    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let currency = generator.subschema_for::<Currency>();
        json_schema!({
            "type": "object", "required": ["currency", "amount"], "additionalProperties": false,
            "properties": {
                "currency": currency,
                "amount": {"type": "string", "pattern": AMOUNT_PATTERN, "not": {"pattern": "^-0(\\.0+)?$"}},
            },
            "description": "An exact amount; the decimals are those of the currency.",
        })
    }
}

/// A share from 0 to 1, in millionths: `0.45` is 45 %.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Share(u32);

impl Share {
    const WHOLE: u32 = 1_000_000;

    /// As a factor for an exact multiplication.
    pub fn as_decimal(self) -> Decimal {
        Decimal::new(self.0.into(), 6).normalize()
    }
}
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_decimal().fmt(f)
    }
}
impl FromStr for Share {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let wrong = || MoneyError::Share(text.to_owned());
        let share = parse_amount(text).map_err(|_| wrong())?;
        if share.scale() > 6 || text.starts_with('-') || share > Decimal::ONE {
            return Err(wrong());
        }
        let millionths = (share * Decimal::from(Self::WHOLE)).normalize().mantissa();
        u32::try_from(millionths).map(Self).map_err(|_| wrong())
    }
}
impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u32(self.0) }
    }
}
impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return deserializer.deserialize_str(TextVisitor {
                expected: "a share from 0 to 1 with at most 6 decimals, as a text such as \"0.45\"",
                parse: str::parse,
            });
        }
        let millionths = u32::deserialize(deserializer)?;
        if millionths > Self::WHOLE {
            return Err(de::Error::custom(MoneyError::Share(millionths.to_string())));
        }
        Ok(Self(millionths))
    }
}
impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^(0(\\.[0-9]{1,6})?|1(\\.0{1,6})?)$",
            "description": "A share from 0 to 1 as an exact decimal: \"0.45\" is 45 %.",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn coins(n: u64) -> Coins {
        Coins::new(n).unwrap()
    }

    #[test]
    fn coins_stop_at_both_ends() {
        assert_eq!(Coins::new(1 << 53), Err(MoneyError::TooManyCoins(1 << 53)));
        assert!(Coins::MAX.plus(coins(1)).is_err());
        assert!(coins(1).minus(coins(2)).is_err());
        assert!(coins(1 << 40).times(1 << 40).is_err());
        assert_eq!(Coins::MAX.portion_floor(Coins::MAX, Coins::MAX), Coins::MAX);
    }

    #[test]
    fn splits_of_the_domain() {
        assert_eq!(split_by_largest_remainder(coins(4), &[6, 6, 2]), [coins(2), coins(2), coins(0)]);
        assert_eq!(split_by_largest_remainder(coins(1), &[2, 2, 0]), [coins(1), coins(0), coins(0)]);
        assert_eq!(split_by_largest_remainder(coins(3), &[6, 6, 2]), [coins(1), coins(1), coins(1)]);
    }

    #[test]
    fn money_keeps_to_its_currency() {
        let usd: Currency = "USD".parse().unwrap();
        let jpy: Currency = "JPY".parse().unwrap();
        assert_eq!(Money::new(usd, Decimal::new(1_2340, 3)).unwrap().to_string(), "12.34 USD");
        assert!(Money::new(usd, Decimal::new(12_345, 3)).is_err());
        assert!(Money::new(jpy, Decimal::new(15, 1)).is_err());
        assert_eq!(Money::new(jpy, Decimal::new(1500, 0)).unwrap().to_string(), "1500 JPY");
        assert_eq!(Money::towards_zero(usd, Decimal::new(-14_0389, 3)).unwrap().minor(), -14_038);
        assert!(Money::new(usd, Decimal::MAX).is_err());
        assert!("usd".parse::<Currency>().is_err());
    }

    /// An amount has one way to be written, apart from zeros at its end, and it is the schema's.
    #[test]
    fn amounts_are_digits_and_a_point() {
        let read = |amount: &str| {
            let json = serde_json::json!({"currency": "CNY", "amount": amount});
            serde_json::from_value::<Money>(json).map(Money::minor).ok()
        };
        for (good, minor) in [
            ("0", 0),
            ("10", 1_000),
            ("10.0", 1_000),
            ("10.000000", 1_000),
            ("-12.34", -1_234),
            ("92233720368547758.07", i64::MAX),
            ("-92233720368547758.08", i64::MIN),
        ] {
            assert_eq!(read(good), Some(minor), "{good}");
        }
        for bad in [
            "",
            "-",
            ".",
            "-0",
            "-0.00",
            "1__0",
            "1_000",
            "10.",
            ".5",
            "+10",
            "1,000",
            "1e2",
            "010",
            "00",
            " 1",
            "1 ",
            "--1",
            "1.2.3",
            "10.001",
            "１０",
            "92233720368547758.08",
            "10.0000000000",
            "10000000000000000000000000",
        ] {
            assert_eq!(read(bad), None, "{bad:?} was read as an amount");
        }
    }

    #[test]
    fn shares_are_exact() {
        for good in ["0", "0.45", "1", "0.000001"] {
            assert_eq!(good.parse::<Share>().unwrap().to_string(), good);
        }
        for bad in ["", "-0.1", "1.01", "0.0000001", "45%", "0_1", ".5", "1.", "+1", "-0", "00", "0.5 "] {
            assert!(bad.parse::<Share>().is_err(), "{bad:?} was read as a share");
        }
    }

    proptest! {
        #[test]
        fn a_split_loses_nothing_and_is_fair(
            total in 0..=Coins::MAX.get(),
            weights in prop::collection::vec(0_u64..1_000_000, 1..9),
        ) {
            let sum: u64 = weights.iter().sum();
            prop_assume!(sum > 0);
            let parts = split_by_largest_remainder(coins(total), &weights);
            prop_assert_eq!(parts.iter().map(|p| p.get()).sum::<u64>(), total);
            for (part, weight) in parts.iter().zip(&weights) {
                let exact = u128::from(total) * u128::from(*weight);
                prop_assert!(u128::from(part.get()) >= exact / u128::from(sum));
                prop_assert!(u128::from(part.get()) <= exact.div_ceil(u128::from(sum)));
            }
        }
    }
}
