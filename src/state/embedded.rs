//! A store that outlives the process: two records in one file of `state.dir`, each change an fsync.

use std::{
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{
    directory::{OWNER_ONLY, prepare, sync},
    record::{Foreign, LedgerRecord, TokenRecord},
    store::{Durability, StateError, Store, Stored, Swap, Version},
};

const FILE: &str = "state.redb";
const LOCK: &str = "state.lock";
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");
const TOKEN: &str = "token";
const LEDGER: &str = "ledger";

/// Two records of a few kilobytes: redb's default is a gigabyte.
const PAGES_IN_MEMORY_BYTES: usize = 256 * 1024;

/// Both records, in a file that nobody else may open while this lives.
pub struct Embedded {
    file: PathBuf,
    /// `None` after an error of the disk's, which redb does not forgive: the next use opens it again.
    database: Mutex<Option<Database>>,
    /// Ours beside redb's own: it also covers the making of the file, and the inbox. Ends with the process.
    _lock: File,
}

// === impl Embedded ===

impl Embedded {
    /// Opens the state of this directory, which is made (mode 0700) if it is not there; the file has mode 0600.
    ///
    /// # Errors
    /// [`StateError::Held`] while another process has it, [`StateError::Damaged`] where the file was not written by
    /// us, [`StateError::Io`].
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let io = |source| StateError::Io { path: dir.to_owned(), source };
        prepare(dir).map_err(io)?;
        let lock = private().truncate(false).open(dir.join(LOCK)).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::Held { dir: dir.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let file = dir.join(FILE);
        let embedded = Self { file, database: Mutex::new(None), _lock: lock };
        if !embedded.file.try_exists().map_err(io)? {
            embedded.create(dir)?;
        }
        // Whatever cannot be read is told of at the start, and not at the first renewal.
        embedded.token()?;
        embedded.ledger()?;
        Ok(embedded)
    }

    /// Beside its place first: a file that a kill left half made would be taken for a damaged one.
    fn create(&self, dir: &Path) -> Result<(), StateError> {
        let io = |source| StateError::Io { path: dir.to_owned(), source };
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
        fs::rename(&beside, &self.file).and_then(|()| sync(dir)).map_err(io)
    }

    fn read<T>(
        &self,
        key: &str,
        parse: impl Fn(&[u8]) -> Result<T, Foreign>,
    ) -> Result<Option<T>, StateError> {
        let bytes = self.with(|database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })?;
        bytes.map(|bytes| parse(&bytes).map_err(|foreign| self.foreign(&foreign))).transpose()
    }

    /// Reads a record and, unless `decide` has nothing to write, replaces it, in one transaction.
    fn change<T, R>(
        &self,
        key: &str,
        parse: impl Fn(&[u8]) -> Result<T, Foreign>,
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

    fn with<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StateError> {
        let mut slot = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out: a panic in there must not leave half a transaction to the next.
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

    fn broken(&self, error: redb::Error) -> StateError {
        match error {
            redb::Error::Io(source) if source.kind() != io::ErrorKind::InvalidData => {
                StateError::Io { path: self.file.clone(), source }
            }
            redb::Error::DatabaseAlreadyOpen => {
                StateError::Held { dir: self.file.parent().unwrap_or(&self.file).to_owned() }
            }
            damaged => StateError::Damaged { file: self.file.clone(), reason: damaged.to_string() },
        }
    }

    fn foreign(&self, foreign: &Foreign) -> StateError {
        StateError::Damaged { file: self.file.clone(), reason: foreign.to_string() }
    }
}

impl Store for Embedded {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn token(&self) -> Result<Option<Stored>, StateError> {
        let read = self.read(TOKEN, TokenRecord::from_bytes)?;
        Ok(read.map(|(version, record)| Stored { version: Version(version), record }))
    }

    fn swap_token(&self, expected: Option<Version>, new: &TokenRecord) -> Result<Swap, StateError> {
        self.change(TOKEN, TokenRecord::from_bytes, |held| {
            let current = held.map(|(version, _)| Version(version));
            if current != expected {
                return Ok((Swap::Superseded, None));
            }
            let version = Version::after(current);
            let bytes = new.to_bytes(version.0).map_err(|foreign| self.foreign(&foreign))?;
            Ok((Swap::Done(version), Some(bytes)))
        })
    }

    fn ledger(&self) -> Result<Option<LedgerRecord>, StateError> {
        self.read(LEDGER, LedgerRecord::from_bytes)
    }

    fn take_calls(&self, day: u64, calls: u32) -> Result<LedgerRecord, StateError> {
        self.change(LEDGER, LedgerRecord::from_bytes, |held| {
            let taken = LedgerRecord::after_taking(held, day, calls)?;
            let bytes = taken.to_bytes().map_err(|foreign| self.foreign(&foreign))?;
            Ok((taken, Some(bytes)))
        })
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("file", &self.file).finish_non_exhaustive()
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(PAGES_IN_MEMORY_BYTES);
    // Without it a damaged file panics where it should be refused.
    builder.set_check_integrity_on_open(true);
    builder
}

/// For the owner's eyes only.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(OWNER_ONLY);
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::state::Memory;

    fn record(refresh: &str) -> TokenRecord {
        TokenRecord::new(refresh.into())
    }

    fn both() -> (tempfile::TempDir, [Box<dyn Store>; 2]) {
        let dir = tempfile::tempdir().unwrap();
        let embedded = Embedded::open(dir.path()).unwrap();
        (dir, [Box::new(Memory::default()), Box::new(embedded)])
    }

    #[test]
    fn a_token_is_swapped_only_over_the_version_that_was_read() {
        let (_dir, stores) = both();
        for store in stores {
            assert!(store.token().unwrap().is_none());
            let Swap::Done(first) = store.swap_token(None, &record("one")).unwrap() else { panic!("lost") };
            assert_eq!(store.swap_token(None, &record("two")).unwrap(), Swap::Superseded);
            let Swap::Done(second) = store.swap_token(Some(first), &record("three")).unwrap() else {
                panic!("lost")
            };
            assert_ne!(first, second);
            assert_eq!(store.swap_token(Some(first), &record("four")).unwrap(), Swap::Superseded);
            let held = store.token().unwrap().unwrap();
            assert_eq!((held.version, held.record.refresh_token.expose_secret()), (second, "three"));
        }
    }

    #[test]
    fn a_ledger_adds_up_a_day_begins_a_later_one_and_refuses_the_one_before() {
        let (_dir, stores) = both();
        for store in stores {
            assert_eq!(store.ledger().unwrap(), None);
            for (day, calls, spent) in [(20_000, 8, 8), (20_000, 3, 11), (20_001, 1, 1)] {
                let taken = LedgerRecord { day, spent };
                assert_eq!(store.take_calls(day, calls).unwrap(), taken);
                assert_eq!(store.ledger().unwrap(), Some(taken));
            }
            let refused = store.take_calls(20_000, 1);
            assert!(matches!(refused, Err(StateError::EarlierDay { held: 20_001 })), "{refused:?}");
            let full = store.take_calls(20_001, u32::MAX).unwrap();
            assert_eq!(full.spent, u32::MAX);
        }
    }

    #[test]
    fn a_ledger_of_a_day_to_come_is_taken_back_with_what_is_spent() {
        let (_dir, stores) = both();
        for store in stores {
            store.take_calls(30_000, 5).unwrap();
            let taken = LedgerRecord { day: 20_000, spent: 8 };
            assert_eq!(store.take_calls(20_000, 3).unwrap(), taken);
            assert_eq!(store.ledger().unwrap(), Some(taken));
        }
    }

    #[test]
    fn what_was_written_is_there_after_a_restart_and_for_the_owner_s_eyes_only() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("made/by/us");
        let store = Embedded::open(&dir).unwrap();
        store.swap_token(None, &record("kept")).unwrap();
        store.take_calls(20_000, 5).unwrap();
        drop(store);
        let store = Embedded::open(&dir).unwrap();
        assert_eq!(store.token().unwrap().unwrap().record.refresh_token.expose_secret(), "kept");
        assert_eq!(store.ledger().unwrap(), Some(LedgerRecord { day: 20_000, spent: 5 }));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dir), mode(&dir.join(FILE)), mode(&dir.join(LOCK))), (0o700, 0o600, 0o600));
        assert!(!format!("{store:?}").contains("kept"));
    }

    #[test]
    fn a_directory_that_is_held_is_refused_until_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = Embedded::open(dir.path()).unwrap();
        let second = Embedded::open(dir.path());
        assert!(matches!(&second, Err(StateError::Held { .. })), "{second:?}");
        drop(first);
        Embedded::open(dir.path()).unwrap();
    }

    #[test]
    fn a_damaged_file_is_refused_by_name_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        Embedded::open(dir.path()).unwrap().swap_token(None, &record("kept")).unwrap();
        let (file, good) = (dir.path().join(FILE), fs::read(dir.path().join(FILE)).unwrap());
        let damaged: [Vec<u8>; 4] = [
            Vec::new(),
            b"not ours".repeat(1000),
            good[..good.len() / 3].to_vec(),
            good.iter().map(|byte| byte ^ 0x55).collect(),
        ];
        for bytes in damaged {
            fs::write(&file, &bytes).unwrap();
            let error = Embedded::open(dir.path()).unwrap_err();
            assert!(matches!(&error, StateError::Damaged { .. }), "{error}");
            assert!(error.to_string().starts_with(file.to_str().unwrap()), "{error}");
            assert_eq!(fs::read(&file).unwrap(), bytes);
        }
        fs::write(&file, &good).unwrap();
        Embedded::open(dir.path()).unwrap();
    }

    #[test]
    fn a_file_that_a_kill_left_half_made_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("state.new"), vec![0; 4096]).unwrap();
        Embedded::open(dir.path()).unwrap().swap_token(None, &record("kept")).unwrap();
    }
}
