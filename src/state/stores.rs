//! The ports together, as the composition root chooses their backends.

use std::sync::Arc;

use super::{call_counter::CallCounter, file::FileStore, memory::MemoryStore, token_store::TokenStore};

/// What outlives the process, or does not: nothing above knows which.
#[derive(Debug, Clone)]
pub struct StateStores {
    /// Keeps the token's record.
    pub token_store: Arc<dyn TokenStore>,
    /// Counts the day's calls.
    pub call_counter: Arc<dyn CallCounter>,
    /// Damaged files of earlier runs that wait for a person, as of now.
    pub damaged_files: usize,
}

// === impl StateStores ===

impl StateStores {
    /// Both in memory.
    pub fn in_memory() -> Self {
        let memory = Arc::new(MemoryStore::default());
        Self {
            token_store: Arc::clone(&memory) as Arc<dyn TokenStore>,
            call_counter: memory,
            damaged_files: 0,
        }
    }

    /// Both in this file. Blocks.
    pub fn in_file(file: Arc<FileStore>) -> Self {
        let damaged_files = file.damaged_files();
        Self { token_store: Arc::clone(&file) as Arc<dyn TokenStore>, call_counter: file, damaged_files }
    }
}
