//! The drop box in `state.dir`: `login` leaves what a person consented to, whoever holds the state takes it up.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use secrecy::ExposeSecret as _;

use super::{
    directory::{OWNER_ONLY, prepare, sync},
    record::TokenRecord,
    store::StateError,
};

const LEFT: &str = "login.json";
const TAKEN: &str = "login.taken.json";

/// A file at a time, and only ever whole: written beside its place and renamed.
#[derive(Debug, Clone)]
pub struct Inbox {
    dir: PathBuf,
    /// One at a time takes or is done: a look that hangs in the disk may go on when nobody waits for it any more.
    taking: Arc<Mutex<()>>,
}

// === impl Inbox ===

impl Inbox {
    /// The inbox of this directory; nothing is touched yet.
    pub fn of(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), taking: Arc::default() }
    }

    /// Leaves a record, in place of one that nobody has taken up. Durable when it returns; mode 0600.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn leave(&self, record: &TokenRecord) -> Result<(), StateError> {
        let beside = self.dir.join(format!("login.{}.new", std::process::id()));
        let foreign = |foreign| io::Error::new(io::ErrorKind::InvalidData, foreign);
        let write = || {
            prepare(&self.dir)?;
            let bytes = record.to_bytes(0).map_err(foreign)?;
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&beside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&beside, self.dir.join(LEFT))?;
            sync(&self.dir)
        };
        write().map_err(|source| StateError::Io { path: self.dir.join(LEFT), source })
    }

    /// What was left, if anything was. It stays until [`Inbox::done`], so that a kill in between loses nothing; a
    /// newer one replaces one that was not done with. For the holder of the state alone.
    ///
    /// # Errors
    /// [`StateError::Io`], [`StateError::Damaged`].
    pub fn take(&self) -> Result<Option<TokenRecord>, StateError> {
        let _one_at_a_time = self.taking();
        let (left, taken) = (self.dir.join(LEFT), self.dir.join(TAKEN));
        present(fs::rename(&left, taken)).map_err(|source| StateError::Io { path: left, source })?;
        self.taken()
    }

    /// What was taken is safe elsewhere. A newer one that has been taken since stays.
    ///
    /// # Errors
    /// [`StateError::Io`], [`StateError::Damaged`]: it will be taken again.
    pub fn done(&self, written: &TokenRecord) -> Result<(), StateError> {
        let _one_at_a_time = self.taking();
        let is_it =
            |taken: TokenRecord| taken.refresh_token.expose_secret() == written.refresh_token.expose_secret();
        if !self.taken()?.is_some_and(is_it) {
            return Ok(());
        }
        let taken = self.dir.join(TAKEN);
        present(fs::remove_file(&taken)).map(drop).map_err(|source| StateError::Io { path: taken, source })
    }

    fn taken(&self) -> Result<Option<TokenRecord>, StateError> {
        let taken = self.dir.join(TAKEN);
        let bytes = present(fs::read(&taken));
        let Some(bytes) = bytes.map_err(|source| StateError::Io { path: taken.clone(), source })? else {
            return Ok(None);
        };
        match TokenRecord::from_bytes(&bytes) {
            Ok((_version, record)) => Ok(Some(record)),
            Err(foreign) => Err(StateError::Damaged { file: taken, reason: foreign.to_string() }),
        }
    }

    fn taking(&self) -> MutexGuard<'_, ()> {
        self.taking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing waits in it: what was left has been taken up.
    pub fn is_empty(&self) -> bool {
        !self.dir.join(LEFT).exists() && !self.dir.join(TAKEN).exists()
    }
}

/// `None` where the file is not there.
fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn taken(inbox: &Inbox) -> Option<String> {
        inbox.take().unwrap().map(|record| record.refresh_token.expose_secret().to_owned())
    }

    #[test]
    fn what_is_left_is_taken_until_it_is_done_with_and_a_newer_one_counts() {
        let parent = tempfile::tempdir().unwrap();
        let inbox = Inbox::of(parent.path().join("state"));
        assert_eq!(taken(&inbox), None);
        inbox.leave(&TokenRecord::new("one".into())).unwrap();
        let mode = fs::metadata(inbox.dir.join(LEFT)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(taken(&inbox).as_deref(), Some("one"));
        assert_eq!(taken(&inbox).as_deref(), Some("one"), "a kill before it was done with loses nothing");
        inbox.leave(&TokenRecord::new("two".into())).unwrap();
        assert_eq!(taken(&inbox).as_deref(), Some("two"));
        assert!(!inbox.is_empty());
        inbox.done(&TokenRecord::new("two".into())).unwrap();
        assert_eq!(taken(&inbox), None);
        assert!(inbox.is_empty());
        inbox.done(&TokenRecord::new("two".into())).unwrap();
    }

    #[test]
    fn a_second_login_that_is_taken_while_the_first_is_written_is_not_removed_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = Inbox::of(dir.path());
        let [one, two] = ["one", "two"].map(|token| TokenRecord::new(token.into()));
        inbox.leave(&one).unwrap();
        assert_eq!(taken(&inbox).as_deref(), Some("one"));
        // A look that hung in the disk while nobody waited for it any more.
        inbox.leave(&two).unwrap();
        assert_eq!(taken(&inbox.clone()).as_deref(), Some("two"));
        inbox.done(&one).unwrap();
        assert_eq!(taken(&inbox).as_deref(), Some("two"));
        inbox.done(&two).unwrap();
        assert!(inbox.is_empty());
    }

    #[test]
    fn what_we_did_not_leave_is_told_of_by_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LEFT), "hush").unwrap();
        let error = Inbox::of(dir.path()).take().unwrap_err().to_string();
        assert!(error.contains(TAKEN) && !error.contains("hush"), "{error}");
    }
}
