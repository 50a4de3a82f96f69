//! What a token says: whose it is, and what may be done with it.

use std::num::NonZeroU32;

use ledger::Caller;
use schemas::{ActorId, ChannelId, Coins, Command, ProviderId, Source, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    denied::Denied,
    kinds::{Kind, Makes, Names, Sent},
    name::Name,
    roles::{Allowed, Right, Role},
};

/// Whether a person or a program holds a token. Approvals compare persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A person.
    Person,
    /// A program.
    Service,
}

/// What a token says. It never changes; a token with other terms is another token. A program that does not know one
/// of its fields refuses it, since that may be a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Whose it is: the actor of what is recorded.
    pub principal: ActorId,
    /// What that is.
    pub kind: Holder,
    /// The source of each command that is sent with it.
    pub source: Source,
    /// What the holder does.
    pub roles: Vec<Role>,
    /// Kinds of commands beyond those of the roles.
    pub allow: Vec<Kind>,
    /// The channels whose payments it may tell of; all where none is named.
    pub channels: Vec<ChannelId>,
    /// The providers that it may hold coins for; all where none is named.
    pub providers: Vec<ProviderId>,
    /// How many coins a day of UTC it may make; no limit where absent.
    pub daily_coins: Option<Coins>,
    /// How many commands a second it may send; no limit where absent.
    pub per_second: Option<NonZeroU32>,
    /// Until when it works; without end where absent.
    pub expires: Option<Timestamp>,
}

/// What a token may do: its terms, made quick to ask.
#[derive(Debug)]
pub struct Grants {
    name: Name,
    terms: Terms,
    allowed: Allowed,
}

impl Grants {
    /// Of a token with these terms.
    pub fn new(name: Name, mut terms: Terms) -> Self {
        // Looked up by halving.
        terms.channels.sort();
        terms.providers.sort();
        Self { allowed: Allowed::by(&terms.roles, &terms.allow), name, terms }
    }

    /// What the token is called.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// What it says.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Who hands in what is sent with it.
    pub fn caller(&self) -> Caller {
        Caller::of(self.terms.source.clone()).acting_as(self.terms.principal.clone())
    }

    /// Whether it may do something other than send a command.
    pub fn has(&self, right: Right) -> Result<(), Denied> {
        if self.allowed.has(right) {
            return Ok(());
        }
        let needs = format!("it needs one of the roles {}", Role::that_allow(|role| role.has(right)).join(", "));
        Err(self.no(right.described(), needs))
    }

    /// Whether it may send `command`; of a group whether it may send each member. Takes nanoseconds and no memory.
    #[inline]
    pub fn may(&self, command: &Command) -> Result<(), Denied> {
        match Sent::of(command) {
            Sent::One(kind, names) => self.may_one(command, kind, names),
            Sent::Group(members) => members.iter().try_for_each(|member| match Sent::of(member) {
                Sent::One(kind, names) => self.may_one(member, kind, names),
                Sent::Group(_) => Err(self.no("send a group within a group", "there is no such thing")),
                Sent::Never => Err(self.no_caller(member)),
            }),
            Sent::Never => Err(self.no_caller(command)),
        }
    }

    #[inline]
    fn may_one(&self, command: &Command, kind: Kind, names: Names<'_>) -> Result<(), Denied> {
        if !self.allowed.kinds.has(kind) {
            return Err(self.no_kind(kind));
        }
        match names {
            Names::Channel(channel) if !permits(&self.terms.channels, channel) => {
                Err(self.no_other(kind, "channel", channel, &self.terms.channels))
            }
            Names::Provider(provider) if !permits(&self.terms.providers, provider) => {
                Err(self.no_other(kind, "provider", provider, &self.terms.providers))
            }
            Names::Nothing | Names::Channel(_) | Names::Provider(_)
                if self.terms.daily_coins.is_some() && Makes::is_untold(command) =>
            {
                let needs = "it has daily coins, so a command must state in `coins` how many it makes";
                Err(self.no(format!("send {} without its coins", kind.name()), needs))
            }
            Names::Nothing | Names::Channel(_) | Names::Provider(_) => Ok(()),
        }
    }

    #[cold]
    fn no(&self, what: impl Into<String>, needs: impl Into<String>) -> Denied {
        Denied::NotAllowed { name: self.name.clone(), what: what.into(), needs: needs.into() }
    }

    #[cold]
    fn no_caller(&self, command: &Command) -> Denied {
        self.no(format!("send {}", command.kind()), "it is the ledger's own command, which nobody sends")
    }

    #[cold]
    fn no_kind(&self, kind: Kind) -> Denied {
        let roles = Role::that_allow(|role| role.kinds.has(kind)).join(", ");
        let needs = format!("it needs one of the roles {roles}, or --allow {} when it is made", kind.name());
        self.no(format!("send {}", kind.name()), needs)
    }

    #[cold]
    fn no_other(&self, kind: Kind, what: &str, found: &impl ToString, own: &[impl ToString]) -> Denied {
        let own: Vec<String> = own.iter().map(ToString::to_string).collect();
        self.no(
            format!("send {} for {what} {}", kind.name(), found.to_string()),
            format!("it is for {}", own.join(", ")),
        )
    }
}

/// Whether a list that limits nothing where it is empty has `found`.
#[inline]
fn permits<T: Ord>(sorted: &[T], found: &T) -> bool {
    sorted.is_empty() || sorted.binary_search(found).is_ok()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A token's terms with nothing but roles.
    pub fn terms(roles: &[Role]) -> Terms {
        Terms {
            principal: "gift-service".parse().unwrap(),
            kind: Holder::Service,
            source: "gift-service".parse().unwrap(),
            roles: roles.to_vec(),
            allow: Vec::new(),
            channels: Vec::new(),
            providers: Vec::new(),
            daily_coins: None,
            per_second: None,
            expires: None,
        }
    }

    fn asked(terms: Terms, command: &str) -> Result<(), String> {
        let command: Command = serde_json::from_str(command).unwrap();
        Grants::new("t".parse().unwrap(), terms).may(&command).map_err(|denied| {
            assert_eq!(denied.code(), "not_allowed");
            denied.to_string()
        })
    }

    const GIFT: &str = r#"{"gift":{"user":"u","item":"rose","to":[]}}"#;
    const GRANT: &str = r#"{"grant":{"user":"u","coins":5,"reason":"r"}}"#;
    const REINSTATE: &str = r#"{"reinstate":{"channel":"c2","transaction":"t"}}"#;
    const HOLD: &str = r#"{"hold":{"user":"u","provider":"p","coins":9,"deadline":"2026-01-01T00:00:00Z"}}"#;
    const REFUND: &str = r#"{"refund":{"order":{"user":"u","name":{"number":"3-17"}},"reason":"r"}}"#;

    #[test]
    fn access_to_a_group_needs_the_kinds_of_all_its_members() {
        let both = format!(r#"{{"group":[{GIFT},{GRANT}]}}"#);
        asked(terms(&[Role::Append]), GIFT).unwrap();
        let said = asked(terms(&[Role::Append]), &both).unwrap_err();
        assert_eq!(
            said,
            "token t may not send grant: it needs one of the roles support, or --allow grant when it is made"
        );
        asked(Terms { allow: vec![Kind::Grant], ..terms(&[Role::Append]) }, &both).unwrap();
        let all = Terms { allow: vec![Kind::Grant], ..terms(&[Role::Append, Role::Payments, Role::Support]) };
        asked(all.clone(), &format!(r#"{{"group":[{{"group":[{GIFT}]}}]}}"#)).unwrap_err();
        let own = r#"{"credit":{"user":"u","coins":1,"channel":"c","transaction":"t"}}"#;
        assert!(asked(all.clone(), own).unwrap_err().contains("the ledger's own"));
        asked(all, &format!(r#"{{"group":[{own}]}}"#)).unwrap_err();
    }

    #[test]
    fn access_is_limited_to_the_channels_and_providers_that_are_named() {
        let limited = Terms {
            channels: vec!["wechat".parse().unwrap(), "c2".parse().unwrap()],
            providers: vec!["q".parse().unwrap()],
            ..terms(&[Role::Payments, Role::Append])
        };
        asked(limited.clone(), REINSTATE).unwrap();
        let other = REINSTATE.replace("c2", "c3");
        let said = asked(limited.clone(), &other).unwrap_err();
        assert_eq!(said, "token t may not send reinstate for channel c3: it is for c2, wechat");
        asked(limited, HOLD).unwrap_err();
        asked(terms(&[Role::Append]), HOLD).unwrap();
    }

    #[test]
    fn access_with_daily_coins_must_state_the_coins() {
        let limited = Terms { daily_coins: Some(Coins::new(10).unwrap()), ..terms(&[Role::Payments, Role::Support]) };
        assert!(asked(limited.clone(), REINSTATE).unwrap_err().contains("daily coins"));
        assert!(asked(limited.clone(), REFUND).unwrap_err().contains("refund without its coins"));
        asked(limited.clone(), &format!(r#"{{"group":[{GRANT},{REFUND}]}}"#)).unwrap_err();
        asked(limited, &REFUND.replace(r#""reason""#, r#""coins":3,"reason""#)).unwrap();
        asked(terms(&[Role::Support]), REFUND).unwrap();
    }

    #[test]
    fn access_terms_with_a_field_that_nobody_knows_are_refused() {
        let terms = terms(&[Role::Read]);
        let mut json = serde_json::to_value(&terms).unwrap();
        assert_eq!(serde_json::from_value::<Terms>(json.clone()).unwrap(), terms);
        json["only_on_sundays"] = true.into();
        serde_json::from_value::<Terms>(json).unwrap_err();
    }

    #[test]
    fn access_to_a_right_names_the_roles_that_have_it() {
        let grants = Grants::new("t".parse().unwrap(), terms(&[Role::Read]));
        assert_eq!(grants.caller(), Caller::of("gift-service".parse().unwrap()).acting_as(terms(&[]).principal));
        grants.has(Right::Follow).unwrap();
        let said = grants.has(Right::Publish).unwrap_err().to_string();
        assert_eq!(said, "token t may not publish reference data: it needs one of the roles operate");
    }
}
