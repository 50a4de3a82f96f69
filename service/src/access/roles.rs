//! What a role allows: one table. Making coins (`top_up`, grant, refund, reinstate) never comes with sending gifts.

use serde::{Deserialize, Serialize};

use super::kinds::{Kind, Kinds};

/// What somebody does with a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum Role {
    /// Ask questions and follow the feed
    Read,
    /// Send gifts and game orders, through all their steps
    Append,
    /// Send top-ups, chargebacks and reinstatements
    Payments,
    /// Ask, give back and grant
    Support,
    /// Ask, and do the month-end
    Finance,
    /// Ask, publish reference data, keep subscriptions, watch the server
    Operate,
    /// Approve what others propose
    Approve,
    /// Make and revoke tokens, ask every question
    Admin,
}

/// Something other than a command that may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Ask about users, orders, accounts, records, settlements, and check commands.
    Read,
    /// Read the feed.
    Follow,
    /// Make named subscriptions, and take from them.
    Subscribe,
    /// Publish a platform file.
    Publish,
    /// Ask how the server is: metrics, status, who was turned away.
    Operate,
    /// List, make, rotate and revoke tokens.
    Tokens,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowed {
    /// The commands.
    pub kinds: Kinds,
    rights: u8,
}

/// Gifts, and each step of a game order.
const ORDERS: Kinds = Kinds::of(&[
    Kind::Gift,
    Kind::Hold,
    Kind::Send,
    Kind::Query,
    Kind::Unresolved,
    Kind::HandOver,
    Kind::Capture,
    Kind::Release,
]);

impl Role {
    /// The table.
    pub const fn allows(self) -> Allowed {
        use Right::{Follow, Operate, Publish, Read, Subscribe, Tokens};
        match self {
            Self::Read | Self::Finance => Allowed::to(Kinds::NONE, &[Read, Follow]),
            Self::Append => Allowed::to(ORDERS, &[]),
            Self::Payments => Allowed::to(Kinds::of(&[Kind::TopUp, Kind::Chargeback, Kind::Reinstate]), &[]),
            Self::Support => Allowed::to(
                Kinds::of(&[Kind::Refund, Kind::RollBackRefund, Kind::Release, Kind::Capture, Kind::Grant]),
                &[Read, Follow],
            ),
            Self::Operate => Allowed::to(Kinds::of(&[Kind::Publish]), &[Read, Follow, Subscribe, Publish, Operate]),
            Self::Approve => Allowed::to(Kinds::NONE, &[]),
            Self::Admin => Allowed::to(Kinds::NONE, &[Read, Follow, Operate, Tokens]),
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Append => "append",
            Self::Payments => "payments",
            Self::Support => "support",
            Self::Finance => "finance",
            Self::Operate => "operate",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }

    /// Those that allow something, to be named to whoever lacks it.
    pub fn that_allow(is_allowed: impl Fn(Allowed) -> bool) -> Vec<&'static str> {
        let roles = <Self as clap::ValueEnum>::value_variants().iter();
        roles.filter(|role| is_allowed(role.allows())).map(|role| role.name()).collect()
    }
}

impl Right {
    /// What it is for, in words that follow "to".
    pub const fn described(self) -> &'static str {
        match self {
            Self::Read => "ask questions",
            Self::Follow => "follow the feed",
            Self::Subscribe => "keep subscriptions",
            Self::Publish => "publish reference data",
            Self::Operate => "ask how the server is",
            Self::Tokens => "manage tokens",
        }
    }
}

impl Allowed {
    const fn to(kinds: Kinds, rights: &[Right]) -> Self {
        let mut set = 0;
        let mut i = 0;
        while i < rights.len() {
            set |= 1 << rights[i] as u8;
            i += 1;
        }
        Self { kinds, rights: set }
    }

    /// What roles and kinds allow that a token names. Who may send the command may publish through the other door.
    pub fn by(roles: &[Role], allow: &[Kind]) -> Self {
        let named = Self::to(Kinds::of(allow), if allow.contains(&Kind::Publish) { &[Right::Publish] } else { &[] });
        roles.iter().fold(named, |all, role| {
            let more = role.allows();
            Self { kinds: all.kinds.and(more.kinds), rights: all.rights | more.rights }
        })
    }

    /// Whether `right` is part of it.
    pub const fn has(self, right: Right) -> bool {
        self.rights & 1 << right as u8 != 0
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    /// Written from what a role is for, not from the table above.
    #[test]
    fn access_of_each_role_is_what_its_words_say() {
        let order_steps = "gift hold send query unresolved hand_over capture release";
        for (role, kinds, rights) in [
            (Role::Read, "", "Read Follow"),
            (Role::Append, order_steps, ""),
            (Role::Payments, "top_up chargeback reinstate", ""),
            (Role::Support, "refund roll_back_refund release capture grant", "Read Follow"),
            (Role::Finance, "", "Read Follow"),
            (Role::Operate, "publish", "Read Follow Subscribe Publish Operate"),
            (Role::Approve, "", ""),
            (Role::Admin, "", "Read Follow Operate Tokens"),
        ] {
            let allowed = role.allows();
            for kind in Kind::value_variants() {
                let expected = kinds.split_whitespace().any(|name| name == kind.name());
                assert_eq!(allowed.kinds.has(*kind), expected, "{} {}", role.name(), kind.name());
            }
            for right in [Right::Read, Right::Follow, Right::Subscribe, Right::Publish, Right::Operate, Right::Tokens] {
                let expected = rights.split_whitespace().any(|name| name == format!("{right:?}"));
                assert_eq!(allowed.has(right), expected, "{} {right:?}", role.name());
            }
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
    }

    #[test]
    fn access_to_make_coins_is_never_implied_by_sending_or_managing() {
        for role in [Role::Append, Role::Read, Role::Finance, Role::Operate, Role::Approve, Role::Admin] {
            for kind in [Kind::TopUp, Kind::Grant, Kind::Refund, Kind::Chargeback, Kind::Reinstate] {
                assert!(!role.allows().kinds.has(kind), "{} {}", role.name(), kind.name());
            }
        }
        assert_eq!(Role::that_allow(|allowed| allowed.has(Right::Tokens)), ["admin"]);
    }

    #[test]
    fn access_of_a_token_is_all_that_it_names() {
        let allowed = Allowed::by(&[Role::Read, Role::Append], &[Kind::Publish]);
        assert!(allowed.has(Right::Read) && allowed.has(Right::Publish) && !allowed.has(Right::Tokens));
        assert!(allowed.kinds.has(Kind::Gift) && allowed.kinds.has(Kind::Publish) && !allowed.kinds.has(Kind::Grant));
        assert_eq!(Allowed::by(&[], &[]), Allowed::default());
    }
}
