//! The trait, and what can go wrong.

use std::{fmt::Debug, io, path::PathBuf};

use super::{
    ledger_record::{DayRecord, DayStatus, LedgerRecord},
    record::TokenRecord,
};

/// Keeps the two records. Every call blocks.
pub trait StateStore: Debug + Send + Sync + 'static {
    /// Whether what is written here outlives the process.
    fn durability(&self) -> Durability;

    /// The token's record; `None` until the first was written.
    ///
    /// # Errors
    /// [`StateError`]: nothing is known of the record.
    fn token(&self) -> Result<Option<Stored>, StateError>;

    /// Replaces the token's record if it still is the one that was read (`None`: if there is none). What a
    /// [`Swap::Done`] wrote is durable when this returns.
    ///
    /// # Errors
    /// [`StateError`]: the record is either the old or the new one, and never a mixture.
    fn compare_and_set(&self, expected: Option<Version>, new: &TokenRecord) -> Result<Swap, StateError>;

    /// The ledger; `None` until the first call was taken.
    ///
    /// # Errors
    /// [`StateError`]: nothing is known of the ledger.
    fn ledger(&self) -> Result<Option<LedgerRecord>, StateError>;

    /// Adds calls to the count of a day (UTC days since 1970-01-01), and returns how that day stands. Durable when
    /// this returns.
    ///
    /// # Errors
    /// [`StateError`]: the calls may or may not have been added.
    fn add_calls(&self, day: u64, calls: u32) -> Result<DayRecord, StateError>;

    /// Closes a day, or opens it again. Its count stays. Durable when this returns.
    ///
    /// # Errors
    /// [`StateError`]: the day may or may not have been marked.
    fn mark_day(&self, day: u64, status: DayStatus) -> Result<(), StateError>;

    /// Damaged files of earlier runs that lie beside the one in use, and wait for a person.
    fn damaged_files(&self) -> usize {
        0
    }
}

/// Whether a store outlives its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It survives kill -9 and a power cut.
    Durable,
    /// It ends with the process.
    Volatile,
}

/// Which writing of the token's record this is. A record is never the same version twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub(super) u64);

/// A record as it was read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// For the compare-and-set.
    pub version: Version,
    /// What it holds.
    pub record: TokenRecord,
}

/// What became of a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// It was written, and is this version.
    Done(Version),
    /// Another was written since: nothing changed.
    Conflict,
}

/// The state cannot be used. Never holds anything of its content.
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

// === impl Durability ===

impl Durability {
    /// For `GET /token`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Volatile => "volatile",
        }
    }
}

// === impl Version ===

impl Version {
    /// The version after `last`.
    pub(super) fn after(last: Option<Self>) -> Self {
        Self(last.map_or(1, |Self(last)| last + 1))
    }
}
