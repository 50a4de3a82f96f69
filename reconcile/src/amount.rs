use std::fmt;

use schemas::Coins;
use serde::Serialize;

/// A sum of coins, which may be more than one amount holds: the gifts of a group, or of a file. In JSON
/// a decimal string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Sum(#[serde(serialize_with = "schemas::serialize_sum")] u128);

impl Sum {
    /// The number.
    pub const fn get(self) -> u128 {
        self.0
    }

    /// Adds to it.
    pub fn add(&mut self, other: Self) {
        self.0 += other.0; // 2^64 rows, each below 2^64
    }
}

impl From<Coins> for Sum {
    fn from(coins: Coins) -> Self {
        Self(coins.get().into())
    }
}

impl std::iter::Sum for Sum {
    fn sum<I: Iterator<Item = Self>>(sums: I) -> Self {
        Self(sums.map(Self::get).sum())
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads an amount such as `12.34` as coins, exactly: with 2 decimals 1,234. Digits and one point
/// only; more decimals than `decimals` are taken where they are zeros.
///
/// # Errors
/// Says what is wrong with the text, without repeating it.
pub fn coins_from_decimal(text: &str, decimals: u32) -> Result<Coins, String> {
    let number = number_from_decimal(text, decimals)?;
    let coins = number.and_then(|number| Coins::new(number).ok());
    coins.ok_or_else(|| format!("more than {} coins, the most an amount can be", Coins::MAX))
}

/// Reads what may be a sum of several amounts, as [`coins_from_decimal`] reads one.
///
/// # Errors
/// Says what is wrong with the text, without repeating it.
pub fn sum_from_decimal(text: &str, decimals: u32) -> Result<Sum, String> {
    let number = number_from_decimal(text, decimals)?;
    let sum = number.map(|number| Sum(number.into()));
    sum.ok_or_else(|| format!("more than {} coins, the most that is compared", u64::MAX))
}

/// Nothing where it takes more than 64 bits.
fn number_from_decimal(text: &str, decimals: u32) -> Result<Option<u64>, String> {
    if let Some(rest) = text.strip_prefix('-')
        && is_decimal(rest)
    {
        return Err("an amount must not be negative".to_owned());
    }
    if !is_decimal(text) {
        return Err("not a decimal amount such as 12.34".to_owned());
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::try_from(decimals).ok().and_then(|decimals| decimals.checked_sub(fraction.len()));
    let scale = scale.ok_or_else(|| format!("more than {decimals} decimals"))?;
    let mut digits = whole.bytes().chain(fraction.bytes()).map(|digit| u64::from(digit - b'0'));
    let number = digits.try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(digit));
    Ok(number.and_then(|number| match number {
        0 => Some(0),
        _ => number.checked_mul(10_u64.checked_pow(u32::try_from(scale).ok()?)?),
    }))
}

/// Digits, and behind a point more digits.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        None => digits(text),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coins(n: u64) -> Coins {
        Coins::new(n).unwrap()
    }

    #[test]
    fn amounts_are_exact() {
        for (text, decimals, expected) in [
            ("0", 2, 0),
            ("0.01", 2, 1),
            ("200556.24", 2, 20_055_624),
            ("1.5", 2, 150),
            ("1.500000000000000000000000", 2, 150),
            ("007", 0, 7),
            ("90071992547409.91", 2, (1 << 53) - 1),
            ("9007199254740991", 0, (1 << 53) - 1),
        ] {
            assert_eq!(coins_from_decimal(text, decimals), Ok(coins(expected)), "{text}");
        }
        for (text, said) in [
            ("", "not a decimal amount"),
            ("-", "not a decimal amount"),
            ("+1", "not a decimal amount"),
            (" 1", "not a decimal amount"),
            ("1,000", "not a decimal amount"),
            ("1e3", "not a decimal amount"),
            ("1_000", "not a decimal amount"),
            (".5", "not a decimal amount"),
            ("5.", "not a decimal amount"),
            ("1.2.3", "not a decimal amount"),
            ("１", "not a decimal amount"),
            ("NaN", "not a decimal amount"),
            ("-0.00", "must not be negative"),
            ("1.234", "more than 2 decimals"),
            ("90071992547409.92", "more than 9007199254740991 coins"),
            ("99999999999999999999999999", "more than 9007199254740991 coins"),
        ] {
            let error = coins_from_decimal(text, 2).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
        assert_eq!(coins_from_decimal("1.2", 0).unwrap_err(), "more than 0 decimals");
        assert!(coins_from_decimal("1", u32::MAX).is_err());
        assert_eq!(coins_from_decimal("0", u32::MAX), Ok(Coins::ZERO));
    }

    #[test]
    fn a_sum_is_wider_than_an_amount() {
        for (text, decimals, expected) in
            [("18014398509481982", 0, 2 * ((1 << 53) - 1)), ("180143985094819.82", 2, 2 * ((1 << 53) - 1)), ("0", 2, 0)]
        {
            assert_eq!(sum_from_decimal(text, decimals).map(Sum::get), Ok(expected), "{text}");
        }
        let error = sum_from_decimal("18446744073709551616", 0).unwrap_err();
        assert_eq!(error, "more than 18446744073709551615 coins, the most that is compared");
        assert_eq!(sum_from_decimal("1e3", 0).unwrap_err(), "not a decimal amount such as 12.34");
        assert_eq!(serde_json::to_string(&sum_from_decimal("7", 0).unwrap()).unwrap(), "\"7\"");
    }
}
