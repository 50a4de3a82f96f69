//! Amounts as people write them: `¥28.16`, `12,500.00`, `- $220.00`, `1.234,56`.

use reconcile::coins_from_decimal;
use schemas::{Coins, Currency};
use serde::{Deserialize, Serialize};

/// How a file writes its amounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AmountMapping {
    /// The currency of the amounts.
    pub currency: Currency,
    /// Decimals of an amount that make coins.
    pub decimals: u32,
    /// What stands before the decimals.
    pub decimal_mark: char,
    /// What stands between the thousands.
    pub thousands_mark: Option<char>,
    /// What may stand before or behind an amount: `¥`, `USD`.
    pub signs: Vec<String>,
    /// What becomes of a row with a negative amount.
    pub negative: Negative,
}

/// What becomes of a row with a negative amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negative {
    /// It is malformed.
    #[default]
    Refuse,
    /// It is left out.
    Skip,
}

/// What an amount says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many coins.
    Coins(Coins),
    /// Less than nothing.
    Negative,
}

const MINUS: [char; 2] = ['-', '\u{2212}'];

impl AmountMapping {
    /// Reads an amount exactly.
    ///
    /// # Errors
    /// Says what is wrong with it, without repeating it.
    pub fn read(&self, text: &str) -> Result<Amount, String> {
        let (negative, digits) = self.without_signs(text);
        let number = self.plain(digits).filter(|number| !number.starts_with('-')).ok_or_else(|| self.wrong())?;
        let coins = coins_from_decimal(&number, self.decimals).map_err(|why| {
            // What is not a number at all would have been, with other marks.
            if why.starts_with("not a decimal amount") { self.wrong() } else { why }
        })?;
        Ok(if negative { Amount::Negative } else { Amount::Coins(coins) })
    }

    fn wrong(&self) -> String {
        let example = match self.thousands_mark {
            Some(mark) => format!("1{mark}234{}56", self.decimal_mark),
            None => format!("12{}34", self.decimal_mark),
        };
        format!("not a decimal amount such as {example}")
    }

    /// Whether it is negative, and what is left without one plus or minus and one sign of the currency, which
    /// stand before or behind the digits in any order. Books write a negative amount in brackets, too.
    fn without_signs<'a>(&self, text: &'a str) -> (bool, &'a str) {
        let mut rest = text.trim();
        let in_brackets = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
        let (mut negative, mut is_signed) = (in_brackets.is_some(), in_brackets.is_some());
        rest = in_brackets.unwrap_or(rest).trim();
        let mut is_marked = false;
        loop {
            let minus = rest.strip_prefix(MINUS).or_else(|| rest.strip_suffix(MINUS)).filter(|_| !is_signed);
            let plus = rest.strip_prefix('+').filter(|_| !is_signed);
            let mark = |sign: &String| rest.strip_prefix(sign.as_str()).or_else(|| rest.strip_suffix(sign.as_str()));
            let marked = self.signs.iter().find_map(mark).filter(|_| !is_marked);
            let Some(shorter) = minus.or(plus).or(marked) else { return (negative, rest) };
            negative |= minus.is_some();
            is_signed |= minus.or(plus).is_some();
            is_marked |= minus.or(plus).is_none();
            rest = shorter.trim();
        }
    }

    /// The digits with a point and without marks between the thousands, where these stand as they should:
    /// `12,50` with a comma between thousands is a decimal comma that nobody has named.
    fn plain(&self, digits: &str) -> Option<String> {
        let (whole, fraction) = digits.split_once(self.decimal_mark).map_or((digits, None), |(w, f)| (w, Some(f)));
        let mut plain = whole.to_owned();
        if let Some(mark) = self.thousands_mark
            && whole.contains(mark)
        {
            let groups: Vec<&str> = whole.split(mark).collect();
            let (first, others) = groups.split_first()?;
            let (last, middle) = others.split_last()?;
            // India writes 1,00,000.
            let is_right = (1..=3).contains(&first.len())
                && last.len() == 3
                && (middle.iter().all(|group| group.len() == 3) || middle.iter().all(|group| group.len() == 2));
            is_right.then_some(())?;
            plain = groups.concat();
        }
        Some(fraction.map_or(plain.clone(), |fraction| format!("{plain}.{fraction}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(decimal_mark: char, thousands_mark: Option<char>, signs: &[&str]) -> AmountMapping {
        AmountMapping {
            currency: "CNY".parse().unwrap(),
            decimals: 2,
            decimal_mark,
            thousands_mark,
            signs: signs.iter().map(|&sign| sign.to_owned()).collect(),
            negative: Negative::Refuse,
        }
    }

    #[test]
    fn amounts_are_read_as_they_are_written() {
        let coins = |n| Ok(Amount::Coins(Coins::new(n).unwrap()));
        let wrong = |example: &str| Err(format!("not a decimal amount such as {example}"));
        let plain = mapping('.', None, &[]);
        let chinese = mapping('.', Some(','), &["¥", "￥", "元"]);
        let dollars = mapping('.', Some(','), &["$", "USD"]);
        let german = mapping(',', Some('.'), &["€", "EUR"]);
        let swiss = mapping('.', Some('\''), &["CHF"]);
        for (mapping, text, expected) in [
            (&plain, "12.34", coins(1_234)),
            (&plain, "+12.34", coins(1_234)),
            (&plain, "-12.34", Ok(Amount::Negative)),
            (&plain, "\u{2212}12.34", Ok(Amount::Negative)),
            (&plain, "12.34-", Ok(Amount::Negative)),
            (&plain, "(12.34)", Ok(Amount::Negative)),
            (&plain, "12,34", wrong("12.34")),
            (&plain, "1,234.00", wrong("12.34")),
            (&plain, "¥12.34", wrong("12.34")),
            (&plain, "--12", wrong("12.34")),
            (&plain, "-+12", wrong("12.34")),
            (&plain, "(-12)", wrong("12.34")),
            (&plain, "-", wrong("12.34")),
            (&plain, "", wrong("12.34")),
            (&plain, "1_000", wrong("12.34")),
            (&plain, "1.", wrong("12.34")),
            (&plain, ".5", wrong("12.34")),
            (&plain, "1.234", Err("more than 2 decimals".to_owned())),
            (&chinese, "¥28.16", coins(2_816)),
            (&chinese, "￥28.16", coins(2_816)),
            (&chinese, "28.16元", coins(2_816)),
            (&chinese, "12,500.00", coins(1_250_000)),
            (&chinese, "12500.00", coins(1_250_000)),
            (&chinese, "1,00,000", coins(10_000_000)),
            (&chinese, "12,50", wrong("1,234.56")),
            (&chinese, "1,2345", wrong("1,234.56")),
            (&chinese, ",500", wrong("1,234.56")),
            (&chinese, "1,,500", wrong("1,234.56")),
            (&chinese, "0001,500", wrong("1,234.56")),
            (&chinese, "12.500,00", wrong("1,234.56")),
            (&chinese, "¥¥1", wrong("1,234.56")),
            (&dollars, "- $220.00", Ok(Amount::Negative)),
            (&dollars, "+ $1,220.00", coins(122_000)),
            (&dollars, "$-220.00", Ok(Amount::Negative)),
            (&dollars, "220 USD", coins(22_000)),
            (&german, "1.234,56", coins(123_456)),
            (&german, "1234,5", coins(123_450)),
            (&german, "-1.234.567,00 €", Ok(Amount::Negative)),
            (&german, "12.50", wrong("1.234,56")),
            (&german, "1,234.56", wrong("1.234,56")),
            (&swiss, "CHF 1'234.50", coins(123_450)),
        ] {
            assert_eq!(mapping.read(text), expected, "{text:?}");
        }
    }
}
