//! Replicas whose token is refused: the refresh token by the token endpoint, or the access token by the API.

use super::{
    fleet::{memory, shared_store, start, start_two},
    *,
};
use crate::{
    simulator::{BodyShape, Fault, Scope},
    state::TokenRecord,
};

const OK: Result<StatusCode, Cause> = Ok(StatusCode::OK);
const RESTS: Result<StatusCode, Cause> = Err(Cause::Local(LocalDenial::NoToken));
const UNAUTHORIZED: Result<StatusCode, Cause> = Ok(StatusCode::UNAUTHORIZED);

#[tokio::test(start_paused = true)]
async fn a_dead_refresh_token_is_dead_for_all_and_a_login_heals_all_even_while_nothing_can_be_asked_with_it()
{
    let place = Place::new(RefreshTokenPolicy::LongLived).watched();
    let store = shared_store();
    let mut replicas = Vec::new();
    for _ in 0..5 {
        replicas.push(start(&place, &store, memory()).await);
    }
    pass(Duration::from_secs(60)).await;
    for (replica, _member) in &replicas {
        assert_eq!(replica.ask().await, OK);
    }
    place.vendor.revoke_refresh_tokens();
    place.vendor.revoke_access_tokens();
    // So that each meets the one whose call is under way, and would wait for ten minutes.
    place.vendor.inject(Fault::Latency(Duration::from_secs(2)), Scope::TokenCalls);
    let asking: Vec<_> = replicas.iter().map(|(replica, _member)| replica.ask_meanwhile()).collect();
    for asked in asking {
        assert!(asked.await.unwrap().is_ok(), "a 401");
    }
    pass(Duration::from_secs(10)).await;
    place.vendor.clear_faults();
    let states = || replicas.iter().map(|(replica, _member)| replica.state()).collect::<Vec<_>>();
    assert_eq!(states(), ["reauthorization_required"; 5]);

    let (calls, token_calls) = (place.vendor.calls(), place.vendor.token_calls());
    for _minute in 0..60 {
        for (replica, _member) in &replicas {
            assert_eq!(replica.ask().await, RESTS);
        }
        pass(Duration::from_secs(60)).await;
    }
    assert_eq!(place.vendor.calls(), calls, "each would be another 401");
    let token_calls = place.vendor.token_calls() - token_calls;
    assert!((10..=15).contains(&token_calls), "{token_calls} in an hour");
    assert_eq!(states(), ["reauthorization_required"; 5]);

    let down = Fault::Status { status: StatusCode::SERVICE_UNAVAILABLE, shape: BodyShape::Empty };
    place.vendor.inject(down, Scope::TokenCalls);
    place.inbox().leave(&TokenRecord::new(place.vendor.issue_refresh_token().into())).await.unwrap();
    pass(Duration::from_secs(90)).await;
    assert_eq!(states(), ["rejected"; 5], "nobody needs to log in again");
    place.vendor.clear_faults();
    pass(Duration::from_secs(120)).await;
    for (replica, _member) in &replicas {
        assert_eq!((replica.ask().await, replica.state()), (OK, "valid"));
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_count_on_for_a_token_that_another_replica_has_renewed_and_not_for_one_of_a_login() {
    let place = Place::new(RefreshTokenPolicy::Rotating).watched();
    let [(one, _first), (two, _second)] = start_two(&place).await;
    let refuses = Fault::Status { status: StatusCode::UNAUTHORIZED, shape: BodyShape::Object };
    place.vendor.inject(refuses, Scope::All);
    // The first has the token renewed.
    assert_eq!((two.ask().await, two.ask().await), (UNAUTHORIZED, UNAUTHORIZED));
    let generation = two.tokens.generation();
    pass(Duration::from_secs(20)).await;
    assert_eq!(one.ask().await, UNAUTHORIZED);
    pass(Duration::from_secs(20)).await;
    assert_eq!(two.tokens.generation(), generation + 1, "the other has renewed it");
    assert_eq!((two.ask().await, two.ask().await), (UNAUTHORIZED, RESTS));
    place.inbox().leave(&TokenRecord::new(place.vendor.issue_refresh_token().into())).await.unwrap();
    pass(Duration::from_secs(20)).await;
    let mut sent = 0;
    while sent < 10 && two.ask().await == UNAUTHORIZED {
        sent += 1;
    }
    assert!((3..=5).contains(&sent), "a clean slate: {sent}");
}
