//! What can be wrong with `state.dir`.

use std::{io, path::PathBuf};

/// `state.dir` cannot be used. Never holds anything of its content.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has it open: two owners would spend the same quota and burn each other's refresh token.
    #[error("{dir} is locked by another process: stop it, or set a different state.dir")]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The file is no longer what was written. Not replaced: it may hold the only refresh token there is.
    #[error(
        "{file} is damaged ({reason}): restore it, or move it away and start with a refresh token from a new login"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was noticed.
        reason: String,
    },
    /// The disk or the directory says no.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}
