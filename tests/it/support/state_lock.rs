//! The lock of `state.dir`.

use std::{fs::File, path::Path};

/// Waits until the store of this directory, whose last owner is gone, has let go of it: it may still be at that, in a thread
/// of its own.
pub(crate) async fn state_is_released(dir: &Path) {
    let lock = File::open(dir.join("state.lock")).expect("a store was here");
    tokio::task::spawn_blocking(move || lock.lock()).await.expect("a thread").expect("locks work");
}
