//! Who hands commands in.

use schemas::{ActorId, Origin, Source};

/// Who hands commands in: the service that asks, and the principal of the token that it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    origin: Origin,
    principal: Option<ActorId>,
}

impl Caller {
    /// A service: its ids are its own. The commands say who acted.
    pub fn of(source: Source) -> Self {
        Self { origin: Origin::Caller(source), principal: None }
    }

    /// Who sits at the ledger's own machine.
    pub fn cli() -> Self {
        Self::of(Source::cli())
    }

    /// The same, where it is known whose token is used: that is who acted, whatever a command says, which is kept
    /// as for whom.
    #[must_use]
    pub fn acting_as(self, principal: ActorId) -> Self {
        Self { principal: Some(principal), ..self }
    }

    /// The service.
    pub fn source(&self) -> &Source {
        self.origin.source().expect("it was made of one")
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Who acted, and for whom, where the command names `actor`.
    #[inline]
    pub(crate) fn acting(&self, actor: Option<&ActorId>) -> (Option<ActorId>, Option<ActorId>) {
        match &self.principal {
            Some(principal) => (Some(principal.clone()), actor.cloned()),
            None => (actor.cloned(), None),
        }
    }
}

impl Default for Caller {
    fn default() -> Self {
        Self::cli()
    }
}
