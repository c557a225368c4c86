//! Damaged state file: it is renamed and kept, since `state.redb` may contain the only refresh token.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::directory::sync;

const DAMAGED: &str = "damaged";

/// A damaged file that was set aside (renamed).
#[derive(Debug)]
pub struct SetAside {
    /// Its new path.
    pub file: PathBuf,
    /// What was found to be wrong.
    pub reason: String,
    /// What was in it.
    pub contents: Contents,
}

/// What is in a state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// The token record and the call counts: `state.redb`.
    TokenAndCalls,
    /// The refresh plan: `refresh-plan.json`.
    RefreshPlan,
    /// The snapshot of the cache: `cache-snapshot`.
    CacheSnapshot,
}

/// Renames the file to a name with the time, overwriting nothing. The caller must hold the directory's lock.
pub(super) fn set_aside(file: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let beside = |ending: String| PathBuf::from(format!("{}.{DAMAGED}-{ending}", file.display()));
    let when = timestamp(now);
    let names = std::iter::once(when.clone()).chain((2_u64..).map(|nth| format!("{when}-{nth}")));
    for name in names.map(beside) {
        if !name.try_exists()? {
            fs::rename(file, &name)?;
            sync(file.parent().unwrap_or(file))?;
            return Ok(name);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The number of files that were set aside for this one and still exist.
pub(super) fn count_set_aside(file: &Path) -> usize {
    let (Some(dir), Some(name)) = (file.parent(), file.file_name()) else { return 0 };
    let prefix = format!("{}.{DAMAGED}-", name.display());
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)))
        .count()
}

/// RFC 3339 without colons, which some file systems and tools do not accept.
fn timestamp(now: SystemTime) -> String {
    /// 10000-01-01T00:00:00Z: humantime cannot write a year with five digits.
    const END: Duration = Duration::from_secs(253_402_300_800);
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let shown = SystemTime::UNIX_EPOCH + since.min(END - Duration::from_secs(1));
    humantime::format_rfc3339_seconds(shown).to_string().replace(':', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_time_and_is_never_used_twice() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("state.redb");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_666_951);
        for (content, name) in [
            ("first", "state.redb.damaged-2026-11-26T04-22-31Z"),
            ("second", "state.redb.damaged-2026-11-26T04-22-31Z-2"),
            ("third", "state.redb.damaged-2026-11-26T04-22-31Z-3"),
        ] {
            fs::write(&file, content).unwrap();
            assert_eq!(set_aside(&file, now).unwrap(), dir.path().join(name));
            assert!(!file.exists());
        }
        for (name, content) in [("Z", "first"), ("Z-2", "second"), ("Z-3", "third")] {
            let kept = dir.path().join(format!("state.redb.damaged-2026-11-26T04-22-31{name}"));
            assert_eq!(fs::read_to_string(kept).unwrap(), content);
        }
        assert_eq!(count_set_aside(&file), 3);
    }

    #[test]
    fn a_clock_that_is_far_off_gives_valid_names_too() {
        for (seconds, name) in
            [(0, "1970-01-01T00-00-00Z"), (u64::from(u32::MAX) << 9, "9999-12-31T23-59-59Z")]
        {
            assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), name);
        }
    }
}
