//! A secret that the settings give, in one of two ways.

use secrecy::SecretString;
use tokio::task::spawn_blocking;

use super::access::UnsendableToken;
use crate::settings::{SecretFile, SecretFileError};

/// A token that is given to us, or a secret that it takes to come by one.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// In the settings: it never changes.
    Static(SecretString),
    /// In a file, whose content may be replaced at any time.
    File(SecretFile<SecretString>),
}

/// There is no token to be had from the source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// What it holds cannot be sent.
    #[error(transparent)]
    Unsendable(#[from] UnsendableToken),
    /// The reading thread is gone: the process is ending.
    #[error("the reading was interrupted")]
    Interrupted,
}

// === impl TokenSource ===

impl TokenSource {
    /// The setting's word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Static(_) => "static",
            Self::File(_) => "file",
        }
    }

    pub(super) fn read_now(&self) -> Result<SecretString, SourceError> {
        match self {
            Self::Static(secret) => Ok(secret.clone()),
            Self::File(file) => Ok(file.read()?),
        }
    }

    /// Reads off the worker threads: a mounted secret may be on a disk that hangs.
    pub(super) async fn read(&self) -> Result<SecretString, SourceError> {
        match self {
            Self::Static(secret) => Ok(secret.clone()),
            Self::File(file) => {
                let file = file.clone();
                let read = spawn_blocking(move || file.read()).await;
                Ok(read.map_err(|_error| SourceError::Interrupted)??)
            }
        }
    }
}
