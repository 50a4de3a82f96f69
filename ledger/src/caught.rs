//! `apply` and the postings are total on what was decided, and stop at anything else. A log or a snapshot
//! that somebody forged, hashes and all, is anything else: whoever folds what may be forged catches that.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// What `run` gives, or why it stopped. Whatever it was changing is not to be used then.
///
/// # Errors
/// What the stop said.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    let outer = CATCHING.replace(true);
    let ran = catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(outer);
    ran.map_err(|panic| match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(why), _) => why.clone(),
        (None, Some(why)) => (*why).to_owned(),
        (None, None) => "it is not what was decided".to_owned(),
    })
}

/// Whether this thread's stops are caught and told by whoever catches them: then nobody else need.
pub fn is_catching() -> bool {
    CATCHING.get()
}
