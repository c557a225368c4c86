//! A file whose content is a secret, and the watch that notices a new one.

use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::KIB;
use secrecy::{ExposeSecret, SecretString};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// A token is about a kilobyte; anything past this is a wrong path.
const MAX_BYTES: u64 = 64 * KIB;
/// One small read a second costs nothing, and a rotated token is in use before anyone asks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// A file that holds one secret (`SecretString`) or one a line (`Vec<SecretString>`).
#[derive(Clone, Debug)]
pub struct SecretFile<T> {
    path: PathBuf,
    content: PhantomData<fn() -> T>,
}

/// What a [`SecretFile`] can hold.
pub trait SecretContent: Sized {
    /// Takes the secrets out of a file's text.
    ///
    /// # Errors
    /// [`SecretFileError::Empty`] and [`SecretFileError::NotPrintable`].
    fn parse(text: &str) -> Result<Self, SecretFileError>;
}

/// Why a file is not used. Holds nothing of its content, nor its path: that may be a secret set under the wrong key.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// Not there, not allowed, or not a file.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Larger than any secret.
    #[error("the file is larger than 64KiB")]
    TooLarge,
    /// Without a secret: nothing but white space or comments.
    #[error("the file is empty")]
    Empty,
    /// Could not be sent in a header.
    #[error("the file's line {line} holds a space, a control character or one that is not ASCII")]
    NotPrintable {
        /// From 1.
        line: usize,
    },
}

/// Tells of each new content of a [`SecretFile`], once.
///
/// It compares content, never the inode or the time: Kubernetes swaps a symlink two levels up.
#[derive(Debug)]
pub struct SecretWatch<T> {
    file: SecretFile<T>,
    ticks: Interval,
    known: SecretString,
    health: ReadHealth,
    looks: Looks,
}

/// How many looks a new content takes.
#[derive(Debug)]
enum Looks {
    One,
    /// Two in a row that see the same.
    Two {
        /// What the first saw.
        first: Option<SecretString>,
    },
}

#[derive(Debug)]
enum ReadHealth {
    Good,
    /// Already told of.
    Failing,
}

// === impl SecretFile ===

impl<T> SecretFile<T> {
    /// Names the file; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), content: PhantomData }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl<T: SecretContent> SecretFile<T> {
    /// Reads it now, on this thread.
    ///
    /// # Errors
    /// Any [`SecretFileError`].
    pub fn read(&self) -> Result<T, SecretFileError> {
        T::parse(read_text(&self.path)?.expose_secret())
    }

    /// Reads it now, and watches it from this content on. Needs a tokio runtime.
    ///
    /// # Errors
    /// Any [`SecretFileError`].
    pub fn watch(&self) -> Result<(T, SecretWatch<T>), SecretFileError> {
        let known = read_text(&self.path)?;
        let content = T::parse(known.expose_secret())?;
        let mut ticks = interval_at(Instant::now() + WATCH_INTERVAL, WATCH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let file = Self::new(&self.path);
        Ok((content, SecretWatch { file, ticks, known, health: ReadHealth::Good, looks: Looks::One }))
    }
}

fn read_text(path: &Path) -> Result<SecretString, SecretFileError> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read > MAX_BYTES) {
        return Err(SecretFileError::TooLarge);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(error) => {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
            Err(SecretFileError::NotPrintable { line })
        }
    }
}

// === impl SecretString ===

impl SecretContent for SecretString {
    fn parse(text: &str) -> Result<Self, SecretFileError> {
        // A final line break is what editors and `echo` add.
        match text.trim() {
            "" => Err(SecretFileError::Empty),
            secret => printable(secret, 1),
        }
    }
}

/// Blank lines and lines that begin with `#` are skipped.
impl SecretContent for Vec<SecretString> {
    fn parse(text: &str) -> Result<Self, SecretFileError> {
        let lines = text.lines().map(str::trim).zip(1..);
        let secrets: Self = lines
            .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
            .map(|(line, number)| printable(line, number))
            .collect::<Result<_, _>>()?;
        if secrets.is_empty() { Err(SecretFileError::Empty) } else { Ok(secrets) }
    }
}

fn printable(secret: &str, line: usize) -> Result<SecretString, SecretFileError> {
    if secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(secret.into())
    } else {
        Err(SecretFileError::NotPrintable { line })
    }
}

// === impl SecretWatch ===

impl<T: SecretContent> SecretWatch<T> {
    /// Takes a content up only once two looks in a row agree: a file that is written in place can be met half written.
    pub fn settled(self) -> Self {
        Self { looks: Looks::Two { first: None }, ..self }
    }

    /// Waits for a content that is new; cancel safe.
    ///
    /// # Errors
    /// When the file stops being usable, once until it is usable again: the last content stands, and waiting goes on
    /// with the next call.
    pub async fn changed(&mut self) -> Result<T, SecretFileError> {
        loop {
            self.ticks.tick().await;
            match (self.look().await, &self.health) {
                (Ok(None), _) => {
                    self.health = ReadHealth::Good;
                    self.looks.forget();
                }
                (Ok(Some((text, content))), _) => {
                    self.health = ReadHealth::Good;
                    if self.looks.agree(&text) {
                        self.known = text;
                        return Ok(content);
                    }
                }
                (Err(error), ReadHealth::Good) => {
                    self.health = ReadHealth::Failing;
                    self.looks.forget();
                    return Err(error);
                }
                (Err(_), ReadHealth::Failing) => {}
            }
        }
    }

    async fn look(&self) -> Result<Option<(SecretString, T)>, SecretFileError> {
        let path = self.file.path.clone();
        // A mounted file can hang for as long as its server does: never on a worker.
        let text = spawn_blocking(move || read_text(&path)).await.map_err(io::Error::other)??;
        if text.expose_secret() == self.known.expose_secret() {
            return Ok(None);
        }
        let content = T::parse(text.expose_secret())?;
        Ok(Some((text, content)))
    }
}

// === impl Looks ===

impl Looks {
    /// Whether this new content has been seen often enough.
    fn agree(&mut self, text: &SecretString) -> bool {
        match self {
            Self::One => true,
            Self::Two { first } => {
                let before = first.replace(text.clone());
                before.is_some_and(|before| before.expose_secret() == text.expose_secret())
            }
        }
    }

    fn forget(&mut self) {
        match self {
            Self::One => {}
            Self::Two { first } => *first = None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn file<T>(dir: &TempDir, text: impl AsRef<[u8]>) -> SecretFile<T> {
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
    async fn a_content_swapped_in_by_symlink_is_told_once() {
        let mount = TempDir::new().unwrap();
        swap(mount.path(), "1", "old\n");
        symlink("..data/token", mount.path().join("token")).unwrap();
        let file = SecretFile::<SecretString>::new(mount.path().join("token"));
        let (first, mut watch) = file.watch().unwrap();
        assert_eq!(first.expose_secret(), "old");

        swap(mount.path(), "2", "new\n");
        assert_eq!(watch.changed().await.unwrap().expose_secret(), "new");
        let again = tokio::time::timeout(Duration::from_secs(60), watch.changed()).await;
        assert!(again.is_err(), "the same content was told twice");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_turns_unusable_is_told_once_and_its_last_content_stands() {
        let dir = TempDir::new().unwrap();
        let file = file::<SecretString>(&dir, "old");
        let (_, mut watch) = file.watch().unwrap();

        fs::write(file.path(), "\n").unwrap();
        assert!(matches!(watch.changed().await, Err(SecretFileError::Empty)));
        fs::remove_file(file.path()).unwrap();
        let minute = Duration::from_secs(60);
        assert!(tokio::time::timeout(minute, watch.changed()).await.is_err(), "told twice");
        fs::write(file.path(), "old").unwrap();
        assert!(tokio::time::timeout(minute, watch.changed()).await.is_err(), "the old content is no news");
        fs::remove_file(file.path()).unwrap();
        assert!(matches!(watch.changed().await, Err(SecretFileError::Unreadable(_))));
        fs::write(file.path(), "new").unwrap();
        assert_eq!(watch.changed().await.unwrap().expose_secret(), "new");
    }

    #[tokio::test(start_paused = true)]
    async fn a_settled_content_is_one_that_two_looks_in_a_row_have_seen() {
        let dir = TempDir::new().unwrap();
        let file = file::<SecretString>(&dir, "old");
        let (_, watch) = file.watch().unwrap();
        let mut watch = watch.settled();
        // From here on each look falls into the middle of a wait, and not on its end.
        tokio::time::sleep(WATCH_INTERVAL / 2).await;
        // Each for one look; in between it is the old one again, empty, or another.
        for text in ["half", "old", "half", "", "half", "hal"] {
            fs::write(file.path(), text).unwrap();
            let seen = tokio::time::timeout(WATCH_INTERVAL, watch.changed()).await;
            assert!(!matches!(seen, Ok(Ok(_))), "{text:?}");
        }
        fs::write(file.path(), "whole").unwrap();
        assert_eq!(watch.changed().await.unwrap().expose_secret(), "whole");
    }

    #[test]
    fn a_list_of_tokens_skips_blank_lines_and_comments() {
        let dir = TempDir::new().unwrap();
        let tokens =
            file::<Vec<SecretString>>(&dir, "# dashboards\n\n one \r\ntwo\n#three\n").read().unwrap();
        assert_eq!(tokens.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>(), ["one", "two"]);
        assert!(matches!(file::<Vec<SecretString>>(&dir, "# none\n").read(), Err(SecretFileError::Empty)));
        let spaced = file::<Vec<SecretString>>(&dir, "one\nt wo\n").read();
        assert!(matches!(spaced, Err(SecretFileError::NotPrintable { line: 2 })));
    }

    #[test]
    fn a_file_that_is_no_secret_is_refused_without_showing_its_content() {
        let dir = TempDir::new().unwrap();
        let read = |text: &[u8]| file::<SecretString>(&dir, text).read().unwrap_err().to_string();
        assert_eq!(read(b" \n\n"), "the file is empty");
        assert_eq!(read(&[b'x'; 64 * 1024 + 1]), "the file is larger than 64KiB");
        for odd in ["hush\0hush", "hush\nhush", "hush hush", "hüsh"] {
            assert!(read(odd.as_bytes()).contains("control character"));
            assert!(!read(odd.as_bytes()).contains("hush"));
        }
        assert!(read(b"\xff").contains("line 1"));
        assert!(SecretFile::<SecretString>::new(dir.path()).read().is_err(), "a directory");
    }
}
