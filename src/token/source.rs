//! A secret from the settings: given directly, or in a file.

use secrecy::SecretString;
use tokio::task::spawn_blocking;

use crate::settings::{SecretFile, SecretFileError};

/// Where a secret comes from: an access token, a refresh token or a client secret.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// In the settings: it never changes.
    Static(SecretString),
    /// In a file, whose content may be replaced at any time.
    File(SecretFile<SecretString>),
}

/// The secret could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The reading thread is gone: the process is ending.
    #[error("reading the secret was interrupted: the process is ending")]
    Interrupted,
}

// === impl TokenSource ===

impl TokenSource {
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
