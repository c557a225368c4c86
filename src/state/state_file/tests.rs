use std::os::unix::fs::PermissionsExt as _;

use secrecy::ExposeSecret;

use super::*;
fn record(refresh: &str) -> TokenRecord {
    TokenRecord::new(refresh.into())
}

fn claim(calls: u32) -> CallClaim {
    CallClaim { day: 20_000, made: calls, wanted: 0, ceiling: None }
}

#[test]
fn records_survive_a_restart_and_only_the_owner_can_read_them() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("made/by/us");
    let store = StateFile::open(&dir).unwrap();
    store.compare_and_set(None, &record("kept")).unwrap();
    store.take(claim(5)).unwrap();
    drop(store);
    let store = StateFile::open(&dir).unwrap();
    assert_eq!(store.token().unwrap().unwrap().record.refresh_token.expose_secret(), "kept");
    assert_eq!(store.ledger().unwrap().unwrap().latest().spent, 5);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join(FILE)), mode(&dir.join(LOCK))), (0o700, 0o600, 0o600));
    assert!(!format!("{store:?}").contains("kept"));
}

#[test]
fn a_locked_directory_is_refused_until_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let first = StateFile::open(dir.path()).unwrap();
    let second = StateFile::open(dir.path());
    assert!(matches!(&second, Err(StateError::Locked { .. })), "{second:?}");
    drop(first);
    StateFile::open(dir.path()).unwrap();
}

#[test]
fn a_damaged_file_is_refused_by_name_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    StateFile::open(dir.path()).unwrap().compare_and_set(None, &record("kept")).unwrap();
    let (file, good) = (dir.path().join(FILE), fs::read(dir.path().join(FILE)).unwrap());
    let damaged: [Vec<u8>; 4] = [
        Vec::new(),
        b"not ours".repeat(1000),
        good[..good.len() / 3].to_vec(),
        good.iter().map(|byte| byte ^ 0x55).collect(),
    ];
    for bytes in damaged {
        fs::write(&file, &bytes).unwrap();
        let error = StateFile::open(dir.path()).unwrap_err();
        assert!(matches!(&error, StateError::Damaged { .. }), "{error}");
        assert!(error.to_string().starts_with(file.to_str().unwrap()), "{error}");
        assert_eq!(fs::read(&file).unwrap(), bytes);
    }
    fs::write(&file, &good).unwrap();
    StateFile::open(dir.path()).unwrap();
}

/// A directory with a used file in it, and that file's bytes.
fn used() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let store = StateFile::open(dir.path()).unwrap();
    let Swap::Done(first) = store.compare_and_set(None, &record("first")).unwrap() else { panic!("lost") };
    store.take(claim(8)).unwrap();
    store.compare_and_set(Some(first), &record("kept")).unwrap();
    store.take(claim(8)).unwrap();
    drop(store);
    let file = dir.path().join(FILE);
    let bytes = fs::read(&file).unwrap();
    (dir, file, bytes)
}

/// Opens the directory. A file that was set aside must be unchanged; one that was not must have its records.
fn survives(dir: &Path, bytes: &[u8]) -> Option<SetAside> {
    fs::write(dir.join(FILE), bytes).unwrap();
    let (store, set_aside) = StateFile::open_or_set_aside(dir, SystemTime::UNIX_EPOCH).unwrap();
    let token = store.token().unwrap().map(|stored| stored.record.refresh_token);
    let token = token.as_ref().map(ExposeSecret::expose_secret);
    match &set_aside {
        Some(SetAside { file, reason, contents: Contents::TokenAndCalls }) => {
            assert!(fs::read(file).unwrap() == bytes, "{reason}");
            assert_eq!((token, store.ledger().unwrap()), (None, None), "{reason}");
            fs::remove_file(file).unwrap();
        }
        Some(SetAside { contents: Contents::RefreshPlan | Contents::CacheSnapshot, .. }) => {
            panic!("another file")
        }
        None => {
            assert_eq!(token, Some("kept"));
            assert_eq!(store.ledger().unwrap().unwrap().latest().spent, 16);
        }
    }
    store.take(claim(1)).unwrap();
    set_aside
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    let (dir, _file, good) = used();
    for damaged in [
        Vec::new(),
        b"not ours".repeat(1000),
        good[..good.len() / 3].to_vec(),
        good[..good.len() - 1].to_vec(),
        vec![0; good.len()],
        good.iter().map(|byte| byte ^ 0x55).collect(),
    ] {
        assert!(survives(dir.path(), &damaged).is_some());
    }
    assert!(survives(dir.path(), &good).is_none());
}

#[test]
fn one_bad_record_in_a_sound_file_is_damage_and_the_other_record_can_be_read_from_it() {
    for (key, bytes, other) in
        [(TOKEN, &b"{}"[..], LEDGER), (LEDGER, b"[1]", TOKEN), (LEDGER, &[0xff; 99], TOKEN)]
    {
        let (dir, file, _bytes) = used();
        let database = builder().open(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(RECORDS).unwrap().insert(key, bytes).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let (store, set_aside) = StateFile::open_or_set_aside(dir.path(), SystemTime::UNIX_EPOCH).unwrap();
        assert!(store.token().unwrap().is_none() && store.ledger().unwrap().is_none());
        let database = builder().open(set_aside.unwrap().file).unwrap();
        let records = database.begin_read().unwrap().open_table(RECORDS).unwrap();
        assert!(!records.get(other).unwrap().unwrap().value().is_empty());
        assert_eq!(records.get(key).unwrap().unwrap().value(), bytes);
    }
}

#[test]
fn a_flipped_bit_anywhere_does_not_prevent_a_start() {
    let (dir, _file, good) = used();
    // Each byte of the header, then with a stride that hits each page at a different offset.
    let positions = (0..128).chain((128..good.len()).step_by(good.len() / 127));
    let (mut noticed, mut tried) = (0, 0);
    for position in positions {
        let mut flipped = good.clone();
        flipped[position] ^= 1 << (position % 8);
        tried += 1;
        noticed += u32::from(survives(dir.path(), &flipped).is_some());
    }
    println!("{noticed} of {tried} flips were damage, in {} bytes", good.len());
    assert!(noticed > 0 && noticed < tried);
}

#[test]
fn a_file_left_half_made_by_a_kill_does_not_count_as_damaged() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("state.new"), vec![0; 4096]).unwrap();
    StateFile::open(dir.path()).unwrap().compare_and_set(None, &record("kept")).unwrap();
}
