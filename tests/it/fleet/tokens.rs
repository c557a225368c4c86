//! A rotating token of several replicas: one of them renews, all use the result, and none sends a refresh token that was
//! used.

use std::time::Duration;

use link_report_proxy::{
    shared::{SharedStore as _, WriteSafety},
    simulator::{Fault, RefreshTokenPolicy, Scope},
};
use tokio::time::sleep;

use super::{
    faulty_store::LinkFault,
    token_fleet::{HOUR, MINUTE, SECOND, TokenFleet},
};

/// After this much of its day the access token was renewed.
const RENEWED: Duration = Duration::from_mins(24 * 60 * 17 / 20);

/// Before any replica renews.
const NOT_YET_DUE: Duration = Duration::from_mins(24 * 60 * 3 / 4);

#[tokio::test(start_paused = true)]
async fn five_replicas_of_a_rotating_token_make_one_renewal_a_day_and_all_go_on() {
    let mut fleet = TokenFleet::rotating(5).settled().await;
    assert_eq!(fleet.vendor.token_calls(), 1, "one first token for all");
    for renewals in 2..6 {
        sleep(RENEWED).await;
        assert_eq!(fleet.vendor.token_calls(), renewals);
        for member in 0..5 {
            assert_eq!(fleet.ask(member).await, 200);
            let token = fleet.token(member).await;
            assert_eq!(
                (&token["status"], token["fleet"]["generation"].as_u64()),
                (&"valid".into(), Some(renewals + 1))
            );
            assert_eq!(token["renewal"]["refresh_token_rotation"], "rotating");
            assert_eq!(fleet.own_refresh_token(member).await, Some(fleet.vendor.refresh_token()));
        }
        let _version = fleet.agreed_version().await;
    }
    assert!(fleet.sent_again().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_of_the_settings_that_waits_for_the_store_is_not_said_to_be_missing() {
    for restored_after in (0..6_000).step_by(250).map(Duration::from_millis) {
        let fleet = TokenFleet::rotating(1);
        fleet.members[0].link.set(LinkFault::Cut);
        sleep(restored_after).await;
        fleet.members[0].link.set(LinkFault::None);
        for _tenth in 0..300 {
            sleep(Duration::from_millis(100)).await;
            let token = fleet.token(0).await;
            let error = token["renewal"]["last_error"].as_str().unwrap_or_default();
            assert!(!error.contains("no refresh token"), "{restored_after:?}: {token}");
        }
        assert_eq!(fleet.token(0).await["status"], "valid", "{restored_after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_starts_with_an_empty_disk_adopts_the_fleet_s_token() {
    let mut fleet = TokenFleet::rotating(2).settled().await;
    sleep(RENEWED).await;
    let calls = fleet.vendor.token_calls();
    let joined = fleet.join();
    sleep(SECOND).await;
    assert_eq!((fleet.ask(joined).await, fleet.vendor.token_calls()), (200, calls));
    let token = fleet.token(joined).await;
    assert_eq!(token["fleet"]["renewed_by"], "another_replica");
    assert_eq!(token["fleet"]["version"], fleet.agreed_version().await);
    let version = fleet.replica(joined).metric("link_report_proxy_token_version").await;
    assert!((version - token["fleet"]["version"].as_f64().unwrap()).abs() < 0.5, "{version}");
    assert!(fleet.replica(joined).metric("link_report_proxy_token_store_behind").await < 0.5);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once_for_all_replicas() {
    let mut fleet = TokenFleet::rotating(4).settled().await;
    sleep(HOUR).await;
    fleet.vendor.revoke_access_tokens();
    let calls = fleet.vendor.token_calls();
    for member in 0..4 {
        assert_eq!(fleet.ask(member).await, 200);
    }
    assert_eq!(fleet.vendor.token_calls(), calls + 1);
}

#[tokio::test(start_paused = true)]
async fn replicas_whose_tokens_are_all_refused_do_not_keep_each_other_renewing() {
    let mut fleet = TokenFleet::rotating(3).settled().await;
    sleep(HOUR).await;
    fleet.vendor.inject(
        Fault::Status {
            status: http::StatusCode::UNAUTHORIZED,
            shape: link_report_proxy::simulator::BodyShape::Object,
        },
        Scope::All,
    );
    let calls = fleet.vendor.token_calls();
    for _minute in 0..30 {
        for member in 0..3 {
            assert!(matches!(fleet.ask(member).await, 502 | 503));
        }
        sleep(MINUTE).await;
    }
    // One replica alone makes five: after 0, 1, 3, 7 and 15 minutes.
    let renewals = fleet.vendor.token_calls() - calls;
    assert!((3..=8).contains(&renewals), "{renewals}");
    assert!(fleet.sent_again().is_empty() && fleet.closest_calls() >= Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn the_renewal_of_a_replica_that_dies_is_taken_over_after_a_minute_where_no_access_token_is_left() {
    // The refresh token is good still, as if its call had never left.
    let mut fleet = TokenFleet::of(3, RefreshTokenPolicy::LongLived, 24 * HOUR).settled().await;
    // Nobody renews before the last quarter of an hour.
    fleet.store.set_write_safety(WriteSafety::Unreplicated);
    let (owner, calls) = fleet.owner_of_a_call_that_hangs().await;
    let version = fleet.store.read_token().await.unwrap().unwrap().version;
    fleet.kill(owner);
    fleet.vendor.clear_faults();
    assert_eq!(fleet.store.read_token().await.unwrap().unwrap().version, version, "its intent stays");
    sleep(45 * SECOND).await;
    assert_eq!(fleet.vendor.token_calls(), calls, "its answer may be on its way");
    sleep(30 * SECOND).await;
    assert_eq!(fleet.vendor.token_calls(), calls + 1);
    assert_eq!(fleet.ask((owner + 1) % 3).await, 200);
}

#[tokio::test(start_paused = true)]
async fn an_emptied_store_is_given_its_token_back_and_nothing_is_renewed_meanwhile() {
    let mut fleet = TokenFleet::rotating(3).settled().await;
    sleep(RENEWED).await;
    let (version, calls) = (fleet.agreed_version().await, fleet.vendor.token_calls());
    for restart in [false, true] {
        if restart {
            fleet.store.restart_empty();
        } else {
            fleet.store.flush();
        }
        // It has the seed, which was used long since.
        let joined = fleet.join();
        sleep(20 * SECOND).await;
        assert!(fleet.agreed_version().await >= version);
        assert_eq!((fleet.ask(joined).await, fleet.vendor.token_calls()), (200, calls));
    }
    sleep(RENEWED).await;
    assert_eq!(fleet.vendor.token_calls(), calls + 1);
    assert!(fleet.sent_again().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_older_copy_of_the_store_brings_no_used_refresh_token_back() {
    let mut fleet = TokenFleet::rotating(2).settled().await;
    sleep(NOT_YET_DUE).await;
    let copy = fleet.store.copy();
    sleep(RENEWED - NOT_YET_DUE).await;
    let (version, calls) = (fleet.agreed_version().await, fleet.vendor.token_calls());
    assert_eq!(calls, 2);
    fleet.store.fail_over(copy);
    let joined = fleet.join();
    // All three want a newer one.
    fleet.vendor.revoke_access_tokens();
    assert!(matches!(fleet.ask(joined).await, 502 | 503), "after the loss, those who know more come first");
    sleep(MINUTE).await;
    for member in 0..2 {
        assert_eq!(fleet.ask(member).await, 200);
    }
    // Two refused tokens in a row: the next one is tried with back-off.
    sleep(MINUTE).await;
    assert_eq!(fleet.ask(joined).await, 200);
    assert_eq!(fleet.vendor.token_calls(), calls + 1);
    assert!(fleet.agreed_version().await > version);
    assert!(fleet.sent_again().is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_only_the_replica_that_got_a_rotating_token_renews_it_and_only_at_its_end() {
    let mut fleet = TokenFleet::rotating(3).settled().await;
    sleep(HOUR).await;
    for member in &fleet.members {
        member.link.set(LinkFault::Cut);
    }
    let calls = fleet.vendor.token_calls();
    sleep(23 * HOUR - 17 * MINUTE).await;
    assert_eq!(fleet.vendor.token_calls(), calls, "the access token is good still");
    sleep(12 * MINUTE).await;
    assert_eq!(fleet.vendor.token_calls(), calls + 1);
    let mut renewed_by = Vec::new();
    for member in 0..3 {
        assert_eq!(fleet.ask(member).await, 200);
        if fleet.token(member).await["fleet"]["renewed_by"] == "this_replica" {
            renewed_by.push(member);
        }
    }
    let [owner] = renewed_by[..] else { panic!("{renewed_by:?}") };
    assert_eq!(fleet.own_refresh_token(owner).await, Some(fleet.vendor.refresh_token()), "in its own store");
    assert!(fleet.replica(owner).metric("link_report_proxy_token_store_behind").await > 0.5);
    sleep(10 * MINUTE).await;
    for member in 0..3 {
        assert_eq!(fleet.ask(member).await, if member == owner { 200 } else { 503 });
    }
    // For the others it is back first, with the refresh token that was used up.
    for member in (0..3).filter(|member| *member != owner) {
        fleet.members[member].link.set(LinkFault::None);
    }
    sleep(8 * SECOND).await;
    fleet.members[owner].link.set(LinkFault::None);
    sleep(30 * SECOND).await;
    for member in 0..3 {
        assert_eq!(fleet.ask(member).await, 200, "from the store that is back");
    }
    let _version = fleet.agreed_version().await;
    assert!(fleet.replica(owner).metric("link_report_proxy_token_store_behind").await < 0.5);
    assert!(fleet.sent_again().is_empty() && fleet.vendor.token_calls() == calls + 1);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_has_just_lost_the_store_sends_no_refresh_token_that_another_one_may_have_sent() {
    let mut fleet = TokenFleet::rotating(2).settled().await;
    sleep(HOUR).await;
    let mut owner = None;
    for member in 0..2 {
        let is_its = fleet.token(member).await["fleet"]["renewed_by"] == "this_replica";
        owner = owner.or(is_its.then_some(member));
    }
    let owner = owner.expect("who has renewed");
    // It does not learn that the other one has begun.
    fleet.members[owner].link.set(LinkFault::Cut);
    fleet.vendor.revoke_access_tokens();
    let calls = fleet.vendor.token_calls();
    assert_eq!(fleet.ask(1 - owner).await, 200);
    assert!(matches!(fleet.ask(owner).await, 502 | 503));
    sleep(20 * SECOND).await;
    assert_eq!(fleet.vendor.token_calls(), calls + 1);
    fleet.members[owner].link.set(LinkFault::None);
    sleep(30 * SECOND).await;
    assert_eq!((fleet.ask(owner).await, fleet.vendor.token_calls()), (200, calls + 1));
    assert!(fleet.sent_again().is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_any_replica_renews_a_token_that_does_not_rotate() {
    let mut fleet = TokenFleet::of(3, RefreshTokenPolicy::LongLived, 24 * HOUR).settled().await;
    for member in &fleet.members {
        member.link.set(LinkFault::Cut);
    }
    sleep(RENEWED).await;
    assert_eq!(fleet.vendor.token_calls(), 4);
    for member in 0..3 {
        assert_eq!(fleet.token(member).await["status"], "valid");
        fleet.members[member].link.set(LinkFault::None);
    }
    sleep(30 * SECOND).await;
    let _version = fleet.agreed_version().await;
    assert_eq!(fleet.ask(0).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_store_whose_writes_are_not_safe_is_not_trusted_with_a_renewal_while_there_is_time() {
    for safety in [WriteSafety::Unreplicated, WriteSafety::Rewriting] {
        let mut fleet = TokenFleet::rotating(2).settled().await;
        fleet.store.set_write_safety(safety);
        sleep(RENEWED).await;
        assert_eq!(fleet.vendor.token_calls(), 1, "{safety:?}");
        assert!(!fleet.token(0).await["fleet"]["waits_for"].is_null());
        fleet.store.set_write_safety(WriteSafety::Kept);
        sleep(MINUTE).await;
        assert_eq!(fleet.vendor.token_calls(), 2, "{safety:?}");
        assert_eq!(fleet.ask(0).await, 200);

        fleet.store.set_write_safety(safety);
        sleep(24 * HOUR - 16 * MINUTE).await;
        assert_eq!(fleet.vendor.token_calls(), 2, "{safety:?}");
        sleep(5 * MINUTE).await;
        assert_eq!(fleet.vendor.token_calls(), 3, "{safety:?}: an outage would be worse");
        assert_eq!(fleet.ask(1).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn replicas_with_two_seeds_do_not_take_turns() {
    let mut fleet = TokenFleet::rotating(2).settled().await;
    let newer = fleet.vendor.issue_refresh_token();
    fleet.kill(1);
    fleet.members[1].seed = newer;
    fleet.start(1);
    sleep(15 * MINUTE).await;
    let generation = fleet.token(1).await["fleet"]["generation"].clone();
    let calls = fleet.vendor.token_calls();
    for _restart in 0..3 {
        for member in [0, 1] {
            fleet.kill(member);
            fleet.start(member);
            sleep(30 * MINUTE).await;
            assert_eq!(fleet.ask(member).await, 200);
            assert_eq!(fleet.token(member).await["fleet"]["generation"], generation);
        }
    }
    assert_eq!(fleet.vendor.token_calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn a_replica_with_another_key_says_so_and_leaves_the_fleet_s_token_alone() {
    let mut fleet = TokenFleet::rotating(2).settled().await;
    let before = fleet.store.read_token().await.unwrap();
    fleet.kill(1);
    let joined = fleet.join();
    fleet.kill(joined);
    fleet.members[joined].key = "ff".repeat(32);
    fleet.members[joined].own = link_report_proxy::state::StateStores::in_memory();
    fleet.start(joined);
    sleep(HOUR).await;
    let token = fleet.token(joined).await;
    let error = token["renewal"]["last_error"].as_str().unwrap_or_default();
    assert!(error.contains("shared.key_file"), "{token}");
    assert_eq!((fleet.ask(joined).await, fleet.vendor.token_calls()), (503, 1));
    assert_eq!(fleet.store.read_token().await.unwrap(), before);
    assert_eq!(fleet.ask(0).await, 200);
    // A second key opens what the first has not sealed.
    fleet.kill(joined);
    fleet.members[joined].key = format!("{}\n{}\n", "ff".repeat(32), super::token_fleet::KEY);
    fleet.start(joined);
    sleep(30 * SECOND).await;
    assert_eq!(fleet.ask(joined).await, 200);
}

#[tokio::test(start_paused = true)]
async fn no_token_is_in_the_store_in_clear_text() {
    let fleet = TokenFleet::rotating(2).settled().await;
    let sealed = fleet.store.read_token().await.unwrap().expect("a token").token.0;
    for secret in [fleet.vendor.refresh_token(), fleet.vendor.access_token(), fleet.members[0].seed.clone()] {
        let secret = &secret.as_bytes()[..16];
        assert!(!sealed.windows(secret.len()).any(|window| window == secret));
    }
}
