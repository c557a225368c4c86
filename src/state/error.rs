//! Errors of `state.dir`: locked, damaged, or an I/O error.

use std::{io, path::PathBuf};

/// `state.dir` cannot be used. Never contains any part of the stored data.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has it open. Two processes would both use the whole quota, and use up each other's refresh
    /// token.
    #[error("{dir} is locked by another process: stop it, or set a different state.dir")]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// The file is not what was written. `FileStore::open` leaves it as it is and `FileStore::open_or_set_aside`
    /// renames it; it is never deleted, since it may contain the only refresh token.
    #[error(
        "{file} is damaged ({reason}): restore it, or move it away and start with a refresh token from a new login"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found to be wrong.
        reason: String,
    },
    /// An I/O error, such as a full disk or missing permission.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system, or of the database.
        source: io::Error,
    },
}
