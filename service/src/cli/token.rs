//! `token`: who may ask a server for what.

use std::{io::Write, num::NonZeroU32};

use anyhow::Result;
use chrono_tz::Tz;
use ledger::{Clock, SystemClock};
use schemas::{ActorId, ChannelId, Coins, ProviderId, Source, Timestamp};
use serde::Serialize;

use super::{Ended, Global, Home, parse_source, show};
use crate::{
    access::{
        kinds::Kind,
        name::Name,
        refused::{self, Attempt},
        roles::{Allowed, Role},
        secret::Secret,
        terms::{Holder, Terms},
        tokens::{self, Listed, ListedSecret},
    },
    app::{self, Age, parse_coins},
    ledger_dir::LedgerDir,
    local_time::{local, titled},
    output::{json_line, print_json, say, stdout, table, thousands},
    store::{self, Store},
};

/// Make and end the tokens by which a server knows who asks.
///
/// A server that runs takes a new token at once, and stops a revoked one within a second. From the first token on,
/// it answers nobody without one.
#[derive(Debug, clap::Subcommand)]
pub enum Token {
    Create(Create),
    List(List),
    Rotate(Rotate),
    Revoke(Revoke),
    Refused(Refused),
}

impl Token {
    pub fn run(self, global: &Global) -> Result<Ended> {
        match self {
            Self::Create(command) => command.run(global),
            Self::List(command) => command.run(global),
            Self::Rotate(command) => command.run(global),
            Self::Revoke(command) => command.run(global),
            Self::Refused(command) => command.run(global),
        }
    }
}

/// Make a token; its secret is shown once.
///
/// `token create --name gifts --role append`, `token create --name wechat-pay --role payments --channel wechat
/// --daily-coins 5000000`, `token create --name ann --person ann --role support,approve`
#[derive(Debug, clap::Args)]
pub struct Create {
    /// What it is called: 1 to 64 letters, digits and . _ - @ + ~
    #[arg(long)]
    name: Name,
    /// What its holder does.
    #[arg(long = "role", value_enum, value_delimiter = ',', num_args = 1.., required_unless_present = "allow")]
    roles: Vec<Role>,
    /// The person who holds it, recorded as the actor of what is sent.
    #[arg(long, value_name = "ID", conflicts_with = "service")]
    person: Option<ActorId>,
    /// The service that holds it, recorded as the actor of what is sent [default: the name]
    #[arg(long, value_name = "ID")]
    service: Option<ActorId>,
    /// The source of what is sent: ids of commands are unique in it [default: the person or service]
    #[arg(long, value_parser = parse_source)]
    source: Option<Source>,
    /// Kinds of commands beyond those of its roles.
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',', num_args = 1..)]
    allow: Vec<Kind>,
    /// Only payments of these channels [default: all]
    #[arg(long = "channel", value_name = "CHANNEL", value_delimiter = ',', num_args = 1..)]
    channels: Vec<ChannelId>,
    /// Only holds for these providers [default: all]
    #[arg(long = "provider", value_name = "PROVIDER", value_delimiter = ',', num_args = 1..)]
    providers: Vec<ProviderId>,
    /// The most coins that may be topped up, granted and refunded with it in a day of UTC.
    #[arg(long, value_name = "COINS", value_parser = parse_coins)]
    daily_coins: Option<Coins>,
    /// The most commands a second that may be sent with it.
    #[arg(long, value_name = "N")]
    per_second: Option<NonZeroU32>,
    /// Until when it works; without end where absent.
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
}

/// List the tokens, without their secrets.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Those too that were revoked or have expired.
    #[arg(long)]
    all: bool,
}

/// Give a token a new secret; it is shown once.
///
/// The one before works for a while, so that whoever uses it can change. If others may know it, say --grace 0s.
#[derive(Debug, clap::Args)]
pub struct Rotate {
    /// Which token.
    name: Name,
    /// How long the secret before works: 0s, 15m, 1h, 3d.
    #[arg(long, value_name = "AGE", default_value = "1h")]
    grace: Age,
}

/// End a token.
#[derive(Debug, clap::Args)]
pub struct Revoke {
    /// Which token.
    name: Name,
}

/// Show who was turned away, the newest first.
#[derive(Debug, clap::Args)]
pub struct Refused {
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

/// A secret, for whom it was made, once.
#[derive(Serialize)]
struct Shown<'a> {
    token: &'a str,
    name: &'a Name,
    last_four: &'a str,
    #[serde(flatten)]
    terms: Option<&'a Terms>,
    /// Until when those before it work.
    #[serde(skip_serializing_if = "Option::is_none")]
    others_until: Option<Timestamp>,
}

impl Create {
    fn run(self, global: &Global) -> Result<Ended> {
        let name = self.name.clone();
        let terms = self.terms()?;
        let secret =
            with_store(&global.ledger()?, async |store| tokens::create(store, &name, &terms, SystemClock.now()).await)?;
        if global.json {
            return show_once(&name, &secret, Some(&terms), None);
        }
        say_once(&format!("Token {name} is made, for {}: {}.", may(&terms), limits(&terms, None)), &secret)
    }

    /// # Errors
    /// If a limit has nothing to limit, or a service is to approve.
    fn terms(self) -> app::Result<Terms> {
        let allowed = Allowed::by(&self.roles, &self.allow).kinds;
        let idle = |flag: &str, kinds: &[Kind]| {
            let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
            let names = names.join(", ");
            let said = format!("{flag} limits {names}, and no --role or --allow lets the token send any of them");
            if kinds.iter().any(|kind| allowed.has(*kind)) { Ok(()) } else { Err(app::Error::Unasked(said)) }
        };
        if !self.channels.is_empty() {
            idle("--channel", &[Kind::TopUp, Kind::Chargeback, Kind::Reinstate])?;
        }
        if !self.providers.is_empty() {
            idle("--provider", &[Kind::Hold])?;
        }
        if self.daily_coins.is_some() {
            idle("--daily-coins", &[Kind::TopUp, Kind::Grant, Kind::Refund])?;
        }
        if self.person.is_none() && self.roles.contains(&Role::Approve) {
            return Err(app::Error::Unasked("only a person can approve: say who holds the token with --person".into()));
        }
        let (kind, principal) = match (self.person, self.service) {
            (Some(person), _) => (Holder::Person, person),
            (None, Some(service)) => (Holder::Service, service),
            (None, None) => (Holder::Service, self.name.as_str().parse().expect("names are ids too")),
        };
        let source = self.source.map_or_else(|| parse_source(principal.as_str()), Ok);
        let source = source.map_err(|said| app::Error::Unasked(format!("{said} with --source")))?;
        let (mut roles, mut allow) = (self.roles, self.allow);
        roles.sort();
        roles.dedup();
        allow.sort();
        allow.dedup();
        let (channels, providers) = (self.channels, self.providers);
        let (daily_coins, per_second, expires) = (self.daily_coins, self.per_second, self.expires);
        Ok(Terms { principal, kind, source, roles, allow, channels, providers, daily_coins, per_second, expires })
    }
}

impl List {
    fn run(&self, global: &Global) -> Result<Ended> {
        let now = SystemClock.now();
        let mut listed = with_store(&global.ledger()?, async |store| tokens::list(store, now).await)?;
        let all = listed.len();
        if !self.all {
            listed.retain(|token| token.revoked.is_none() && token.terms.expires.is_none_or(|at| at > now));
        }
        if global.json {
            let mut out = stdout();
            listed.iter().try_for_each(|token| json_line(&mut out, token))?;
            out.flush()?;
            return Ok(Ended::Well);
        }
        let hidden = all - listed.len();
        show(global, &Home::Folder(global.ledger_to_read()?), (&listed, None), |out, listed, zone| {
            print(out, listed, hidden, zone)
        })
    }
}

impl Rotate {
    fn run(self, global: &Global) -> Result<Ended> {
        let now = SystemClock.now();
        let secret = with_store(&global.ledger()?, async |store| {
            tokens::rotate(store, &self.name, self.grace.millis(), now).await
        })?;
        let until = now.plus_millis(self.grace.millis());
        if global.json {
            return show_once(&self.name, &secret, None, Some(until));
        }
        let name = self.name;
        let before = if self.grace.millis() == 0 {
            "the one before does not work any more".to_owned()
        } else {
            format!("the one before works until {until}")
        };
        say_once(&format!("Token {name} has a new secret; {before}."), &secret)
    }
}

impl Revoke {
    fn run(self, global: &Global) -> Result<Ended> {
        let now = SystemClock.now();
        with_store(&global.ledger()?, async |store| tokens::revoke(store, &self.name, now).await)?;
        if global.json {
            print_json(&serde_json::json!({ "name": self.name, "revoked": now }))?;
        } else {
            say(&format!("Token {} is revoked; a server that runs stops it within a second.", self.name))?;
        }
        Ok(Ended::Well)
    }
}

impl Refused {
    fn run(&self, global: &Global) -> Result<Ended> {
        let newest = with_store(&global.ledger()?, async |store| Ok(refused::newest(store, self.limit).await?))?;
        if global.json {
            let mut out = stdout();
            newest.iter().try_for_each(|attempt| json_line(&mut out, attempt))?;
            out.flush()?;
            return Ok(Ended::Well);
        }
        let limit = self.limit as usize;
        show(global, &Home::Folder(global.ledger_to_read()?), (&newest, None), |out, newest, zone| {
            print_refused(out, newest, zone)?;
            if newest.len() == limit {
                writeln!(out, "there may be older ones: raise --limit")?;
            }
            Ok(())
        })
    }
}

/// Opens the database of a ledger that is there, and closes it whatever came of `work`.
fn with_store<T>(ledger: &LedgerDir, work: impl AsyncFnOnce(&Store) -> app::Result<T>) -> app::Result<T> {
    store::block_on(async {
        let store = Store::open(ledger).await?;
        let done = work(&store).await;
        store.close().await;
        done
    })
}

fn show_once(name: &Name, secret: &Secret, terms: Option<&Terms>, others_until: Option<Timestamp>) -> Result<Ended> {
    print_json(&Shown { token: secret.expose(), name, last_four: secret.last_four(), terms, others_until })?;
    Ok(Ended::Well)
}

fn say_once(what: &str, secret: &Secret) -> Result<Ended> {
    let secret = secret.expose();
    say(&format!(
        "{what}\n\n    {secret}\n\nThis is shown once: only its hash is kept. Send it as Authorization: Bearer gl_…"
    ))?;
    Ok(Ended::Well)
}

/// What a token is for.
fn may(terms: &Terms) -> String {
    let roles = terms.roles.iter().map(|role| role.name());
    let kinds = terms.allow.iter().map(|kind| kind.name());
    roles.chain(kinds).collect::<Vec<_>>().join(", ")
}

/// Whose it is and what limits it; `today` is what counts against its daily coins already.
fn limits(terms: &Terms, today: Option<u64>) -> String {
    let holder = match terms.kind {
        Holder::Person => "person",
        Holder::Service => "service",
    };
    let mut said = vec![format!("{holder} {}", terms.principal)];
    if terms.source.as_str() != terms.principal.as_str() {
        said.push(format!("source {}", terms.source));
    }
    let ids = |ids: Vec<String>, one: &str, more: &str| match &ids[..] {
        [] => None,
        [id] => Some(format!("{one} {id}")),
        _ => Some(format!("{more} {}", ids.join(", "))),
    };
    said.extend(ids(terms.channels.iter().map(ToString::to_string).collect(), "channel", "channels"));
    said.extend(ids(terms.providers.iter().map(ToString::to_string).collect(), "provider", "providers"));
    said.extend(terms.daily_coins.map(|coins| match today {
        Some(today) => format!("{} of {} coins today", thousands(today), thousands(coins)),
        None => format!("{} coins a day", thousands(coins)),
    }));
    said.extend(terms.per_second.map(|n| format!("{} commands a second", thousands(n))));
    said.join("; ")
}

fn print(out: &mut dyn Write, listed: &[Listed], hidden: usize, zone: Tz) -> Result<()> {
    let rows = listed.iter().map(|token| {
        let until = match (token.revoked, token.terms.expires) {
            (Some(at), _) => format!("revoked {}", local(at, zone)),
            (None, Some(at)) => local(at, zone),
            (None, None) => "no end".to_owned(),
        };
        let secrets = token.secrets.iter().map(|ListedSecret { last_four, until, .. }| match until {
            None => format!("…{last_four}"),
            Some(until) => format!("…{last_four} until {}", local(*until, zone)),
        });
        let secrets = secrets.collect::<Vec<_>>().join(", ");
        vec![token.name.to_string(), may(&token.terms), limits(&token.terms, Some(token.coins_today)), secrets, until]
    });
    if listed.is_empty() {
        writeln!(out, "there is no token in force: a server on loopback asks for none until one was ever made")?;
    } else {
        let header = ["token", "may", "for", "secret", &*titled("until", zone)];
        writeln!(out, "{}", table(&header, &[], rows))?;
    }
    if hidden > 0 {
        writeln!(out, "{} that were revoked or have expired are left out: say --all", thousands(hidden))?;
    }
    Ok(())
}

fn print_refused(out: &mut dyn Write, newest: &[Attempt], zone: Tz) -> Result<()> {
    if newest.is_empty() {
        return Ok(writeln!(out, "nobody was turned away")?);
    }
    let rows = newest.iter().map(|attempt| {
        let Attempt { time, token, method, path, code, remote, missed } = attempt;
        let missed = if *missed == 0 { String::new() } else { thousands(missed) };
        let token = token.clone().unwrap_or_default();
        vec![local(*time, zone), token, format!("{method} {path}"), code.clone(), remote.clone(), missed]
    });
    let header = [&*titled("time", zone), "token", "what", "why", "from", "not kept before it"];
    writeln!(out, "{}", table(&header, &[5], rows))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(subcommand)]
        token: Token,
    }

    fn typed(line: &str) -> Result<Terms, String> {
        let parsed = Typed::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        let Token::Create(create) = parsed.token else { panic!("{line} makes a token") };
        create.terms().map_err(|error| error.to_string())
    }

    #[test]
    fn access_terms_are_what_was_typed() {
        let plain = typed("token create --name gifts --role append").unwrap();
        assert_eq!((plain.kind, plain.principal.as_str(), plain.source.as_str()), (Holder::Service, "gifts", "gifts"));
        assert_eq!((may(&plain), limits(&plain, None)), ("append".into(), "service gifts".into()));
        let full = typed(
            "token create --name pay --person ann --source shop --role support payments,read --allow hold --channel c2 \
             c1 --provider p --daily-coins 5000 --per-second 20 --expires 2099-01-01T00:00:00Z",
        )
        .unwrap();
        assert_eq!(may(&full), "read, payments, support, hold");
        let said = "person ann; source shop; channels c2, c1; provider p; 7 of 5,000 coins today; 20 commands a second";
        assert_eq!(limits(&full, Some(7)), said);
        for (line, said) in [
            ("token create --name t", "--role"),
            ("token create --name t --role appedn", "'append'"),
            ("token create --name t --allow topup", "'top_up'"),
            ("token create --name t/t --role read", "is no name of a token"),
            ("token create --name t --role read --channel c", "--channel limits top_up, chargeback, reinstate"),
            ("token create --name t --role payments --provider p", "--provider limits hold"),
            ("token create --name t --role append --daily-coins 5", "--daily-coins limits top_up, grant, refund"),
            ("token create --name driver --role append", "take another name with --source"),
            ("token create --name t --role append --source driver", "take another name"),
            ("token create --name t --role approve", "only a person can approve"),
            ("token create --name t --role read --person a --service b", "cannot be used"),
            ("token create --name t --role read --per-second 0", "invalid value"),
        ] {
            let error = typed(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
