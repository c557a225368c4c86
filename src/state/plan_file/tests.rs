use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime},
};

use super::*;
use crate::{
    refresh::{PriceController, PriceLimits, UtcTime},
    state::{FileStore, StateStores},
};

fn plan(hours: u64) -> PlanRecord {
    let now = UtcTime::since_epoch(Duration::from_hours(hours));
    let limits = PriceLimits { per_day: 10_000, reserve: 0.02 };
    PlanRecord { price: PriceController::new(limits, now).record(now), campaigns: Vec::new() }
}

/// The plan file of an opened directory, and what holds the lock.
fn opened(dir: &Path) -> PlanFile {
    fs::create_dir_all(dir).unwrap();
    PlanFile::of(dir, Arc::new(File::open(dir).unwrap()))
}

#[test]
fn a_plan_survives_a_restart_and_only_the_owner_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = opened(dir.path());
    assert_eq!(file.read().unwrap(), None);
    for hours in [1, 2] {
        file.write(&plan(hours)).unwrap();
        assert_eq!(opened(dir.path()).read().unwrap(), Some(plan(hours)));
    }
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [FILE], "nothing is left beside it");
    assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_write_that_was_killed_or_refused_leaves_the_old_plan() {
    let dir = tempfile::tempdir().unwrap();
    let file = opened(dir.path());
    file.write(&plan(1)).unwrap();
    fs::write(dir.path().join("refresh-plan.new"), "{\"format\":1,\"pri").unwrap();
    assert_eq!(file.read().unwrap(), Some(plan(1)));
    file.write(&plan(2)).unwrap();
    let mut too_long = plan(3);
    too_long.price.days = vec![[Some(0.123_456_789); 24]; 20_000];
    let refused = file.write(&too_long).unwrap_err();
    assert!(matches!(&refused, StateError::Io { .. }), "{refused}");
    assert_eq!(file.read().unwrap(), Some(plan(2)));
}

#[test]
fn a_write_that_fails_takes_no_room_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    // No file takes the place of a directory: all is written, and then not renamed.
    fs::create_dir(dir.path().join(FILE)).unwrap();
    opened(dir.path()).write(&plan(1)).unwrap_err();
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [FILE]);
}

#[test]
fn a_damaged_plan_is_set_aside_and_counted_and_a_new_one_begun() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let store = FileStore::open(dir.path()).unwrap();
    drop(store);
    opened(dir.path()).write(&plan(1)).unwrap();
    let good = fs::read(&path).unwrap();
    let newer = String::from_utf8(good.clone()).unwrap().replace("\"format\":1", "\"format\":2").into_bytes();
    let damaged = [Vec::new(), good[..good.len() / 2].to_vec(), vec![0; good.len()], newer];
    for (before, bytes) in damaged.into_iter().enumerate() {
        fs::write(&path, &bytes).unwrap();
        let refused = FileStore::open(dir.path()).unwrap_err();
        assert!(matches!(&refused, StateError::Damaged { file, .. } if *file == path), "{refused}");
        let (store, set_aside) = FileStore::open_or_set_aside(dir.path(), SystemTime::UNIX_EPOCH).unwrap();
        let [SetAside { file, contents: Contents::RefreshPlan, .. }] = set_aside.as_slice() else {
            panic!("{set_aside:?}")
        };
        assert_eq!(fs::read(file).unwrap(), bytes);
        let stores = StateStores::in_file(Arc::new(store));
        assert_eq!(stores.damaged_files, before + 1);
        let file = opened(dir.path());
        assert_eq!(file.read().unwrap(), None);
        file.write(&plan(2)).unwrap();
        assert_eq!(file.read().unwrap(), Some(plan(2)));
    }
    fs::write(&path, &good).unwrap();
    let (_store, set_aside) = FileStore::open_or_set_aside(dir.path(), SystemTime::UNIX_EPOCH).unwrap();
    assert!(set_aside.is_empty(), "{set_aside:?}");
}

#[test]
fn both_damaged_files_are_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["state.redb", FILE] {
        fs::write(dir.path().join(name), "neither").unwrap();
    }
    let (store, set_aside) = FileStore::open_or_set_aside(dir.path(), SystemTime::UNIX_EPOCH).unwrap();
    let contents: Vec<_> = set_aside.iter().map(|set_aside| set_aside.contents).collect();
    assert_eq!(contents, [Contents::TokenAndCalls, Contents::RefreshPlan]);
    assert_eq!(store.damaged_files(), 2);
}

#[test]
fn a_plan_that_cannot_be_read_keeps_nothing_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    // A directory cannot be read as a file, whoever asks.
    fs::create_dir(dir.path().join(FILE)).unwrap();
    let (_store, set_aside) = FileStore::open_or_set_aside(dir.path(), SystemTime::UNIX_EPOCH).unwrap();
    assert!(set_aside.is_empty(), "{set_aside:?}");
    let file = opened(dir.path());
    for error in [file.read().unwrap_err(), file.write(&plan(1)).unwrap_err()] {
        assert!(error.to_string().contains(FILE), "{error}");
    }
}

#[test]
fn a_file_of_any_length_is_read_no_further_than_the_largest_plan() {
    let dir = tempfile::tempdir().unwrap();
    let file = opened(dir.path());
    File::create(dir.path().join(FILE)).unwrap().set_len(1 << 40).unwrap();
    let refused = file.read().unwrap_err();
    assert!(matches!(&refused, StateError::Damaged { reason, .. } if reason.contains("bytes")), "{refused}");
}
