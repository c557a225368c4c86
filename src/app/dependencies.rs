//! What the app is built with besides the settings: connectors, stores, clock. And the errors of building it.

use std::sync::Arc;

use crate::{
    quota::{InitialCount, WallClock},
    settings::SecretFileError,
    shared::{SharedStore, StoreServer},
    state::{CallCounterError, StateStores},
    token::TokenSetupError,
};

/// What the app is built with besides the settings; tests replace it.
#[derive(Debug)]
pub struct Dependencies<C> {
    /// Connects to `upstream.base_url`.
    pub api: C,
    /// Connects to `token.token_url`.
    pub authority: C,
    /// The state that outlives the process, if it is in a file.
    pub stores: StateStores,
    /// The store that this replica shares with others; `None`: it shares nothing.
    pub shared: Option<SharedBackend>,
    /// The clock, and what is known about the day's calls.
    pub world: Environment,
}

/// Where the replicas' shared store is.
#[derive(Debug)]
pub enum SharedBackend {
    /// On a server, to be connected to.
    Server(StoreServer),
    /// It is this one; for tests.
    Store(Arc<dyn SharedStore>),
}

/// The clock, and what is known about the day's calls.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The wall clock.
    pub clock: WallClock,
    /// How many calls the API key has used today; for when no durable store has that count.
    pub opening: InitialCount,
}

/// The settings are well-formed, but a file or state that they name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A secret file cannot be read.
    #[error("{key}: {source}")]
    SecretFile {
        /// The setting.
        key: &'static str,
        /// Why.
        source: SecretFileError,
    },
    /// The stored count of the day's calls cannot be read.
    #[error("state.dir: {0}")]
    Ledger(#[source] CallCounterError),
    /// The token's stored record, or the refresh token to start with, cannot be used.
    #[error(transparent)]
    Token(#[from] TokenSetupError),
}

// === impl Environment ===

impl Default for Environment {
    /// The machine's clock, and an unknown number of calls used.
    fn default() -> Self {
        Self { clock: WallClock::machine(), opening: InitialCount::Unknown }
    }
}
