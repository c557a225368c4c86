//! The progress bar on standard error.

use std::io::{IsTerminal as _, Write as _, stderr};

/// One line on standard error, overwritten at each step; hidden if standard error is not a terminal.
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

    /// Shows that `share` (0 to 1) is done, and the step that is running.
    pub(super) fn show(&self, share: f64, doing: &str) {
        match self {
            Self::Hidden => {}
            Self::Shown => {
                let bar = "#".repeat(((share * WIDTH as f64) as usize).min(WIDTH));
                // A closed terminal must not stop the command.
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
