//! What every request has at hand.

use std::{ops::Deref, sync::Arc};

use ledger::Engine;

use super::problem::Problem;

/// A ledger that runs, as requests see it.
#[derive(Debug, Clone)]
pub struct Door(Arc<Running>);

/// What runs.
#[derive(Debug)]
pub struct Running {
    pub engine: Arc<Engine>,
}

impl Door {
    pub fn new(running: Running) -> Self {
        Self(Arc::new(running))
    }

    /// Does what waits or reads the disk, where no other request waits for it.
    ///
    /// # Errors
    /// What it says.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let door = self.clone();
        match tokio::task::spawn_blocking(move || work(&door)).await {
            Ok(done) => done,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

impl Deref for Door {
    type Target = Running;
    fn deref(&self) -> &Running {
        &self.0
    }
}
