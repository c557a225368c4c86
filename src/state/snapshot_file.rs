//! Snapshot file: `cache-snapshot` in `state.dir`, replaced as a whole. All of it blocks.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter},
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    damage::{Contents, SetAside, count_set_aside, set_aside},
    directory::{OWNER_ONLY, sync},
    error::StateError,
    snapshot_format::{InvalidSnapshot, SnapshotWriter, read_snapshot},
    snapshot_store::{SnapshotRecords, TakeRecord},
};

const FILE: &str = "cache-snapshot";
/// Bytes read or written at one time.
const BLOCK: usize = 128 * 1024;

/// The snapshot in a file.
pub(super) struct SnapshotFile {
    file: PathBuf,
    /// The lock of the directory: held also by a write that goes on after the store is dropped.
    _lock: Arc<File>,
}

// === impl SnapshotFile ===

impl SnapshotFile {
    /// Does not access the disk.
    pub(super) fn of(dir: &Path, lock: Arc<File>) -> Self {
        Self { file: dir.join(FILE), _lock: lock }
    }

    /// Reads all of it, and keeps nothing: so that no record of a damaged snapshot is ever used.
    pub(super) fn check(&self) -> Result<(), StateError> {
        self.read(Box::new(|_fields, _body| ControlFlow::Continue(())))
    }

    pub(super) fn read(&self, mut take: TakeRecord) -> Result<(), StateError> {
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.io(error)),
        };
        let length = file.metadata().map_err(|error| self.io(error))?.len();
        read_snapshot(BufReader::with_capacity(BLOCK, file), length, &mut take).map_err(|invalid| {
            match invalid {
                InvalidSnapshot::Io(error) => self.io(error),
                invalid => StateError::Damaged { file: self.file.clone(), reason: invalid.to_string() },
            }
        })
    }

    /// Durable when it returns; returns the size in bytes. A kill or a power cut at any instant leaves the old snapshot or
    /// the new one.
    pub(super) fn write(&self, records: SnapshotRecords) -> Result<u64, StateError> {
        let beside = self.file.with_extension("new");
        let written = self.replace(&beside, records);
        if written.is_err() {
            // On a full disk it would take the room that the token and the call counts need.
            let _may_not_exist = fs::remove_file(&beside);
        }
        written.map_err(|error| self.io(error))
    }

    fn replace(&self, beside: &Path, records: SnapshotRecords) -> io::Result<u64> {
        let new = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(beside)?;
        let mut writer = SnapshotWriter::begin(BufWriter::with_capacity(BLOCK, new))?;
        for record in records {
            writer.add(&record)?;
        }
        let (new, bytes) = writer.finish()?;
        new.get_ref().sync_all()?;
        fs::rename(beside, &self.file)?;
        sync(self.file.parent().unwrap_or(&self.file))?;
        Ok(bytes)
    }

    /// Durable when it returns.
    pub(super) fn remove(&self) -> Result<(), StateError> {
        match fs::remove_file(&self.file) {
            Ok(()) => sync(self.file.parent().unwrap_or(&self.file)).map_err(|error| self.io(error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.io(error)),
        }
    }

    /// Renames a damaged file, so that the next write does not replace it. One that cannot be read or renamed stays:
    /// reading it returns the error, and the process can run without it.
    pub(super) fn set_aside_if_damaged(&self, now: SystemTime) -> Option<SetAside> {
        match self.check() {
            Err(StateError::Damaged { file, reason }) => {
                let file = set_aside(&file, now).ok()?;
                Some(SetAside { file, reason, contents: Contents::CacheSnapshot })
            }
            Ok(()) | Err(StateError::Io { .. } | StateError::Locked { .. }) => None,
        }
    }

    pub(super) fn damaged_files(&self) -> usize {
        count_set_aside(&self.file)
    }

    fn io(&self, source: io::Error) -> StateError {
        StateError::Io { path: self.file.clone(), source }
    }
}

impl fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotFile").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
