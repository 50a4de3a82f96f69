//! Which services have asked: what is met where two of them use one id, or one names what another did.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Command, CommandId, PartName, Source, Subject};

use crate::model::{Key, names};

/// By subject and id, the services whose command has its record.
#[derive(Debug, Default)]
pub(crate) struct Askers(BTreeMap<(Subject, CommandId), BTreeSet<Source>>);

impl Askers {
    /// A command has its record.
    pub(crate) fn note(&mut self, (subject, asker, id): &Key) {
        self.0.entry((subject.clone(), id.clone())).or_default().insert(asker.clone());
    }

    /// Whether a command of another service has its record under this id.
    pub(crate) fn others_have(&self, (subject, asker, id): &Key) -> bool {
        self.0.get(&(subject.clone(), id.clone())).is_some_and(|askers| askers.iter().any(|other| other != asker))
    }

    /// What a command tells about services that was taken, or was not.
    pub(crate) fn facts_of(&self, key: &Key, command: &Command, taken: bool) -> Vec<&'static str> {
        let (subject, asker, id) = key;
        let mut command = command.clone();
        let is_group = matches!(command, Command::Group(_));
        let named = names(&mut command);
        let is = |is_so: &dyn Fn(&PartName) -> bool| named.iter().any(|name| is_so(name));
        let is_others = |name: &PartName| name.source.as_ref().is_some_and(|source| source != asker);
        let is_unsaid = |name: &PartName| {
            let own = (subject.clone(), asker.clone(), name.command.clone());
            name.source.is_none() && name.command != *id && !self.has(&own) && self.others_have(&own)
        };
        let facts = [
            ("an id that another service has", self.others_have(key)),
            ("the own service is said", taken && is(&|name| name.source.as_ref() == Some(asker))),
            ("another service's command is named", taken && is(&is_others)),
            ("another service's command is named as the own", !taken && is(&is_unsaid)),
            (
                "a group names another service's command of its own id",
                is_group && is(&|name| is_others(name) && name.command == *id),
            ),
        ];
        facts.into_iter().filter(|(_, is_so)| *is_so).map(|(fact, _)| fact).collect()
    }

    fn has(&self, (subject, asker, id): &Key) -> bool {
        self.0.get(&(subject.clone(), id.clone())).is_some_and(|askers| askers.contains(asker))
    }
}
