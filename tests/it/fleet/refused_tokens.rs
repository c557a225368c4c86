//! A fleet's access token is refused before its end: one replica renews it, and the others wait for that one as long as
//! if it were good still.

use std::time::Duration;

use link_report_proxy::simulator::{Fault, RefreshTokenPolicy, Scope};
use tokio::time::sleep;

use super::{
    faulty_store::LinkFault,
    token_fleet::{HOUR, MINUTE, SECOND, TokenFleet},
};

#[tokio::test(start_paused = true)]
async fn whoever_renews_a_refused_token_has_ten_minutes_to_come_back_with_the_answer() {
    let mut fleet = TokenFleet::rotating(3).settled().await;
    sleep(HOUR).await;
    fleet.vendor.inject(Fault::Latency(SECOND), Scope::TokenCalls);
    fleet.vendor.revoke_access_tokens();
    let calls = fleet.vendor.token_calls();
    let _answers = [0, 1, 2].map(|member| fleet.ask_meanwhile(member));
    sleep(SECOND / 2).await;
    let owner = fleet.whose(|token| token["status"] == "renewing").await;
    fleet.members[owner].link.set(LinkFault::Cut);
    for _minute in 0..9 {
        sleep(MINUTE).await;
        for member in 0..3 {
            assert_eq!(fleet.ask(member).await == 200, member == owner);
        }
    }
    assert_eq!(fleet.own_refresh_token(owner).await, Some(fleet.vendor.refresh_token()));
    fleet.members[owner].link.set(LinkFault::None);
    sleep(MINUTE).await;
    for member in 0..3 {
        assert_eq!(fleet.ask(member).await, 200, "{member}");
    }
    assert_eq!(fleet.vendor.token_calls(), calls + 1);
    assert!(fleet.sent_again().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_renewal_of_a_replica_that_dies_is_taken_over_after_ten_minutes_even_if_the_token_is_refused() {
    let mut fleet = TokenFleet::of(3, RefreshTokenPolicy::LongLived, 24 * HOUR).settled().await;
    let (owner, calls) = fleet.owner_of_a_call_that_hangs().await;
    fleet.kill(owner);
    fleet.vendor.clear_faults();
    fleet.vendor.revoke_access_tokens();
    let next = (owner + 1) % 3;
    let _refused = fleet.ask(next).await;
    sleep(Duration::from_secs(9 * 60 + 45)).await;
    assert_eq!(fleet.vendor.token_calls(), calls, "it may have the answer");
    sleep(30 * SECOND).await;
    assert_eq!(fleet.vendor.token_calls(), calls + 1);
    assert_eq!(fleet.ask(next).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_replica_without_the_store_does_not_renew_a_refused_token_which_the_others_have_renewed() {
    let mut fleet = TokenFleet::rotating(3).settled().await;
    let owner = fleet.whose(|token| token["fleet"]["renewed_by"] == "this_replica").await;
    fleet.members[owner].link.set(LinkFault::Cut);
    sleep(HOUR).await;
    fleet.vendor.revoke_access_tokens();
    let calls = fleet.vendor.token_calls();
    for minute in 0..10 {
        for member in 0..3 {
            let status = fleet.ask(member).await;
            assert_eq!(status == 200, member != owner, "{minute}, {member}: {status}");
        }
        sleep(MINUTE).await;
    }
    assert_eq!(fleet.vendor.token_calls(), calls + 1);
    fleet.members[owner].link.set(LinkFault::None);
    sleep(MINUTE).await;
    assert_eq!(fleet.ask(owner).await, 200);
    assert!(fleet.sent_again().is_empty());
}
