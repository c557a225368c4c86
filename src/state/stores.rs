//! State stores: both ports with the backend that the composition root has chosen.

use std::sync::Arc;

use super::{call_counter::CallCounter, file::FileStore, memory::MemoryStore, token_store::TokenStore};

/// Both ports, in memory or in a file; their users do not know which.
#[derive(Debug, Clone)]
pub struct StateStores {
    /// Keeps the token record.
    pub token_store: Arc<dyn TokenStore>,
    /// Counts the calls of each day.
    pub call_counter: Arc<dyn CallCounter>,
    /// The number of damaged files that were set aside in the directory, counted when this value was made.
    pub damaged_files: usize,
}

// === impl StateStores ===

impl StateStores {
    /// Both stores in memory.
    pub fn in_memory() -> Self {
        let memory = Arc::new(MemoryStore::default());
        Self {
            token_store: Arc::clone(&memory) as Arc<dyn TokenStore>,
            call_counter: memory,
            damaged_files: 0,
        }
    }

    /// Both stores in this file. Blocks on the disk.
    pub fn in_file(file: Arc<FileStore>) -> Self {
        let damaged_files = file.damaged_files();
        Self { token_store: Arc::clone(&file) as Arc<dyn TokenStore>, call_counter: file, damaged_files }
    }
}
