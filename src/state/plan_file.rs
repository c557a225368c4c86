//! Plan file: `refresh-plan.json` in `state.dir`, replaced as a whole. All of it blocks.
//!
//! It is a file of its own, as it is a hundred times larger than the token record and the call counts, and less precious.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    damage::{Contents, SetAside, count_set_aside, set_aside},
    directory::replace,
    error::StateError,
    plan_record::{InvalidPlan, PlanRecord},
};

const FILE: &str = "refresh-plan.json";

/// The refresh plan in a file.
pub(super) struct PlanFile {
    file: PathBuf,
    /// The lock of the directory: held also by a write that goes on after the store is dropped.
    _lock: Arc<File>,
}

// === impl PlanFile ===

impl PlanFile {
    /// Does not access the disk.
    pub(super) fn of(dir: &Path, lock: Arc<File>) -> Self {
        Self { file: dir.join(FILE), _lock: lock }
    }

    pub(super) fn read(&self) -> Result<Option<PlanRecord>, StateError> {
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
        };
        let (mut bytes, most) = (Vec::new(), PlanRecord::MAX_BYTES as u64 + 1);
        file.take(most).read_to_end(&mut bytes).map_err(|error| self.io(error))?;
        PlanRecord::from_bytes(&bytes)
            .map(Some)
            .map_err(|invalid| StateError::Damaged { file: self.file.clone(), reason: invalid.to_string() })
    }

    /// Durable when it returns. Not for the last few minutes' sake: a file that is renamed before it is on the disk can be
    /// empty after a power cut, and the usual demand of a week would be lost.
    pub(super) fn write(&self, record: &PlanRecord) -> Result<(), StateError> {
        let refused = |invalid: InvalidPlan| self.io(io::Error::new(io::ErrorKind::InvalidInput, invalid));
        let bytes = record.to_bytes().map_err(refused)?;
        replace(&self.file, &self.file.with_extension("new"), &bytes).map_err(|error| self.io(error))
    }

    /// Renames a damaged file, so that the next write does not replace it. One that cannot be read or renamed stays:
    /// reading it returns the error, and the process can run without it.
    pub(super) fn set_aside_if_damaged(&self, now: SystemTime) -> Option<SetAside> {
        match self.read() {
            Err(StateError::Damaged { file, reason }) => {
                let file = set_aside(&file, now).ok()?;
                Some(SetAside { file, reason, contents: Contents::RefreshPlan })
            }
            Ok(_) | Err(StateError::Io { .. } | StateError::Locked { .. }) => None,
        }
    }

    pub(super) fn damaged_files(&self) -> usize {
        count_set_aside(&self.file)
    }

    fn io(&self, source: io::Error) -> StateError {
        StateError::Io { path: self.file.clone(), source }
    }
}

impl fmt::Debug for PlanFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanFile").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
