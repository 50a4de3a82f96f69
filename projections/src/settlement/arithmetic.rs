//! Coins to money. Everything is multiplied before it is divided, and divided once, in integers:
//! a quotient of decimals is rounded to 28 digits, which may lift it over the minor unit that it
//! then is cut to.
//!
//! With u minor units to a unit of currency and c coins per unit, b coins at a share of s millionths
//! are worth b·s·u ÷ (c·10⁶) minor units. A base stays below 2^80 coins, so products stay below 2^127.

use schemas::{Coins, Currency, Entity, Money, Share};

use crate::{Error, Result};

/// Millionths in a whole share.
const WHOLE: i128 = 1_000_000;

/// What a share of `base` coins is worth, to the minor unit towards zero, so that neither a payment
/// nor a claim is ever rounded up.
///
/// # Errors
/// If it is beyond what [`Money`] holds.
pub fn share_towards_zero(base: i128, share: Share, entity: Entity) -> Result<Money> {
    money(base * millionths(share) * minor_units(entity) / parts(entity), entity.currency)
}

/// What `base` coins are worth, to the minor unit downwards.
///
/// # Errors
/// If it is beyond what [`Money`] holds.
pub fn worth_floor(base: i128, entity: Entity) -> Result<Money> {
    money((base * WHOLE * minor_units(entity)).div_euclid(parts(entity)), entity.currency)
}

/// What a streamer could be asked to give back of a chargeback that left `debt`: their share of it,
/// in whole coins downwards. A candidate only; a person decides.
pub fn claw_back_candidate(debt: Coins, share: Share) -> Coins {
    let coins = debt.signed() * millionths(share) / WHOLE;
    u64::try_from(coins).ok().and_then(|coins| Coins::new(coins).ok()).unwrap_or(debt) // a share is at most 1
}

/// What stays with the platform, exactly.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Coins times millionths that no line is paid for.
    unpaid: i128,
    /// Coins times millionths that lines are paid for.
    earned: i128,
    /// What those lines pay, in the minor unit.
    paid: i128,
}

impl Kept {
    /// A base that nobody is paid for.
    pub fn whole(&mut self, base: i128) {
        self.unpaid += base * WHOLE;
    }

    /// What a streamer's and a guild's share leave of a base.
    pub fn rest(&mut self, base: i128, streamer: Share, guild: Option<Share>) {
        self.unpaid += base * (WHOLE - millionths(streamer) - guild.map_or(0, millionths));
    }

    /// What rounding leaves of a line.
    pub fn line(&mut self, base: i128, share: Share, amount: Money) {
        self.earned += base * millionths(share);
        self.paid += i128::from(amount.minor());
    }

    /// All of it, to the minor unit downwards: what the worth of the base loses to the minor unit,
    /// the platform loses.
    pub fn floor(&self, entity: Entity) -> Result<Money> {
        let exact = (self.unpaid + self.earned) * minor_units(entity) - self.paid * parts(entity);
        money(exact.div_euclid(parts(entity)), entity.currency)
    }
}

/// The sum of amounts of one currency.
pub(super) fn sum_of(currency: Currency, amounts: impl Iterator<Item = Money>) -> Result<Money> {
    money(amounts.map(|amount| i128::from(amount.minor())).sum(), currency)
}

/// An amount in the minor unit.
pub(super) fn money(minor: i128, currency: Currency) -> Result<Money> {
    let fits = i64::try_from(minor).map(|minor| Money::from_minor(currency, minor));
    fits.map_err(|_| Error::OutOfRange { minor, currency })
}

/// Into how many equal parts a minor unit's worth of coins is cut: coins per unit × 10⁶.
fn parts(entity: Entity) -> i128 {
    i128::from(entity.coins_per_unit) * WHOLE
}

fn minor_units(entity: Entity) -> i128 {
    10_i128.pow(entity.currency.scale())
}

fn millionths(share: Share) -> i128 {
    let share = share.as_decimal();
    share.mantissa() * 10_i128.pow(6 - share.scale())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{change, coins};

    fn entity(currency: &str, coins_per_unit: u32) -> Entity {
        let json =
            format!(r#"{{"entity": {{"currency": "{currency}", "zone": "UTC", "coins_per_unit": {coins_per_unit}}}}}"#);
        let schemas::Change::Entity(entity) = change(&json) else { panic!("not an entity") };
        entity
    }

    #[test]
    fn a_share_is_cut_to_the_minor_unit_towards_zero() {
        let cases = [
            (8_000_000, "0.45", "CNY", 100, "36000.00 CNY"),
            (1, "0.45", "CNY", 100, "0.00 CNY"),
            (3, "0.45", "CNY", 100, "0.01 CNY"),
            (-3, "0.45", "CNY", 100, "-0.01 CNY"),
            (-1, "0.999999", "CNY", 100, "0.00 CNY"),
            (130_000, "1", "USD", 210, "619.04 USD"), // 619.0476
            (130_000, "1", "JPY", 210, "619 JPY"),
            (130_000, "1", "KWD", 210, "619.047 KWD"),
            (-130_000, "1", "USD", 210, "-619.04 USD"),
            (5, "0", "USD", 1, "0.00 USD"),
            (9_007_199_254_740_990, "0.999999", "CNY", 100, "90071902475417.35 CNY"),
        ];
        for (base, share, currency, per_unit, expected) in cases {
            let amount = share_towards_zero(base, share.parse().unwrap(), entity(currency, per_unit)).unwrap();
            assert_eq!(amount.to_string(), expected, "{base} at {share}, {per_unit} per {currency}");
        }
    }

    #[test]
    fn worth_is_cut_downwards() {
        for (base, expected) in
            [(130_000, "619.04 USD"), (-130_000, "-619.05 USD"), (210, "1.00 USD"), (-1, "-0.01 USD")]
        {
            assert_eq!(worth_floor(base, entity("USD", 210)).unwrap().to_string(), expected, "{base}");
        }
    }

    #[test]
    fn an_amount_beyond_money_is_an_error() {
        let error = worth_floor(1 << 70, entity("USD", 1)).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { .. }), "{error}");
    }

    #[test]
    fn a_claw_back_candidate_is_the_share_of_the_debt_in_whole_coins() {
        for (debt, share, expected) in
            [(300, "0.45", 135), (1, "0.45", 0), (7, "1", 7), (7, "0", 0), (299, "0.45", 134)]
        {
            assert_eq!(claw_back_candidate(coins(debt), share.parse().unwrap()), coins(expected), "{debt} at {share}");
        }
    }
}
