//! The directory: made for its owner alone, and synced, since a rename is only durable once its directory is.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

/// For files.
pub(super) const OWNER_ONLY: u32 = 0o600;

/// Makes it if it is not there.
pub(super) fn prepare(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes the renames in it durable.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
