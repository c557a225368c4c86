//! How far it is, for a person who waits.

use std::io::{IsTerminal as _, Write as _, stderr};

/// A line on standard error that is written over; nothing if that is no terminal.
#[derive(Debug)]
pub(super) enum ProgressBar {
    Shown,
    Hidden,
}

const WIDTH: usize = 30;

// === impl ProgressBar ===

impl ProgressBar {
    pub(super) fn at_terminal() -> Self {
        if stderr().is_terminal() { Self::Shown } else { Self::Hidden }
    }

    /// A share of the whole is done.
    pub(super) fn show(&self, share: f64, doing: &str) {
        match self {
            Self::Hidden => {}
            Self::Shown => {
                let bar = "#".repeat(((share * WIDTH as f64) as usize).min(WIDTH));
                // A terminal that is gone shows no progress.
                let _shown = write!(stderr(), "\r\x1b[K[{bar:<WIDTH$}] {doing}");
            }
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        match self {
            Self::Hidden => {}
            Self::Shown => {
                let _cleared = write!(stderr(), "\r\x1b[K");
            }
        }
    }
}
