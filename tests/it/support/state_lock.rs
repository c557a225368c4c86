//! The lock of `state.dir`.

use std::{fs::File, path::Path};

/// Waits until the store of this directory, whose last owner is gone, has let go of it: it may still be at that, in a thread
/// of its own.
pub(crate) async fn state_is_released(dir: &Path) {
    let lock = File::open(dir.join("state.lock")).expect("a store was here");
    // Unlocked, not only closed: a process that another test has just forked has the file open until it runs its program.
    let waits = move || lock.lock().and_then(|()| lock.unlock());
    tokio::task::spawn_blocking(waits).await.expect("a thread").expect("locks work");
}
