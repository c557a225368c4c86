//! State file: the redb database in `state.dir` with both records; each change is an fsync. All of it blocks.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{
    call_counter::{CallClaim, CallGrant},
    damage::{Contents, SetAside, count_set_aside, set_aside},
    directory::{OWNER_ONLY, prepare, sync},
    error::StateError,
    ledger_record::{DayRecord, DayStatus, LedgerRecord},
    record::{InvalidRecord, TokenRecord},
    token_store::{Stored, Swap, Version},
};

const FILE: &str = "state.redb";
const LOCK: &str = "state.lock";
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const TOKEN: &str = "token";
const LEDGER: &str = "ledger";

/// redb's page cache: enough for two records of a few kilobytes; the default is a gigabyte.
const PAGES_IN_MEMORY_BYTES: usize = 256 * 1024;

/// Both records in one file, locked against other processes while this lives.
pub(super) struct StateFile {
    dir: PathBuf,
    file: PathBuf,
    /// `None` after an error: redb refuses further use after a disk error, so the next use opens the file again.
    database: Mutex<Option<Database>>,
    /// Our lock in addition to redb's: it also covers the creation of the file, and the inbox.
    lock: Arc<File>,
}

// === impl StateFile ===

impl StateFile {
    pub(super) fn exists(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    pub(super) fn open(dir: &Path) -> Result<Self, StateError> {
        let file = Self::lock(dir)?;
        file.check()?;
        Ok(file)
    }

    pub(super) fn open_or_set_aside(
        dir: &Path,
        now: SystemTime,
    ) -> Result<(Self, Option<SetAside>), StateError> {
        let opened = Self::lock(dir)?;
        match opened.check() {
            Ok(()) => Ok((opened, None)),
            Err(StateError::Damaged { file, reason }) => {
                // If only one record is bad, the file is open: close it before renaming.
                *opened.database.lock().unwrap_or_else(PoisonError::into_inner) = None;
                let renamed =
                    set_aside(&file, now).map_err(|source| StateError::Io { path: file, source })?;
                opened.check()?;
                Ok((opened, Some(SetAside { file: renamed, reason, contents: Contents::TokenAndCalls })))
            }
            Err(error @ (StateError::Locked { .. } | StateError::Io { .. })) => Err(error),
        }
    }

    pub(super) fn token(&self) -> Result<Option<Stored>, StateError> {
        let read = self.read(TOKEN, TokenRecord::from_bytes)?;
        Ok(read.map(|(version, record)| Stored { version: Version(version), record }))
    }

    pub(super) fn compare_and_set(
        &self,
        expected: Option<Version>,
        new: &TokenRecord,
    ) -> Result<Swap, StateError> {
        self.change(TOKEN, TokenRecord::from_bytes, |held| {
            let held = held.map(|(version, record)| Stored { version: Version(version), record });
            let current = held.as_ref().map(|stored| stored.version);
            if current != expected {
                return Ok((Swap::conflict(held), None));
            }
            let version = Version::after(current);
            let bytes = new.to_bytes(version.0).map_err(|foreign| self.foreign(&foreign))?;
            Ok((Swap::Done(version), Some(bytes)))
        })
    }

    pub(super) fn ledger(&self) -> Result<Option<LedgerRecord>, StateError> {
        self.read(LEDGER, LedgerRecord::from_bytes)
    }

    pub(super) fn take(&self, claim: CallClaim) -> Result<CallGrant, StateError> {
        self.change_day(claim.day, |day| claim.count_on(day))
    }

    pub(super) fn mark(&self, day: u64, status: DayStatus) -> Result<(), StateError> {
        self.change_day(day, |latest| latest.status = status)
    }

    /// The lock of the directory, for the other files in it.
    pub(super) fn dir_lock(&self) -> Arc<File> {
        Arc::clone(&self.lock)
    }

    pub(super) fn damaged_files(&self) -> usize {
        count_set_aside(&self.file)
    }

    fn lock(dir: &Path) -> Result<Self, StateError> {
        let io = |source| StateError::Io { path: dir.to_owned(), source };
        prepare(dir).map_err(io)?;
        let lock = private().truncate(false).open(dir.join(LOCK)).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Locked { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        Ok(Self {
            dir: dir.to_owned(),
            file: dir.join(FILE),
            database: Mutex::new(None),
            lock: Arc::new(lock),
        })
    }

    /// Reads both records, so that damage is reported at start and not at the first renewal.
    fn check(&self) -> Result<(), StateError> {
        let read = || {
            let io = |source| StateError::Io { path: self.dir.clone(), source };
            if !self.file.try_exists().map_err(io)? {
                self.create()?;
            }
            self.token()?;
            self.ledger().map(drop)
        };
        // redb should return an error for a damaged file, but a bug in it could panic instead.
        panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_panic| {
            Err(StateError::Damaged {
                file: self.file.clone(),
                reason: "reading it caused a panic".to_owned(),
            })
        })
    }

    /// Creates the file under another name and renames it: a half-made one, left by a kill, would look damaged.
    fn create(&self) -> Result<(), StateError> {
        let io = |source| StateError::Io { path: self.dir.clone(), source };
        let beside = self.file.with_extension("new");
        drop(private().truncate(true).open(&beside).map_err(io)?);
        let database = builder().create(&beside).map_err(|error| self.broken(error.into()))?;
        let write = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            transaction.open_table(RECORDS)?;
            Ok(transaction.commit()?)
        };
        write().map_err(|error| self.broken(error))?;
        drop(database);
        fs::rename(&beside, &self.file).and_then(|()| sync(&self.dir)).map_err(io)
    }

    fn read<T>(
        &self,
        key: &str,
        parse: impl Fn(&[u8]) -> Result<T, InvalidRecord>,
    ) -> Result<Option<T>, StateError> {
        let bytes = self.with(|database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })?;
        bytes.map(|bytes| parse(&bytes).map_err(|foreign| self.foreign(&foreign))).transpose()
    }

    /// Reads a record and replaces it with what `decide` returns, if anything, in one transaction.
    fn change<T, R>(
        &self,
        key: &str,
        parse: impl Fn(&[u8]) -> Result<T, InvalidRecord>,
        decide: impl FnOnce(Option<T>) -> Result<(R, Option<Vec<u8>>), StateError>,
    ) -> Result<R, StateError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let mut table = transaction.open_table(RECORDS)?;
            let held = table.get(key)?.map(|value| parse(value.value())).transpose();
            let decided = held.map_err(|foreign| self.foreign(&foreign)).and_then(decide);
            if let Ok((_, Some(bytes))) = &decided {
                table.insert(key, bytes.as_slice())?;
            }
            drop(table);
            match &decided {
                Ok((_, Some(_))) => transaction.commit()?,
                Ok((_, None)) | Err(_) => transaction.abort()?,
            }
            Ok(decided.map(|(result, _)| result))
        })?
    }

    fn change_day<R>(&self, day: u64, change: impl FnOnce(&mut DayRecord) -> R) -> Result<R, StateError> {
        self.change(LEDGER, LedgerRecord::from_bytes, |held| {
            let (ledger, result) = LedgerRecord::after(held, day, change);
            let bytes = ledger.to_bytes().map_err(|foreign| self.foreign(&foreign))?;
            Ok((result, Some(bytes)))
        })
    }

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StateError> {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out of the slot, so that after a panic the next use opens the file again.
        let database = match slot.take() {
            Some(database) => database,
            None => builder().open(&self.file).map_err(|error| self.broken(error.into()))?,
        };
        match act(&database) {
            Ok(done) => {
                *slot = Some(database);
                Ok(done)
            }
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Classifies an error. Only certain damage counts as damage, since a damaged file is set aside.
    fn broken(&self, error: redb::Error) -> StateError {
        let (path, file) = (self.file.clone(), self.file.clone());
        match error {
            redb::Error::Io(source) => match source.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                    StateError::Damaged { file, reason: source.to_string() }
                }
                _ => StateError::Io { path, source },
            },
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                StateError::Locked { dir: self.dir.clone() }
            }
            damage @ (redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableDoesNotExist(_)) => StateError::Damaged { file, reason: damage.to_string() },
            other => StateError::Io { path, source: io::Error::other(other) },
        }
    }

    fn foreign(&self, foreign: &InvalidRecord) -> StateError {
        StateError::Damaged { file: self.file.clone(), reason: foreign.to_string() }
    }
}

impl fmt::Debug for StateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateFile").field("file", &self.file).finish_non_exhaustive()
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(PAGES_IN_MEMORY_BYTES);
    // Without this a damaged file causes a panic instead of an error.
    builder.set_check_integrity_on_open(true);
    builder
}

/// Options for a file that only its owner can read and write.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(OWNER_ONLY);
    options
}

#[cfg(test)]
mod tests;
