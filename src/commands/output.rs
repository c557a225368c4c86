//! Standard output of the commands that print one text.

use std::io::{Write as _, stdout};

use anyhow::Context as _;

use super::{CommandOutcome, Failure};

/// Prints to standard output.
pub(super) fn print(text: &str) -> CommandOutcome {
    let mut stdout = stdout();
    let printed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    printed.context("standard output").map_err(Failure::Bug)
}
