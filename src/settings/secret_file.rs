//! A file whose content is a secret.

use std::fs::File;
use std::io::{self, Read};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use bytesize::KIB;
use secrecy::{ExposeSecret, SecretString};

use super::printable::is_printable;
use super::problem::SettingProblems;

/// A token is about a kilobyte; anything past this is a wrong path.
const MAX_BYTES: u64 = 64 * KIB;

/// A file that holds one secret (`SecretString`), one a line (`Vec<SecretString>`), or another [`SecretContent`].
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

/// Why a file is not used. Holds neither its content nor its path: either may be a secret set under the wrong key.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It does not exist, may not be read, or is a directory.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// Larger than any secret.
    #[error("the file is larger than 64KiB")]
    TooLarge,
    /// It holds only white space or comments.
    #[error("the file is empty")]
    Empty,
    /// A line could not be sent in a header.
    #[error("the file's line {line} holds a space, a control character or one that is not ASCII")]
    NotPrintable {
        /// Counted from 1.
        line: usize,
    },
    /// It is text, but not what its key needs.
    #[error("{0}")]
    Malformed(String),
}

// === impl SecretFile ===

impl<T> SecretFile<T> {
    /// Names the file; it is not read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), content: PhantomData }
    }

    /// The file's path, as it was set.
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

    /// Adds a problem if `key` names a file that cannot be used.
    pub(super) fn check(file: Option<&Self>, key: &str, problems: &mut SettingProblems) {
        if let Some(Err(error)) = file.map(Self::read) {
            problems.add(key, format!("{error}; correct the path or the file"));
        }
    }
}

/// The content as it is, with line breaks and comments.
pub(super) fn read_text(path: &Path) -> Result<SecretString, SecretFileError> {
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
        let secrets: Self =
            lines_of_secrets(text).map(|(line, number)| printable(line, number)).collect::<Result<_, _>>()?;
        if secrets.is_empty() { Err(SecretFileError::Empty) } else { Ok(secrets) }
    }
}

/// The lines that are neither blank nor begin with `#`, trimmed, with their numbers from 1.
pub(super) fn lines_of_secrets(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
}

/// The secret of this line, if it can be sent in a header.
pub(super) fn printable(secret: &str, line: usize) -> Result<SecretString, SecretFileError> {
    if is_printable(secret) { Ok(secret.into()) } else { Err(SecretFileError::NotPrintable { line }) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn file<T>(dir: &TempDir, text: impl AsRef<[u8]>) -> SecretFile<T> {
        let path = dir.path().join("secret");
        fs::write(&path, text).unwrap();
        SecretFile::new(path)
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
