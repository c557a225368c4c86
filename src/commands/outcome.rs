//! Exit codes, as in sysexits.h: 0 done, 69 unavailable, 70 internal error, 78 invalid configuration.

use std::process::ExitCode;

use crate::{
    app::{RunError, SetupError},
    settings::SettingsError,
    shared::StoreTlsError,
    state::StateError,
    upstream::ConnectSetupError,
};

/// The result of a command.
pub(crate) type CommandOutcome = Result<(), Failure>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings, or a file or state they name, cannot be used; each line names a key. Exit code 78.
    #[error("{0}")]
    Settings(String),
    /// A port or a required service is unavailable. Exit code 69.
    #[error("{0}")]
    Unavailable(String),
    /// A bug, or a failure of the operating system. Exit code 70.
    #[error("internal error: {0:#}")]
    Bug(anyhow::Error),
}

// === impl Failure ===

impl Failure {
    /// The exit code.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Settings(_) => 78,
            Self::Unavailable(_) => 69,
            Self::Bug(_) => 70,
        })
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error.to_string())
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        Self::Settings(error.to_string())
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let said = format!("state.dir: {error}");
        match error {
            StateError::Locked { .. } => Self::Unavailable(said),
            StateError::Damaged { .. } | StateError::Io { .. } => Self::Settings(said),
        }
    }
}

impl From<ConnectSetupError> for Failure {
    fn from(error: ConnectSetupError) -> Self {
        Self::Settings(error.to_string())
    }
}

impl From<StoreTlsError> for Failure {
    fn from(error: StoreTlsError) -> Self {
        Self::Settings(error.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Port { .. } => Self::Unavailable(error.to_string()),
            RunError::TaskPanicked => Self::Bug(error.into()),
        }
    }
}
