//! The reference data that holds: catalogue, entity, terms and memberships, by which version.

use replay::AsOf;
use schemars::JsonSchema;
use schemas::{Entity, GiftItem, GuildTerms, Membership, StreamerTerms, Timestamp};
use serde::{Deserialize, Serialize};

use crate::app::{Ledger, Result, asked};

/// What holds now, or held then.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// As of a time or a position `<shard>-<sequence>`.
    #[serde(default, deserialize_with = "asked::optional")]
    #[schemars(with = "Option<asked::Moment>")]
    pub as_of: Option<AsOf>,
}

/// What holds.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReferenceData")]
pub struct Answer {
    /// The clock of the answer.
    pub as_of: Timestamp,
    /// The number of the last version that holds; 0 before the first.
    pub version: u64,
    /// Whose books these are; absent before one is published.
    pub entity: Option<Entity>,
    /// What can be given, by name.
    pub items: Vec<GiftItem>,
    /// What streamers are paid, the default first.
    pub streamers: Vec<StreamerTerms>,
    /// What guilds are paid.
    pub guilds: Vec<GuildTerms>,
    /// Who belongs to which guild, from when on.
    pub memberships: Vec<Membership>,
}

impl Question {
    /// Folds the log.
    pub fn ask(&self, ledger: &Ledger) -> Result<Answer> {
        let (reference, as_of) = ledger.reference(self.as_of.unwrap_or(AsOf::End))?;
        let holds = reference.at(as_of);
        Ok(Answer {
            as_of,
            version: holds.version(),
            entity: holds.entity().copied(),
            items: holds.items().cloned().collect(),
            streamers: holds.streamer_terms().collect(),
            guilds: holds.guild_terms().collect(),
            memberships: holds.memberships().collect(),
        })
    }
}
