//! Another refresh token takes the place of one that works, and has yet to prove itself.

use std::time::SystemTime;

use super::*;
use crate::{
    simulator::{BodyShape, Fault, Scope},
    state::{StoredAccess, TokenRecord},
};

const OK: Result<StatusCode, Cause> = Ok(StatusCode::OK);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn place() -> Place {
    Place::with(options(RefreshTokenPolicy::Rotating, HOUR), MemoryStore::default()).watched()
}

async fn replaced(place: &Place) -> usize {
    place.store.read().await.unwrap().unwrap().record.replaced.len()
}

/// What the vendor would take next is what is kept, and nothing besides.
async fn assert_whole(place: &Place) {
    assert_eq!((place.refresh_token().await, replaced(place).await), (place.vendor.refresh_token(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_never_worked_gives_way_to_the_token_it_replaced() {
    let place = place();
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    place.seed("a-token-of-another-application");
    pass(5 * SECOND).await;
    assert_whole(&place).await;
    assert_eq!((process.ask().await, process.state()), (OK, "valid"));
    let error = process.last_error();
    assert!(error.contains("invalid_grant") && error.contains("previous"), "{error}");
    assert!(process.metric("token_renewals_total{result=\"error\"}") > 0.0);
    pass(HOUR).await;
    assert_eq!((process.ask().await, process.last_error().as_str()), (OK, ""));

    let calls = place.vendor.token_calls();
    process.kill().await;
    let process = place.start().await;
    pass(5 * SECOND).await;
    assert_eq!((process.ask().await, place.vendor.token_calls()), (OK, calls), "a restart tries it no more");
}

#[tokio::test(start_paused = true)]
async fn a_seed_that_changed_while_nobody_ran_gives_way_too_whoever_is_killed_meanwhile() {
    let place = place();
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    process.kill().await;
    place.seed("a-token-of-another-application");
    let unavailable = Fault::Status { status: StatusCode::SERVICE_UNAVAILABLE, shape: BodyShape::Empty };
    place.vendor.inject(unavailable, Scope::TokenCalls);
    let process = place.start().await;
    pass(10 * SECOND).await;
    assert_eq!(replaced(&place).await, 1, "nobody has judged the new one yet");
    process.kill().await;
    place.vendor.clear_faults();
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    assert_whole(&place).await;
}

#[tokio::test(start_paused = true)]
async fn a_login_whose_refresh_token_never_worked_gives_way_when_that_shows() {
    let place = place();
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    let (now, token) = (SystemTime::now(), place.vendor.issue_access_token().into());
    let access = Some(StoredAccess { token, renewed_at: now, expires_at: now + HOUR });
    place
        .inbox()
        .leave(&TokenRecord { access, ..TokenRecord::new("of another client".into()) })
        .await
        .unwrap();
    pass(5 * SECOND).await;
    assert_eq!((process.ask().await, replaced(&place).await), (OK, 1), "its access token is used");
    pass(HOUR).await;
    assert_eq!((process.ask().await, process.state()), (OK, "valid"));
    assert_whole(&place).await;
}

#[tokio::test(start_paused = true)]
async fn the_replaced_token_is_forgotten_once_the_new_one_has_worked() {
    let place = place();
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    place.seed(&place.vendor.issue_refresh_token());
    pass(5 * SECOND).await;
    assert_eq!((process.last_error().as_str(), place.vendor.token_calls()), ("", 2));
    assert_whole(&place).await;
    // So that what is dead now is dead, and no older one is asked with.
    place.vendor.revoke_refresh_tokens();
    pass(HOUR).await;
    assert_eq!(process.state(), "reauthorization_required");
}

#[tokio::test(start_paused = true)]
async fn several_new_tokens_in_a_row_give_way_one_after_another() {
    let place = place();
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    let unavailable = Fault::Status { status: StatusCode::SERVICE_UNAVAILABLE, shape: BodyShape::Empty };
    place.vendor.inject(unavailable, Scope::TokenCalls);
    for number in 0..5 {
        place.seed(&format!("wrong-{number}"));
        pass(5 * SECOND).await;
    }
    assert_eq!(replaced(&place).await, 3, "not without end, and the one that worked is among them");
    place.vendor.clear_faults();
    pass(90 * SECOND).await;
    assert_whole(&place).await;
    assert_eq!((process.ask().await, process.state()), (OK, "valid"));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_read_half_written_is_no_new_token() {
    let place = place();
    let process = place.start().await;
    assert_eq!(process.ask().await, OK);
    pass(SECOND / 2).await;
    let seed = place.vendor.issue_refresh_token();
    place.seed(&seed[..8]);
    pass(SECOND).await;
    place.seed(&seed);
    pass(4 * SECOND).await;
    assert_eq!(
        (process.last_error().as_str(), place.vendor.token_calls()),
        ("", 2),
        "asked with the whole only"
    );
    assert_whole(&place).await;
}
