//! The real binary, as its users run it.

use std::process::Command;

/// The binary beside the running test: both are built with the same profile.
///
/// # Panics
/// If it was not built.
pub fn giftledger() -> Command {
    let test = std::env::current_exe().expect("a test knows its own file");
    let folder = test.ancestors().nth(2).expect("tests lie in deps, the binary beside that");
    let binary = folder.join("giftledger");
    assert!(binary.is_file(), "{} is not there: make it with `cargo build --release`", binary.display());
    let mut command = Command::new(binary);
    command.env_remove("GIFTLEDGER_DATA").env_remove("GIFTLEDGER_LOG");
    command
}
