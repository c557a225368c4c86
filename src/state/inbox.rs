//! Inbox in `state.dir`: `login` leaves a new token record there, and the process that owns the state takes it.

use std::{fs, io, path::PathBuf};

use secrecy::ExposeSecret as _;

use super::{
    directory::{prepare, replace},
    disk_queue::DiskQueue,
    error::StateError,
    record::TokenRecord,
};

const LEFT: &str = "login.json";
const TAKEN: &str = "login.taken.json";

/// Holds one record, always complete: it is written to another file first and then renamed. Clones share the inbox.
#[derive(Debug, Clone)]
pub struct Inbox {
    files: LoginFiles,
    /// One operation at a time: one that hangs on the disk continues after its caller is gone.
    queue: DiskQueue,
}

/// The inbox's files. Blocks on the disk.
#[derive(Debug, Clone)]
struct LoginFiles {
    dir: PathBuf,
}

// === impl Inbox ===

impl Inbox {
    /// The inbox of this directory; does not access the disk.
    pub fn of(dir: impl Into<PathBuf>) -> Self {
        Self { files: LoginFiles { dir: dir.into() }, queue: DiskQueue::default() }
    }

    /// Leaves a record, replacing one that was not taken yet. Durable when it returns; the file has mode 0600.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub async fn leave(&self, record: &TokenRecord) -> Result<(), StateError> {
        let record = record.clone();
        self.run(move |files| files.leave(&record)).await
    }

    /// Takes the record that was left, if there is one. It stays on the disk until [`Inbox::done`], so that a kill in
    /// between loses nothing; a newer one replaces it. Only for the process that owns the state.
    ///
    /// # Errors
    /// [`StateError::Io`], [`StateError::Damaged`].
    pub async fn take(&self) -> Result<Option<TokenRecord>, StateError> {
        self.run(LoginFiles::take).await
    }

    /// Removes the taken record, after the caller has stored it. A newer one that was taken since stays.
    ///
    /// # Errors
    /// [`StateError::Io`], [`StateError::Damaged`]: the record may be taken again.
    pub async fn done(&self, written: &TokenRecord) -> Result<(), StateError> {
        let written = written.clone();
        self.run(move |files| files.done(&written)).await
    }

    /// Whether it is empty: what was left has been taken and stored. Files that cannot be looked up (no permission,
    /// disk error) count as missing.
    ///
    /// # Errors
    /// [`StateError::Io`] only if the look-up panicked or the process is ending.
    pub async fn is_empty(&self) -> Result<bool, StateError> {
        self.run(|files| Ok(files.is_empty())).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LoginFiles) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        let files = self.files.clone();
        self.queue.run(move || work(&files)).await.unwrap_or_else(|interrupted| {
            Err(StateError::Io { path: self.files.dir.clone(), source: io::Error::other(interrupted) })
        })
    }
}

// === impl LoginFiles ===

impl LoginFiles {
    fn leave(&self, record: &TokenRecord) -> Result<(), StateError> {
        let beside = self.dir.join(format!("login.{}.new", std::process::id()));
        let foreign = |foreign| io::Error::new(io::ErrorKind::InvalidData, foreign);
        let write = || {
            prepare(&self.dir)?;
            let bytes = record.to_bytes(0).map_err(foreign)?;
            replace(&self.dir.join(LEFT), &beside, &bytes)
        };
        write().map_err(|source| StateError::Io { path: self.dir.join(LEFT), source })
    }

    fn take(&self) -> Result<Option<TokenRecord>, StateError> {
        let (left, taken) = (self.dir.join(LEFT), self.dir.join(TAKEN));
        present(fs::rename(&left, taken)).map_err(|source| StateError::Io { path: left, source })?;
        self.taken()
    }

    fn done(&self, written: &TokenRecord) -> Result<(), StateError> {
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

    fn is_empty(&self) -> bool {
        !self.dir.join(LEFT).exists() && !self.dir.join(TAKEN).exists()
    }
}

/// `None` if the file does not exist.
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

    async fn taken(inbox: &Inbox) -> Option<String> {
        inbox.take().await.unwrap().map(|record| record.refresh_token.expose_secret().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_can_be_taken_until_it_is_done_and_a_newer_one_replaces_it() {
        let parent = tempfile::tempdir().unwrap();
        let inbox = Inbox::of(parent.path().join("state"));
        assert_eq!(taken(&inbox).await, None);
        inbox.leave(&TokenRecord::new("one".into())).await.unwrap();
        let mode = fs::metadata(inbox.files.dir.join(LEFT)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        assert_eq!(taken(&inbox).await.as_deref(), Some("one"));
        assert_eq!(
            taken(&inbox).await.as_deref(),
            Some("one"),
            "a kill before it was done with loses nothing"
        );
        inbox.leave(&TokenRecord::new("two".into())).await.unwrap();
        assert_eq!(taken(&inbox).await.as_deref(), Some("two"));
        assert!(!inbox.is_empty().await.unwrap());
        inbox.done(&TokenRecord::new("two".into())).await.unwrap();
        assert_eq!(taken(&inbox).await, None);
        assert!(inbox.is_empty().await.unwrap());
        inbox.done(&TokenRecord::new("two".into())).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_that_cannot_be_left_leaves_no_token_on_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        // No file takes the place of a directory.
        fs::create_dir(dir.path().join(LEFT)).unwrap();
        Inbox::of(dir.path()).leave(&TokenRecord::new("one".into())).await.unwrap_err();
        let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, [LEFT]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_login_that_is_taken_while_the_first_is_written_is_not_removed_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let inbox = Inbox::of(dir.path());
        let [one, two] = ["one", "two"].map(|token| TokenRecord::new(token.into()));
        inbox.leave(&one).await.unwrap();
        assert_eq!(taken(&inbox).await.as_deref(), Some("one"));
        // As if a take had hung on the disk after its caller was gone.
        inbox.leave(&two).await.unwrap();
        assert_eq!(taken(&inbox.clone()).await.as_deref(), Some("two"));
        inbox.done(&one).await.unwrap();
        assert_eq!(taken(&inbox).await.as_deref(), Some("two"));
        inbox.done(&two).await.unwrap();
        assert!(inbox.is_empty().await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_foreign_file_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(LEFT), "hush").unwrap();
        let error = Inbox::of(dir.path()).take().await.unwrap_err().to_string();
        assert!(error.contains(TAKEN) && !error.contains("hush"), "{error}");
    }
}
