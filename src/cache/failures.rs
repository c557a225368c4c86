//! The keys of which nothing is held, since calls for them fail: what went wrong, and until when they are left alone.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::Trouble;
use crate::report::{FetchError, ReportKey};

/// So many keys at most. Each is 0.5 KiB, half of that the map's spare room, and the upstream's request id may be 128
/// bytes more: 2 to 3 MiB in all, beside `cache.max_bytes`. Each took a call, and at 4 calls a second 2,400 at most are
/// within their pauses.
const MOST: usize = 4_096;

/// See above. Only looked at where there is no entry: no hit comes here.
#[derive(Debug, Default)]
pub(super) struct Failures {
    noted: Mutex<HashMap<ReportKey, Trouble, RandomState>>,
}

// === impl Failures ===

impl Failures {
    /// The error to answer with, while a key is to be left alone.
    pub(super) fn resting(&self, key: &ReportKey, now: Instant) -> Option<FetchError> {
        let noted = self.noted();
        noted.get(key).filter(|trouble| trouble.is_resting(now)).map(|trouble| trouble.error.clone())
    }

    /// What is noted of a key.
    pub(super) fn get(&self, key: &ReportKey) -> Option<Trouble> {
        self.noted().get(key).cloned()
    }

    /// Notes one more failure of a key.
    pub(super) fn note(&self, key: ReportKey, error: FetchError, now: Instant) {
        let mut noted = self.noted();
        let trouble = Trouble::after(noted.get(&key), error, now);
        insert(&mut noted, key, trouble);
    }

    /// Takes over what an entry knew that is going; what is noted already is newer.
    pub(super) fn take_over(&self, key: ReportKey, trouble: &Trouble) {
        let mut noted = self.noted();
        if !noted.contains_key(&key) {
            insert(&mut noted, key, trouble.clone());
        }
    }

    /// Calls for this key do not fail any more, or it is to be tried again at once.
    pub(super) fn forget(&self, key: &ReportKey) {
        self.noted().remove(key);
    }

    pub(super) fn forget_all(&self) {
        self.noted().clear();
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<ReportKey, Trouble, RandomState>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where there is no room, the key goes that may be tried again first.
fn insert(noted: &mut HashMap<ReportKey, Trouble, RandomState>, key: ReportKey, trouble: Trouble) {
    if noted.len() >= MOST && !noted.contains_key(&key) {
        let first = noted.iter().min_by_key(|(_, trouble)| trouble.retry_at).map(|(key, _)| *key);
        first.map(|first| noted.remove(&first));
    }
    noted.insert(key, trouble);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::{Cause, NoClicks};

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_failing_keys_takes_no_more_than_its_room_and_the_longest_pauses_stay() {
        assert!(size_of::<(ReportKey, Trouble)>() <= 260, "{}", size_of::<(ReportKey, Trouble)>());
        let failures = Failures::default();
        let start = Instant::now();
        let key = |number: u128| ReportKey {
            id: uuid::Uuid::from_u128(number).into(),
            no_clicks: NoClicks::Omitted,
        };
        for _ in 0..6 {
            failures.note(key(0), Cause::Forbidden.into(), start);
        }
        for number in 1..20_000 {
            let now = start + Duration::from_millis(u64::try_from(number).unwrap());
            failures.note(key(number), Cause::Forbidden.into(), now);
        }
        assert_eq!(failures.noted().len(), MOST);
        let end = start + Duration::from_secs(20);
        assert!(failures.resting(&key(0), end).is_some(), "it rests for a minute");
        assert!(failures.resting(&key(19_999), end).is_some());
        assert_eq!(failures.resting(&key(1), end), None);
    }
}
