//! Notices the new content of a secret file, on one interval for all of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::secret_file::{SecretContent, SecretFile, SecretFileError, read_text};
use crate::outage::Outage;

/// How often each watched file is read, and the inbox of `login`: one small read a second costs nothing, and a new token
/// is in use before the person who wrote it looks. After a 401 the file of the access token is read at once.
pub(crate) const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Reports each new content of a [`SecretFile`] once.
///
/// It compares content, never the inode or the time: Kubernetes swaps a symlink two levels up.
#[derive(Debug)]
pub struct SecretWatch<T> {
    file: SecretFile<T>,
    next_read: Instant,
    /// The read that has begun and whose result nobody has got yet.
    reading: Option<JoinHandle<Result<SecretString, SecretFileError>>>,
    known: Option<SecretString>,
    outage: Outage,
    failing: Arc<AtomicBool>,
    acceptance: Acceptance,
}

/// How many reads a new content takes.
#[derive(Debug)]
enum Acceptance {
    One,
    /// Two in a row with the same content.
    Two {
        /// What the first of them read.
        first: Option<SecretString>,
    },
}

// === impl SecretFile ===

impl<T: SecretContent> SecretFile<T> {
    /// Reads it now, on this thread, and watches it from this content on.
    ///
    /// # Errors
    /// Any [`SecretFileError`].
    pub fn watch(&self) -> Result<(T, SecretWatch<T>), SecretFileError> {
        let known = read_text(self.path())?;
        let content = T::parse(known.expose_secret())?;
        let watch = SecretWatch::new(Self::new(self.path()));
        Ok((content, SecretWatch { known: Some(known), ..watch }))
    }
}

// === impl SecretWatch ===

impl<T: SecretContent> SecretWatch<T> {
    /// Nothing has been read yet: the first usable content is a new one.
    pub fn new(file: SecretFile<T>) -> Self {
        Self {
            file,
            next_read: Instant::now() + WATCH_INTERVAL,
            reading: None,
            known: None,
            outage: Outage::default(),
            failing: Arc::default(),
            acceptance: Acceptance::One,
        }
    }

    /// Accepts a content only when two reads in a row agree: a file that is written in place can be read half written.
    pub fn settled(self) -> Self {
        Self { acceptance: Acceptance::Two { first: None }, ..self }
    }

    /// `true` while the file cannot be used, and an older content is.
    pub fn failing(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.failing)
    }

    /// Waits for a new content; cancel safe: a read that has begun is finished by the next call.
    ///
    /// # Errors
    /// When the file stops being usable, once until it is usable again: the last content stays in force, and the next
    /// call goes on waiting.
    pub async fn changed(&mut self) -> Result<T, SecretFileError> {
        loop {
            if self.reading.is_none() {
                sleep_until(self.next_read).await;
                self.next_read = Instant::now() + WATCH_INTERVAL;
            }
            let text = self.text().await;
            if let Some(news) = self.compare(text) {
                return news;
            }
        }
    }

    /// Reads the file now. `None`: its content is known, or its failure has been returned before.
    pub async fn read(&mut self) -> Option<Result<T, SecretFileError>> {
        if self.reading.is_some() {
            // It may have read what the file held before this call.
            let _older = self.text().await;
        }
        let text = self.text().await;
        self.compare(text)
    }

    /// Finishes the read that has begun, or begins one: never two at a time, however many callers give up, since a
    /// mounted file can hang for as long as its server does. For the same reason never on a worker.
    async fn text(&mut self) -> Result<SecretString, SecretFileError> {
        let path = self.file.path();
        let reading = self.reading.get_or_insert_with(|| {
            let path = path.to_owned();
            spawn_blocking(move || read_text(&path))
        });
        let text = reading.await;
        self.reading = None;
        text.unwrap_or_else(|interrupted| Err(io::Error::other(interrupted).into()))
    }

    /// The same, on this thread.
    pub fn read_blocking(&mut self) -> Option<Result<T, SecretFileError>> {
        let text = read_text(self.file.path());
        self.compare(text)
    }

    fn compare(&mut self, text: Result<SecretString, SecretFileError>) -> Option<Result<T, SecretFileError>> {
        match text.and_then(|text| self.news(text)) {
            Ok(news) => {
                self.outage.ends();
                self.failing.store(false, Relaxed);
                news.map(Ok)
            }
            Err(error) => {
                self.acceptance.start_over();
                self.failing.store(true, Relaxed);
                self.outage.begins().then_some(Err(error))
            }
        }
    }

    fn news(&mut self, text: SecretString) -> Result<Option<T>, SecretFileError> {
        if self.known.as_ref().is_some_and(|known| is_same(known, &text)) {
            self.acceptance.start_over();
            return Ok(None);
        }
        let content = T::parse(text.expose_secret())?;
        if !self.acceptance.accepts(&text) {
            return Ok(None);
        }
        self.known = Some(text);
        Ok(Some(content))
    }
}

// === impl Acceptance ===

impl Acceptance {
    /// Whether this new content has been read often enough.
    fn accepts(&mut self, text: &SecretString) -> bool {
        match self {
            Self::One => true,
            Self::Two { first } => {
                let before = first.replace(text.clone());
                before.is_some_and(|before| is_same(&before, text))
            }
        }
    }

    fn start_over(&mut self) {
        match self {
            Self::One => {}
            Self::Two { first } => *first = None,
        }
    }
}

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;

    fn file(dir: &TempDir, text: &str) -> SecretFile<SecretString> {
        let path = dir.path().join("secret");
        fs::write(&path, text).unwrap();
        SecretFile::new(path)
    }

    /// As the kubelet does it: a new directory, a new link, and a rename over the old link.
    fn swap(mount: &Path, version: &str, text: &str) {
        fs::create_dir(mount.join(version)).unwrap();
        fs::write(mount.join(version).join("token"), text).unwrap();
        symlink(version, mount.join("new")).unwrap();
        fs::rename(mount.join("new"), mount.join("..data")).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_content_swapped_in_by_symlink_is_reported_once() {
        let mount = TempDir::new().unwrap();
        swap(mount.path(), "1", "old\n");
        symlink("..data/token", mount.path().join("token")).unwrap();
        let file = SecretFile::<SecretString>::new(mount.path().join("token"));
        let (first, mut watch) = file.watch().unwrap();
        assert_eq!(first.expose_secret(), "old");

        swap(mount.path(), "2", "new\n");
        assert_eq!(watch.changed().await.unwrap().expose_secret(), "new");
        let again = tokio::time::timeout(Duration::from_secs(60), watch.changed()).await;
        assert!(again.is_err(), "the same content was reported twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_turns_unusable_is_reported_once_and_its_last_content_stays_in_force() {
        let dir = TempDir::new().unwrap();
        let file = file(&dir, "old");
        let (_, mut watch) = file.watch().unwrap();

        fs::write(file.path(), "\n").unwrap();
        assert!(matches!(watch.changed().await, Err(SecretFileError::Empty)));
        fs::remove_file(file.path()).unwrap();
        let minute = Duration::from_secs(60);
        assert!(tokio::time::timeout(minute, watch.changed()).await.is_err(), "reported twice");
        fs::write(file.path(), "old").unwrap();
        assert!(tokio::time::timeout(minute, watch.changed()).await.is_err(), "the old content is no news");
        fs::remove_file(file.path()).unwrap();
        assert!(matches!(watch.changed().await, Err(SecretFileError::Unreadable(_))));
        fs::write(file.path(), "new").unwrap();
        assert_eq!(watch.changed().await.unwrap().expose_secret(), "new");
    }

    #[tokio::test(start_paused = true)]
    async fn a_settled_content_is_one_that_two_reads_in_a_row_have_seen() {
        let dir = TempDir::new().unwrap();
        let file = file(&dir, "old");
        let (_, watch) = file.watch().unwrap();
        let mut watch = watch.settled();
        // Each for one read; in between it is the old one again, empty, or another.
        for text in ["half", "old", "half", "", "half", "hal"] {
            fs::write(file.path(), text).unwrap();
            assert!(!matches!(watch.read().await, Some(Ok(_))), "{text:?}");
        }
        fs::write(file.path(), "whole").unwrap();
        assert_eq!(watch.changed().await.unwrap().expose_secret(), "whole");
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_whose_caller_gives_up_is_finished_by_the_next() {
        let dir = TempDir::new().unwrap();
        let file = file(&dir, "old");
        let (_, mut watch) = file.watch().unwrap();
        fs::write(file.path(), "new").unwrap();
        tokio::time::sleep(WATCH_INTERVAL).await;
        let start = Instant::now();
        // The read is begun and given up at once, unless the disk is faster than that.
        let news = tokio::select! {
            biased;
            news = watch.changed() => news,
            () = std::future::ready(()) => watch.changed().await,
        };
        assert_eq!(news.unwrap().expose_secret(), "new");
        assert_eq!(start.elapsed(), Duration::ZERO, "it waited for another read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_was_given_up_does_not_answer_for_a_file_that_has_changed_since() {
        let dir = TempDir::new().unwrap();
        let file = file(&dir, "old");
        let mut watch = SecretWatch::<SecretString>::new(file);
        tokio::select! {
            biased;
            _old = watch.read() => {}
            () = std::future::ready(()) => {}
        }
        // Long enough for the disk: paused time stands still until the read is done.
        tokio::time::sleep(WATCH_INTERVAL).await;
        fs::write(watch.file.path(), "new").unwrap();
        assert_eq!(watch.read().await.unwrap().unwrap().expose_secret(), "new");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_not_there_at_first_is_reported_once_and_read_as_soon_as_it_is() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("secret");
        let mut watch = SecretWatch::<SecretString>::new(SecretFile::new(&path));
        assert!(matches!(watch.read_blocking(), Some(Err(SecretFileError::Unreadable(_)))));
        assert!(watch.read().await.is_none(), "reported twice");
        fs::write(&path, "first").unwrap();
        assert_eq!(watch.read().await.unwrap().unwrap().expose_secret(), "first", "without waiting");
        fs::write(&path, "second").unwrap();
        let start = Instant::now();
        assert_eq!(watch.changed().await.unwrap().expose_secret(), "second");
        assert!(start.elapsed() <= WATCH_INTERVAL);
    }
}
