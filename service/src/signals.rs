//! Signals that ask the process to end. The first SIGTERM or Ctrl-C asks what is under way to end in
//! order, a second one ends the process at once. Only work that calls [`check`] now and then asks for
//! that, with [`catch`]; everything else dies of them as ever.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag,
};

/// How soon a wait notices that it is to end.
pub const NOTICE: Duration = Duration::from_millis(50);
/// What a shell adds to the number of the signal that a process ended by.
const BY_SIGNAL: u8 = 128;

/// The number of the first signal that came, once there was one; empty until somebody looks for it.
static FIRST: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// A command ended because it was asked to, and says what it had done by then.
#[derive(Debug, thiserror::Error)]
#[error("ended by {signal}: {done}")]
pub struct Interrupted {
    signal: Signal,
    done: String,
}

/// A signal that asks to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(u8);

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if i32::from(self.0) == SIGINT { "Ctrl-C" } else { "SIGTERM" })
    }
}

impl Interrupted {
    /// As shells have it: 130 after Ctrl-C, 143 after SIGTERM.
    pub fn exit_code(&self) -> u8 {
        BY_SIGNAL + self.signal.0
    }
}

/// A file beyond the limit of `ulimit -f` is a write that fails, not a signal that kills.
pub fn let_large_files_fail() {
    // Whether it came is nobody's concern. Where no handler can be set, the limit kills as it did.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// From now on the first signal only asks, and whoever works calls [`check`].
pub fn catch() {
    FIRST.get_or_init(|| {
        let first = Arc::new(AtomicUsize::new(0));
        let came = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            let number = u8::try_from(signal).unwrap_or_default();
            // In this order: the first signal finds that none had come, and says that one has.
            // Where no handler can be set, the first one ends the process, as without us.
            let _ = flag::register_conditional_shutdown(signal, (BY_SIGNAL + number).into(), came.clone())
                .and_then(|_| flag::register(signal, came.clone()))
                .and_then(|_| flag::register_usize(signal, first.clone(), number.into()));
        }
        first
    });
}

/// Is set by every SIGHUP from now on, which then ends nothing: whoever looks takes it back.
pub fn on_hang_up() -> Arc<AtomicBool> {
    static ASKED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let asked = ASKED.get_or_init(|| {
        let asked = Arc::new(AtomicBool::new(false));
        // Where no handler can be set, the signal ends the process, as without us.
        let _ = flag::register(SIGHUP, Arc::clone(&asked));
        asked
    });
    Arc::clone(asked)
}

/// The signal that asked to end, if one did.
fn asked() -> Option<Signal> {
    let number = FIRST.get()?.load(Ordering::Relaxed);
    (number > 0).then(|| Signal(u8::try_from(number).unwrap_or_default()))
}

/// Fails once the command was asked to end; `done` says what was done by then.
///
/// # Errors
/// [`Interrupted`].
pub fn check(done: impl FnOnce() -> String) -> Result<(), Interrupted> {
    match asked() {
        None => Ok(()),
        Some(signal) => Err(Interrupted { signal, done: done() }),
    }
}

/// Comes when the command is asked to end.
pub async fn asked_to_end() {
    while asked().is_none() {
        tokio::time::sleep(NOTICE).await;
    }
}

/// Waits, unless it is asked to end.
///
/// # Errors
/// [`Interrupted`].
pub fn pause(time: Duration, done: impl FnOnce() -> String) -> Result<(), Interrupted> {
    let begun = Instant::now();
    while asked().is_none()
        && let Some(left) = time.checked_sub(begun.elapsed())
        && !left.is_zero()
    {
        std::thread::sleep(left.min(NOTICE));
    }
    check(done)
}
