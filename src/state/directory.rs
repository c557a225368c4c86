//! State directory: created for its owner only (mode 0700), and fsynced to make renames in it durable.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

/// The mode of all files in it.
pub(super) const OWNER_ONLY: u32 = 0o600;

/// Creates it if it does not exist.
pub(super) fn prepare(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Replaces a file in it. The bytes are written to `beside` first, so that after a kill or a power cut at any instant the
/// file has either the old or the new ones. Durable when it returns. One that fails leaves nothing beside the file.
pub(super) fn replace(file: &Path, beside: &Path, bytes: &[u8]) -> io::Result<()> {
    let replaced = try_to_replace(file, beside, bytes);
    if replaced.is_err() {
        // On a full disk it would take the room that the token and the call counts need.
        let _may_not_exist = fs::remove_file(beside);
    }
    replaced
}

fn try_to_replace(file: &Path, beside: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(beside)?;
    new.write_all(bytes)?;
    new.sync_all()?;
    fs::rename(beside, file)?;
    sync(file.parent().unwrap_or(file))
}

/// Makes the renames in it durable.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
