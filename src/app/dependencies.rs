//! What the app is given and finds around it, and what of that cannot be used.

use crate::{
    quota::{InitialCount, WallClock},
    settings::SecretFileError,
    state::{CallCounterError, StateStores},
    token::TokenSetupError,
};

/// What an app is given from outside.
#[derive(Debug)]
pub struct Dependencies<C> {
    /// Connects to `upstream.base_url`.
    pub api: C,
    /// Connects to `token.token_url`.
    pub authority: C,
    /// What outlives the process.
    pub stores: StateStores,
    /// The rest of it.
    pub world: Environment,
}

/// What the app finds around it.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The time of day.
    pub clock: WallClock,
    /// What is known of the calls that the key has spent today, where no durable store knows.
    pub opening: InitialCount,
}

/// The settings are well-formed, but something that they name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A secret file that cannot be read.
    #[error("{key}: {source}")]
    SecretFile {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        source: SecretFileError,
    },
    /// The count of the day's calls.
    #[error("state.dir: {0}")]
    Ledger(#[source] CallCounterError),
    /// The token's record, or what it begins with.
    #[error(transparent)]
    Token(#[from] TokenSetupError),
}

// === impl Environment ===

impl Default for Environment {
    /// The machine's clock, and nothing known.
    fn default() -> Self {
        Self { clock: WallClock::machine(), opening: InitialCount::Unknown }
    }
}
