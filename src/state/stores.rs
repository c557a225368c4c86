//! State stores: the ports with the backend that the composition root has chosen.

use std::sync::Arc;

use super::{
    call_counter::CallCounter, disk_health::DiskHealth, file::FileStore, memory::MemoryStore,
    plan_store::PlanStore, snapshot_store::SnapshotStore, token_store::TokenStore,
};

/// The ports, in memory or in files; their users do not know which.
#[derive(Debug, Clone)]
pub struct StateStores {
    /// Keeps the token record.
    pub token_store: Arc<dyn TokenStore>,
    /// Counts the calls of each day.
    pub call_counter: Arc<dyn CallCounter>,
    /// Keeps the refresh plan.
    pub plan_store: Arc<dyn PlanStore>,
    /// Keeps the snapshot of the cache.
    pub snapshot_store: Arc<dyn SnapshotStore>,
    /// The number of damaged files that were set aside in the directory, counted when this value was made.
    pub damaged_files: usize,
    /// Whether the disk takes what is written; `None` in memory.
    pub disk: Option<DiskHealth>,
}

// === impl StateStores ===

impl StateStores {
    /// All stores in memory.
    pub fn in_memory() -> Self {
        let memory = Arc::new(MemoryStore::default());
        Self {
            token_store: Arc::clone(&memory) as Arc<dyn TokenStore>,
            call_counter: Arc::clone(&memory) as Arc<dyn CallCounter>,
            plan_store: Arc::clone(&memory) as Arc<dyn PlanStore>,
            snapshot_store: memory,
            damaged_files: 0,
            disk: None,
        }
    }

    /// All stores in this directory. Blocks on the disk.
    pub fn in_file(file: Arc<FileStore>) -> Self {
        let (damaged_files, disk) = (file.damaged_files(), Some(file.health()));
        Self {
            token_store: Arc::clone(&file) as Arc<dyn TokenStore>,
            call_counter: Arc::clone(&file) as Arc<dyn CallCounter>,
            plan_store: Arc::clone(&file) as Arc<dyn PlanStore>,
            snapshot_store: file,
            damaged_files,
            disk,
        }
    }
}
