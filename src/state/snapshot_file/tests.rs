use std::{
    os::unix::fs::PermissionsExt as _,
    sync::{Mutex, PoisonError},
};

use super::*;
use crate::{report::Representation, state::snapshot_store::SnapshotRecord};

fn file(dir: &Path) -> SnapshotFile {
    SnapshotFile::of(dir, Arc::new(File::open(dir).unwrap()))
}

fn records(bodies: &'static [&'static str]) -> SnapshotRecords {
    let record = |body: &'static str| SnapshotRecord {
        fields: b"{}".to_vec(),
        body: Some(Representation::new(body.as_bytes())),
    };
    Box::new(bodies.iter().copied().map(record))
}

fn bodies(file: &SnapshotFile) -> Result<Vec<String>, StateError> {
    let read = Arc::new(Mutex::new(Vec::new()));
    let list = Arc::clone(&read);
    file.read(Box::new(move |_fields, body| {
        let body = String::from_utf8_lossy(body).into_owned();
        list.lock().unwrap_or_else(PoisonError::into_inner).push(body);
        ControlFlow::Continue(())
    }))?;
    Ok(std::mem::take(&mut *read.lock().unwrap()))
}

#[test]
fn a_snapshot_is_for_its_owner_only_and_replaces_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    file.write(records(&["one", "two"])).unwrap();
    let size = file.write(records(&["three"])).unwrap();
    assert_eq!(bodies(&file).unwrap(), ["three"]);
    let metadata = fs::metadata(dir.path().join("cache-snapshot")).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (size, 0o600));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_kill_in_the_middle_of_a_write_leaves_the_old_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    file.write(records(&["old"])).unwrap();
    // What a kill leaves behind.
    fs::write(dir.path().join("cache-snapshot.new"), b"link-report-proxy cache snapshot 1\n\0\0").unwrap();
    assert!(file.set_aside_if_damaged(SystemTime::UNIX_EPOCH).is_none());
    assert_eq!(bodies(&file).unwrap(), ["old"]);
    file.write(records(&["new"])).unwrap();
    assert_eq!(bodies(&file).unwrap(), ["new"]);
}

#[test]
fn a_write_that_fails_takes_no_room_on_the_disk_and_leaves_the_old_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    file.write(records(&["old"])).unwrap();
    // As a full disk would, after half of it.
    let impossible = SnapshotRecord { fields: Vec::new(), body: None };
    let half = records(&["new"]).chain([impossible]);
    assert!(matches!(file.write(Box::new(half)), Err(StateError::Io { .. })));
    assert_eq!(bodies(&file).unwrap(), ["old"]);
    assert!(!dir.path().join("cache-snapshot.new").exists());
}

#[test]
fn what_is_removed_does_not_come_back_and_may_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = file(dir.path());
    file.remove().unwrap();
    file.write(records(&["old"])).unwrap();
    file.remove().unwrap();
    assert_eq!(bodies(&file).unwrap(), Vec::<String>::new());
}

#[test]
fn a_damaged_snapshot_or_one_of_another_version_is_set_aside_with_its_bytes() {
    for (damage, reason) in [
        (&b"anything"[..], "not a snapshot"),
        (b"link-report-proxy cache snapshot 2\nanything", "format 2, and this version reads format 1"),
        (b"link-report-proxy cache snapshot 1\n\0\0", "it ends too early"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = file(dir.path());
        fs::write(dir.path().join("cache-snapshot"), damage).unwrap();
        let SetAside { file: renamed, reason: told, contents } =
            file.set_aside_if_damaged(SystemTime::UNIX_EPOCH).expect("it is damaged");
        assert_eq!((told.as_str(), contents), (reason, Contents::CacheSnapshot));
        assert_eq!(fs::read(renamed).unwrap(), damage);
        assert_eq!((bodies(&file).unwrap().len(), file.damaged_files()), (0, 1));
    }
}
