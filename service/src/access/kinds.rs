//! Sets of the kinds of commands that callers may send.

use schemas::{ChannelId, Coins, Command, MoneyError, ProviderId};
use serde::{Deserialize, Serialize};

/// A kind of command that a caller may send, by its name in JSON. A group has none of its own: it needs those
/// of its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum Kind {
    Publish,
    TopUp,
    Chargeback,
    Reinstate,
    Grant,
    Gift,
    Hold,
    Send,
    Query,
    Unresolved,
    HandOver,
    Capture,
    Release,
    Refund,
    RollBackRefund,
}

/// What a command is to whoever asks whether it may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent<'a> {
    /// One of a kind, and what a token may be limited to that it names.
    One(Kind, Names<'a>),
    /// Several, each of which is asked about.
    Group(&'a [Command]),
    /// Nobody sends it: the ledger's own.
    Never,
}

/// What a command names that a token may be limited to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names<'a> {
    /// Nothing; the order that a step names knows its provider, and only the decision sees it.
    Nothing,
    /// Who took a payment.
    Channel(&'a ChannelId),
    /// Who delivers.
    Provider(&'a ProviderId),
}

impl<'a> Sent<'a> {
    /// What `command` is.
    #[inline]
    pub fn of(command: &'a Command) -> Self {
        match command {
            Command::Publish(_) => Self::One(Kind::Publish, Names::Nothing),
            Command::TopUp(c) => Self::One(Kind::TopUp, Names::Channel(&c.channel)),
            Command::Chargeback(c) => Self::One(Kind::Chargeback, Names::Channel(&c.channel)),
            Command::Reinstate(c) => Self::One(Kind::Reinstate, Names::Channel(&c.channel)),
            Command::Grant(_) => Self::One(Kind::Grant, Names::Nothing),
            Command::Gift(_) => Self::One(Kind::Gift, Names::Nothing),
            Command::Hold(c) => Self::One(Kind::Hold, Names::Provider(&c.provider)),
            Command::Send(_) => Self::One(Kind::Send, Names::Nothing),
            Command::Query(_) => Self::One(Kind::Query, Names::Nothing),
            Command::Unresolved(_) => Self::One(Kind::Unresolved, Names::Nothing),
            Command::HandOver(_) => Self::One(Kind::HandOver, Names::Nothing),
            Command::Capture(_) => Self::One(Kind::Capture, Names::Nothing),
            Command::Release(_) => Self::One(Kind::Release, Names::Nothing),
            Command::Refund(_) => Self::One(Kind::Refund, Names::Nothing),
            Command::RollBackRefund(_) => Self::One(Kind::RollBackRefund, Names::Nothing),
            Command::Group(members) => Self::Group(members),
            Command::Credit(_)
            | Command::TakeBack(_)
            | Command::GiveBack(_)
            | Command::TakeReference(_)
            | Command::ExpireLot(_)
            | Command::ExpireHold(_) => Self::Never,
        }
    }
}

impl Kind {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::TopUp => "top_up",
            Self::Chargeback => "chargeback",
            Self::Reinstate => "reinstate",
            Self::Grant => "grant",
            Self::Gift => "gift",
            Self::Hold => "hold",
            Self::Send => "send",
            Self::Query => "query",
            Self::Unresolved => "unresolved",
            Self::HandOver => "hand_over",
            Self::Capture => "capture",
            Self::Release => "release",
            Self::Refund => "refund",
            Self::RollBackRefund => "roll_back_refund",
        }
    }
}

/// Which coins a command makes: brings into being, or back after they were charged. A hold, a capture and a release
/// move what the user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// None.
    Nothing,
    /// As many as it states.
    Coins(Coins),
    /// Some, and it does not state how many.
    Untold,
}

impl Makes {
    /// What `command` makes, where it is no group.
    #[inline]
    fn of(command: &Command) -> Self {
        match command {
            Command::TopUp(top_up) => Self::Coins(top_up.coins),
            Command::Grant(grant) => Self::Coins(grant.coins),
            Command::Refund(refund) => refund.coins.map_or(Self::Untold, Self::Coins),
            // A group within a group is malformed; whatever it would make is not told here.
            Command::Reinstate(_) | Command::Group(_) => Self::Untold,
            Command::Publish(_)
            | Command::Chargeback(_)
            | Command::Gift(_)
            | Command::Hold(_)
            | Command::Send(_)
            | Command::Query(_)
            | Command::Unresolved(_)
            | Command::HandOver(_)
            | Command::Capture(_)
            | Command::Release(_)
            | Command::RollBackRefund(_)
            | Command::Credit(_)
            | Command::TakeBack(_)
            | Command::GiveBack(_)
            | Command::TakeReference(_)
            | Command::ExpireLot(_)
            | Command::ExpireHold(_) => Self::Nothing,
        }
    }

    /// Whether a command that is no group makes coins without stating how many.
    #[inline]
    pub fn is_untold(command: &Command) -> bool {
        Self::of(command) == Self::Untold
    }
}

/// The coins that daily coins count for a command, of a group for all its members. What is not told counts as all
/// there can be, so that no limit lets it through.
///
/// # Errors
/// If a group makes more than there can be.
pub fn counted(command: &Command) -> Result<Coins, MoneyError> {
    let one = |command: &Command| match Makes::of(command) {
        Makes::Nothing => Coins::ZERO,
        Makes::Coins(coins) => coins,
        Makes::Untold => Coins::MAX,
    };
    match Sent::of(command) {
        Sent::Group(members) => members.iter().try_fold(Coins::ZERO, |sum, member| sum.plus(one(member))),
        Sent::One(..) | Sent::Never => Ok(one(command)),
    }
}

/// A set of kinds: a bit each, so that a command of a bulk is asked about in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u16);

impl Kinds {
    /// No kind.
    pub const NONE: Self = Self(0);

    /// These.
    pub const fn of(kinds: &[Kind]) -> Self {
        let mut set = 0;
        let mut i = 0;
        while i < kinds.len() {
            set |= 1 << kinds[i] as u16;
            i += 1;
        }
        Self(set)
    }

    /// Whether `kind` is one of them.
    #[inline]
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }

    /// Those of either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::fmt::Debug for Kinds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds = <Kind as clap::ValueEnum>::value_variants().iter().filter(|kind| self.has(**kind));
        f.debug_set().entries(kinds.map(|kind| kind.name())).finish()
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn command(json: &str) -> Command {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn access_knows_each_kind_by_the_name_that_the_command_has() {
        for kind in Kind::value_variants() {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            assert_eq!(kind.to_possible_value().unwrap().get_name(), kind.name());
        }
        let order = r#"{"user":"u","name":{"number":"3-17"}}"#;
        for (json, expected) in [
            (r#"{"grant":{"user":"u","coins":1,"reason":"r"}}"#.to_owned(), Kind::Grant),
            (format!(r#"{{"hand_over":{{"order":{order},"reason":"r"}}}}"#), Kind::HandOver),
            (format!(r#"{{"refund":{{"order":{order},"reason":"r"}}}}"#), Kind::Refund),
        ] {
            let command = command(&json);
            assert_eq!(Sent::of(&command), Sent::One(expected, Names::Nothing));
            assert_eq!(command.kind(), expected.name());
        }
        let own = command(r#"{"credit":{"user":"u","coins":1,"channel":"c","transaction":"t"}}"#);
        assert_eq!(Sent::of(&own), Sent::Never);
    }

    #[test]
    fn access_counts_the_coins_that_come_into_being_or_back() {
        let order = r#""order":{"user":"u","name":{"number":"3-17"}}"#;
        let grant = r#"{"grant":{"user":"u","coins":5,"reason":"r"}}"#;
        for (json, expected) in [
            (grant.to_owned(), 5),
            (r#"{"top_up":{"user":"u","channel":"c","transaction":"t","coins":7,"paid":{"currency":"CNY","amount":"1.00"}}}"#.to_owned(), 7),
            (format!(r#"{{"refund":{{{order},"coins":3,"reason":"r"}}}}"#), 3),
            (format!(r#"{{"capture":{{{order},"coins":3}}}}"#), 0),
            (format!(r#"{{"refund":{{{order},"reason":"r"}}}}"#), Coins::MAX.get()),
            (r#"{"reinstate":{"channel":"c","transaction":"t"}}"#.to_owned(), Coins::MAX.get()),
            (r#"{"chargeback":{"channel":"c","transaction":"t"}}"#.to_owned(), 0),
            (r#"{"hold":{"user":"u","provider":"p","coins":9,"deadline":"2026-01-01T00:00:00Z"}}"#.to_owned(), 0),
            (format!(r#"{{"group":[{grant},{grant},{{"refund":{{{order},"coins":3,"reason":"r"}}}}]}}"#), 13),
        ] {
            assert_eq!(counted(&command(&json)).unwrap().get(), expected, "{json}");
        }
        let most = format!(r#"{{"grant":{{"user":"u","coins":{},"reason":"r"}}}}"#, Coins::MAX);
        counted(&command(&format!(r#"{{"group":[{most},{most}]}}"#))).unwrap_err();
    }
}
