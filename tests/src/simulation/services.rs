//! Who the clients are: each belongs to a service, and some act as a principal. How they name what other
//! services did, and when one uses another's ids.

use ledger::Caller;
use schemas::{ActorId, Command, Envelope, Record, Source};

use super::dice::{Concern, Dice};
use crate::model::names;

/// All have names of one length, so that whoever asks, what is written is as long.
const SOURCES: [&str; 3] = ["cli", "pay", "vip"];

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The service.
    pub source: Source,
    /// Whose token is used, where that is known.
    pub principal: Option<ActorId>,
}

/// Who acted, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acting {
    /// Who.
    pub actor: Option<ActorId>,
    /// For whom, where a token says who acted.
    pub on_behalf_of: Option<ActorId>,
}

/// The services of a schedule, and the clients that belong to them.
#[derive(Debug)]
pub struct Services {
    /// None where all is asked by one service, and nobody says who acts.
    dice: Option<Dice>,
    sources: Vec<Source>,
    clients: Vec<Identity>,
}

impl Identity {
    /// The same for the ledger.
    pub fn caller(&self) -> Caller {
        let caller = Caller::of(self.source.clone());
        match &self.principal {
            Some(principal) => caller.acting_as(principal.clone()),
            None => caller,
        }
    }

    /// What has to be on the record of a command that names an actor, or none.
    pub fn acting(&self, named: Option<&ActorId>) -> Acting {
        match &self.principal {
            Some(principal) => Acting { actor: Some(principal.clone()), on_behalf_of: named.cloned() },
            None => Acting { actor: named.cloned(), on_behalf_of: None },
        }
    }
}

impl Acting {
    /// As a record has it.
    pub fn of(record: &Record) -> Self {
        Self { actor: record.actor.clone(), on_behalf_of: record.on_behalf_of.clone() }
    }
}

impl Services {
    /// One service, as before there were several.
    pub fn one(clients: usize) -> Self {
        let identity = Identity { source: Source::cli(), principal: None };
        Self { dice: None, sources: vec![Source::cli()], clients: vec![identity; clients] }
    }

    /// Of a schedule: mostly two or three.
    pub fn several(seed: u64, clients: usize) -> Self {
        let mut dice = Dice::of(seed, Concern::Services);
        let many = dice.weighed(&[(1, 1), (4, 2), (3, 3)]);
        let sources: Vec<Source> = SOURCES[..many].iter().map(|source| source.parse().expect("a source")).collect();
        let clients = (0..clients)
            .map(|client| Identity {
                source: dice.one_of(&sources).clone(),
                principal: dice.happens(400).then(|| actor(&format!("owner-{client}"))),
            })
            .collect();
        Self { dice: Some(dice), sources, clients }
    }

    /// The service that a client belongs to.
    pub fn of(&self, client: usize) -> &Source {
        &self.clients[client].source
    }

    /// A client as it asks for a command of that service; now and then somebody else has its token.
    pub fn identity(&mut self, client: usize, source: &Source) -> Identity {
        let successor = self.happens(50).then(|| actor("successor"));
        Identity { source: source.clone(), principal: successor.or_else(|| self.clients[client].principal.clone()) }
    }

    /// Another service than that, where there is one.
    pub fn other(&mut self, than: &Source) -> Option<Source> {
        let others: Vec<Source> = self.sources.iter().filter(|source| *source != than).cloned().collect();
        let dice = self.dice.as_mut().filter(|_| !others.is_empty())?;
        Some(dice.one_of(&others).clone())
    }

    /// Whether something happens that does so `times` in a thousand where there are services.
    pub fn happens(&mut self, times: u32) -> bool {
        self.dice.as_mut().is_some_and(|dice| dice.happens(times))
    }

    /// Which of so many things.
    pub fn below(&mut self, n: usize) -> usize {
        self.dice.as_mut().map_or(0, |dice| dice.below(n))
    }

    /// Words a new command of `own`, in which everything is named in full that is not its own: the own service
    /// mostly goes without saying, and now and then it is forgotten to say another one.
    pub fn word(&mut self, envelope: &mut Envelope, own: &Source) {
        for name in names(&mut envelope.command) {
            if name.source.as_ref().is_none_or(|source| source == own) {
                name.source = self.happens(200).then(|| own.clone());
            } else if self.happens(120) {
                name.source = None;
            }
        }
        self.name_actor(envelope, 200);
    }

    /// Says a command of `own` in other words that mean the same.
    pub fn reword(&mut self, envelope: &mut Envelope, own: &Source) {
        if !self.happens(300) {
            return;
        }
        for name in names(&mut envelope.command) {
            match &name.source {
                None if self.happens(700) => name.source = Some(own.clone()),
                Some(source) if source == own && self.happens(700) => name.source = None,
                _ => {}
            }
        }
        self.name_actor(envelope, 300);
    }

    fn name_actor(&mut self, envelope: &mut Envelope, times: u32) {
        if self.happens(times) {
            envelope.actor = Some(actor(["clerk-1", "clerk-2"][self.below(2)]));
        }
    }
}

/// Names everything in full, so that it means the same whoever asks.
pub fn in_full(command: &mut Command, own: &Source) {
    for name in names(command) {
        name.source.get_or_insert_with(|| own.clone());
    }
}

fn actor(name: &str) -> ActorId {
    name.parse().expect("an actor's id")
}
