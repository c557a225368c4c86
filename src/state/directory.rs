//! State directory: created for its owner only (mode 0700), and fsynced to make renames in it durable.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

/// The mode of all files in it.
pub(super) const OWNER_ONLY: u32 = 0o600;

/// Creates it if it does not exist.
pub(super) fn prepare(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes the renames in it durable.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
