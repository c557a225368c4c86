//! Two processes that share the token's record: who finds that the other has renewed goes on with that token.

use std::time::SystemTime;

use super::{
    trap::{Point, Trap},
    *,
};
use crate::{
    simulator::{BodyShape, Fault, Scope},
    state::{StoredAccess, TokenRecord},
};

const OK: Result<StatusCode, Cause> = Ok(StatusCode::OK);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What another process would write after a renewal.
fn renewed_elsewhere(place: &Place) -> TokenRecord {
    let now = SystemTime::now();
    TokenRecord {
        access: Some(StoredAccess {
            token: place.vendor.issue_access_token().into(),
            renewed_at: now,
            expires_at: now + DAY,
        }),
        ..TokenRecord::new(place.vendor.issue_refresh_token().into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_another_process_has_renewed_is_used_without_a_call() {
    let place = Place::with(options(RefreshTokenPolicy::Rotating, DAY), MemoryStore::default());
    let first = place.start().await;
    assert_eq!(first.ask().await, OK);
    let second = place.start().await;
    assert_eq!((second.ask().await, place.vendor.token_calls()), (OK, 1));
    for renewal in 2..5 {
        pass(DAY * 17 / 20).await;
        assert_eq!(place.vendor.token_calls(), renewal, "one of them renews");
        for process in [&first, &second] {
            assert_eq!((process.ask().await, process.state()), (OK, "valid"), "and both go on");
            assert_eq!((process.tokens.generation(), process.last_error()), (renewal, String::new()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_another_process_has_overtaken_goes_on_with_the_newer_token() {
    let trap = Trap::default();
    let place = Place::with(options(RefreshTokenPolicy::Rotating, DAY), trap.clone());
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    trap.overtake(Point::BeforeIntent, renewed_elsewhere(&place));
    pass(DAY * 17 / 20).await;
    assert_eq!((process.tokens.generation(), place.vendor.token_calls()), (2, 1), "nothing was asked for");
    assert_eq!((process.ask().await, process.state(), process.last_error()), (OK, "valid", String::new()));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_another_process_has_replaced_meanwhile_is_not_taken_for_dead() {
    let place = Place::with(options(RefreshTokenPolicy::Rotating, DAY), MemoryStore::default());
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    place.vendor.inject(Fault::Latency(Duration::from_secs(1)), Scope::TokenCalls);
    place.vendor.revoke_refresh_tokens();
    place.vendor.revoke_access_tokens();
    let asking = process.ask_meanwhile();
    let stored = loop {
        pass(Duration::from_millis(100)).await;
        match place.store.read().await.unwrap() {
            Some(stored) if stored.record.intent.is_some() => break stored,
            Some(_) | None => {}
        }
    };
    place.store.compare_and_set(Some(stored.version), &renewed_elsewhere(&place)).await.unwrap();
    assert!(asking.await.unwrap().is_ok(), "a 401");
    assert_eq!(process.ask().await, OK, "with the other process's token");
    assert_eq!((process.state(), process.last_error()), ("valid", String::new()));
    assert_eq!((process.tokens.generation(), place.vendor.token_calls()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_another_process_that_is_under_way_is_not_repeated_by_us() {
    let place = Place::with(options(RefreshTokenPolicy::Rotating, DAY), MemoryStore::default());
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    let Some(stored) = place.store.read().await.unwrap() else { panic!("no record") };
    let begun = TokenRecord { intent: Some(SystemTime::now()), ..stored.record };
    place.vendor.inject(Fault::Hang, Scope::TokenCalls);
    place.store.compare_and_set(Some(stored.version), &begun).await.unwrap();
    pass(HOUR).await;
    assert_eq!((place.vendor.token_calls(), process.state()), (1, "valid"), "its token is good still");
}

#[tokio::test(start_paused = true)]
async fn a_newer_token_that_cannot_be_read_yet_is_looked_at_again_every_few_seconds() {
    let trap = Trap::default();
    let place = Place::with(options(RefreshTokenPolicy::Rotating, DAY), trap.clone());
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    let Some(stored) = place.store.read().await.unwrap() else { panic!("no record") };
    trap.hide();
    place.store.compare_and_set(Some(stored.version), &renewed_elsewhere(&place)).await.unwrap();
    let before = trap.reads();
    pass(Duration::from_secs(60)).await;
    assert!((2..=13).contains(&(trap.reads() - before)), "{}", trap.reads() - before);
    assert_eq!((process.ask().await, process.tokens.generation()), (OK, 1));
    trap.mend();
    pass(Duration::from_secs(6)).await;
    assert_eq!((process.ask().await, process.tokens.generation()), (OK, 2));
    assert_eq!(place.vendor.token_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_another_process_has_renewed_ends_the_error_of_our_own_attempt() {
    let place = Place::with(options(RefreshTokenPolicy::Rotating, DAY), MemoryStore::default());
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    let down = Fault::Status { status: StatusCode::SERVICE_UNAVAILABLE, shape: BodyShape::Empty };
    place.vendor.inject(down, Scope::TokenCalls);
    pass(DAY * 17 / 20).await;
    assert!(process.last_error().contains("503"), "{}", process.last_error());
    let Some(stored) = place.store.read().await.unwrap() else { panic!("no record") };
    place.store.compare_and_set(Some(stored.version), &renewed_elsewhere(&place)).await.unwrap();
    pass(Duration::from_secs(5)).await;
    assert_eq!((process.tokens.generation(), process.last_error()), (2, String::new()));
}
