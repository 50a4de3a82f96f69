//! Who may ask for what. A token belongs to a person or a service, fixes the source of what it sends, and names what
//! may be sent with it.
//!
//! ```text
//! name, secret    what a token is called, and what proves that one has it
//! kinds, roles    what may be done: sets of command kinds, and the one table of roles
//! terms           what a token says, and whether it allows a command or a right
//! rate, daily     how much of it: commands a second, coins a day
//! tokens          the tokens in `service.db`: make, list, rotate, revoke
//! gate            the tokens in memory, and the checks of a server's requests
//! refused         who was turned away
//! ```
//!
//! Invariants. A secret is shown once, to whom it was made for; its hash alone is kept. What cannot be checked is
//! refused. Whatever another process changes holds here within a second. Daily coins are counted before anything
//! is decided: too many after a crash, never too few.

pub mod daily;
pub mod denied;
pub mod gate;
pub mod kinds;
pub mod name;
pub mod rate;
pub mod refused;
pub mod roles;
pub mod secret;
pub mod terms;
pub mod tokens;
