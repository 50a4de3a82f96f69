use schemas::Coins;

/// Reads an amount such as `12.34` as coins, exactly: with 2 decimals 1,234. Digits and one point
/// only; more decimals than `decimals` are taken where they are zeros.
///
/// # Errors
/// Says what is wrong with the text, without repeating it.
pub fn coins_from_decimal(text: &str, decimals: u32) -> Result<Coins, String> {
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
    // Beyond 64 bits it is beyond what coins can be, too.
    let number = digits.try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(digit));
    let scaled = number.and_then(|number| match number {
        0 => Some(0),
        _ => number.checked_mul(10_u64.checked_pow(u32::try_from(scale).ok()?)?),
    });
    let coins = scaled.and_then(|number| Coins::new(number).ok());
    coins.ok_or_else(|| format!("more than {} coins, the most an amount can be", Coins::MAX))
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
}
