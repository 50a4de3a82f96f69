//! How accounts and amounts are called in books.
//!
//! | account | in beancount and hledger |
//! |---|---|
//! | `user:<id>` | `Liabilities:Users:U-<id>` |
//! | `held:<order>` | `Liabilities:Held:H-<shard>-<sequence>`, `-<part>` behind it in a group |
//! | `streamer:<id>:turnover` | `Liabilities:Streamers:S-<id>:Turnover` |
//! | `provider:<id>:payable` | `Liabilities:Providers:P-<id>:Payable` |
//! | `channel:<id>:receivable` | `Assets:Channels:C-<id>:Receivable` |
//! | `platform:issued`, `sales`, `grants`, `expired`, `gifts` | `Equity:Platform:Issued`, `Income:Sales`, `Expenses:Grants`, `Income:Expired`, `Income:Gifts` |
//! | `transit:<source>:<target>` | `Equity:Transit:S<source>-T<target>` |
//! | `equity:opening-balances`, no account of the ledger | `Equity:Opening-Balances` |
//!
//! A component of a beancount account is `[A-Z0-9][A-Za-z0-9-]*`. So an id stands behind a capital
//! and a hyphen, its letters and digits as they are, and every other byte as a hyphen and its two
//! hexadecimal digits: `tom_2@x` is `U-tom-5f2-40x`. A hyphen is `-2d`, so every hyphen behind the
//! first one begins such an escape, and no two ids have one name.

use std::fmt::Write;

use schemas::{Account, Asset, Purpose};

/// What opening balances stand against.
pub(super) const OPENING: &str = "Equity:Opening-Balances";
/// The same in the ledger's own names.
pub(super) const OPENING_IN_LEDGER: &str = "equity:opening-balances";

/// Appends the name of an account.
pub(super) fn push_account(text: &mut String, account: &Account) {
    match account {
        Account::User(user) => push_id(text, "Liabilities:Users:U-", user.as_str(), ""),
        Account::Held(order) => {
            push(text, format_args!("Liabilities:Held:H-{}-{}", order.shard, order.sequence));
            if order.part > 0 {
                push(text, format_args!("-{}", order.part));
            }
        }
        Account::StreamerTurnover(id) => push_id(text, "Liabilities:Streamers:S-", id.as_str(), ":Turnover"),
        Account::ProviderPayable(id) => push_id(text, "Liabilities:Providers:P-", id.as_str(), ":Payable"),
        Account::ChannelReceivable(id) => push_id(text, "Assets:Channels:C-", id.as_str(), ":Receivable"),
        Account::Platform(Purpose::Issued) => text.push_str("Equity:Platform:Issued"),
        Account::Platform(Purpose::Sales) => text.push_str("Income:Sales"),
        Account::Platform(Purpose::Grants) => text.push_str("Expenses:Grants"),
        Account::Platform(Purpose::Expired) => text.push_str("Income:Expired"),
        Account::Platform(Purpose::Gifts) => text.push_str("Income:Gifts"),
        Account::Transit { source, target } => push(text, format_args!("Equity:Transit:S{source}-T{target}")),
    }
}

fn push_id(text: &mut String, before: &str, id: &str, behind: &str) {
    text.push_str(before);
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() {
            text.push(char::from(byte));
        } else {
            push(text, format_args!("-{byte:02x}"));
        }
    }
    text.push_str(behind);
}

/// Appends an amount in the ledger's unit with its commodity: `-1200 COIN`, `12.34 CNY`.
pub(super) fn push_amount(text: &mut String, asset: Asset, amount: i128) {
    match asset {
        Asset::Coin => push(text, format_args!("{amount} COIN")),
        Asset::Currency(currency) => push(text, format_args!("{} {currency}", asset.show(amount))),
    }
}

/// The name of a commodity.
pub(super) fn commodity(asset: Asset) -> &'static str {
    match asset {
        Asset::Coin => "COIN",
        Asset::Currency(currency) => currency.code(),
    }
}

/// Appends formatted text.
pub(super) fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(account: &str) -> String {
        let mut text = String::new();
        push_account(&mut text, &account.parse().unwrap());
        text
    }

    #[test]
    fn accounts_have_their_names() {
        for (account, expected) in [
            ("user:tom_2@x", "Liabilities:Users:U-tom-5f2-40x"),
            ("user:Tom-2", "Liabilities:Users:U-Tom-2d2"),
            ("user:a.b+c~d", "Liabilities:Users:U-a-2eb-2bc-7ed"),
            ("held:3-17", "Liabilities:Held:H-3-17"),
            ("held:3-17.2", "Liabilities:Held:H-3-17-2"),
            ("streamer:house:turnover", "Liabilities:Streamers:S-house:Turnover"),
            ("provider:p:payable", "Liabilities:Providers:P-p:Payable"),
            ("channel:apple:receivable", "Assets:Channels:C-apple:Receivable"),
            ("platform:issued", "Equity:Platform:Issued"),
            ("platform:sales", "Income:Sales"),
            ("platform:grants", "Expenses:Grants"),
            ("platform:expired", "Income:Expired"),
            ("platform:gifts", "Income:Gifts"),
            ("transit:0:3", "Equity:Transit:S0-T3"),
        ] {
            assert_eq!(name(account), expected);
        }
    }

    /// The id that a name stands for.
    fn read(name: &str) -> String {
        let mut escaped = name.strip_prefix("Liabilities:Users:U-").unwrap().chars();
        let mut id = String::new();
        while let Some(c) = escaped.next() {
            if c == '-' {
                let digits: String = escaped.by_ref().take(2).collect();
                id.push(char::from(u8::from_str_radix(&digits, 16).unwrap()));
            } else {
                id.push(c);
            }
        }
        id
    }

    proptest! {
        #[test]
        fn every_id_has_one_name_that_beancount_takes(id in "[A-Za-z0-9._@+~-]{1,64}") {
            let name = name(&format!("user:{id}"));
            prop_assert_eq!(read(&name), id);
            let component = name.rsplit(':').next().unwrap();
            prop_assert!(component.starts_with("U-"));
            prop_assert!(component.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
        }
    }
}
