//! Each operation once, and on a path that needs each command of its script.

use std::time::Duration;

use super::super::*;
use crate::report::testing::key;

pub(in crate::shared) fn recovery() -> Recovery {
    Recovery {
        known: None,
        seen: Sequence(0),
        fresh: Epoch(0xfeed),
        told: SpentDay { day: 1, spent: 0 },
        margin: 40,
        force: false,
        purged: Fence(0),
    }
}

pub(in crate::shared) fn about() -> MemberAbout {
    MemberAbout::new("0.1.0", "pod-1")
}

/// Reads the feed to its end, and says where that is.
pub(in crate::shared) async fn newest_change(store: &dyn SharedStore) -> Result<ChangeId, SharedStoreError> {
    let mut at = ChangeId::default();
    loop {
        let page = store.changes(at, Duration::ZERO).await?;
        match (page.restart, page.changes.last()) {
            (Some(restart), _) => at = restart.at(),
            (None, Some(last)) => at = last.id,
            (None, None) => return Ok(at),
        }
    }
}

/// Performs each; `Err` with the first error.
pub(in crate::shared) async fn every_operation(store: &dyn SharedStore) -> Result<(), SharedStoreError> {
    let (key, why) = (key(1), "a guarded operation is not refused here");
    store.identity().await?;
    let state = store.recover(recovery()).await?;
    let seen = StoreSeen { epoch: Some(state.epoch), sequence: state.sequence };
    let member = MemberId(1);
    let told = SpentDay { day: 1, spent: 3 };
    store
        .heartbeat(seen, Heartbeat { member, told, offline: 2, feed_lag: Duration::ZERO, about: about() })
        .await?
        .expect(why);
    store.leave(member).await?;
    let (interval, horizon) = (Duration::ZERO, Duration::from_secs(5));
    // Turns the day, and so forgets the calls that were made while the store was away.
    let request = CallRequest { day: 2, ceiling: 100, interval, horizon, count: CallCount::One };
    assert!(matches!(store.take_call(seen, request).await?.expect(why), CallTurn::Granted { .. }));
    store.lock_out(seen, LockoutRequest { day: 2, lasts: Duration::from_millis(1) }).await?.expect(why);
    store.throttle(seen, ThrottleRequest { hold: Duration::ZERO }).await?.expect(why);
    let look_up = LookUp { key, nonce: Nonce(1), have: Fence(0), lease: horizon, answers: 1 };
    let LookedUp::Leased(lease) = store.look_up(seen, look_up).await?.expect(why) else { panic!("{why}") };
    let report = ReportToStore {
        kind: ReportKind::Report,
        age: Duration::ZERO,
        unchanged_for: Duration::ZERO,
        body: "body".into(),
        mac: "mac".into(),
    };
    let stored = StoreReport { key, nonce: Nonce(1), fence: lease.fence, keep: horizon, report };
    assert_eq!(store.store(seen, stored).await?.expect(why), Some(lease.fence));
    assert!(store.get(key, Fence(0)).await?.is_some());
    let look_up = LookUp { nonce: Nonce(2), have: lease.fence, ..look_up };
    assert!(matches!(store.look_up(seen, look_up).await?.expect(why), LookedUp::Leased(_)));
    let failure = FlightFailure { key, nonce: Nonce(2), back_off: horizon, why: "why".into() };
    store.fail(seen, failure).await?.expect(why);
    store.purge(seen, PurgeScope::Key(key)).await?.expect(why);
    store.purge(seen, PurgeScope::All).await?.expect(why);
    let token = SealedToken("sealed".into());
    let swap = TokenSwap { expected: 0, generation: 1, token: token.clone() };
    store.swap_token(seen, swap).await?.expect(why);
    assert!(store.read_token().await?.is_some());
    let restored = SharedToken { version: 3, generation: 1, token };
    assert_eq!(store.restore_token(seen, restored).await?.expect(why), 3);
    assert!(!store.changes(ChangeId::default(), Duration::ZERO).await?.changes.is_empty());
    let newest = newest_change(store).await?;
    // Long enough to be still waiting after the first look, however slow the machine is.
    assert!(store.changes(newest, Duration::from_millis(200)).await?.changes.is_empty());
    Ok(())
}
