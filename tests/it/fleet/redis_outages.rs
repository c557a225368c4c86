//! What a real redis-server can do to three real binaries: each says why, answers go on, and all is well again without a
//! restart.

use std::os::unix::fs::symlink;

use super::{real_fleet::RealFleet, redis_server::RedisServer};

const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_redis_that_is_killed_has_every_report_again_and_the_day_with_its_margin() {
    let mut fleet = RealFleet::over(RedisServer::with(&DURABLE).await).await;
    fleet.ask(3, 1).await;
    // Durable or not: another process may have lost the last writes, whatever it says.
    fleet.restart_redis().await;
    let url = fleet.redis.url();
    fleet.add_replica(&url).await;
    fleet.until_each_beats_again().await;
    fleet.ask(4, 1).await;
    assert_eq!(fleet.vendor.sim.calls(), 1, "the new replica has it from the store");
}

#[tokio::test(flavor = "multi_thread")]
async fn flushed_data_flushed_scripts_and_killed_connections_cost_no_second_call() {
    let fleet = RealFleet::start().await;
    fleet.ask(3, 1).await;
    fleet.until_each_beats_again().await;
    let before = fleet.used().await;
    fleet.redis.run(&["SCRIPT", "FLUSH"]).await;
    fleet.is_one(2).await;
    fleet.redis.run(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    fleet.is_one(3).await;
    fleet.until_each_beats_again().await;
    // On a busy machine a call may lose its place, and is counted twice.
    let used = fleet.used().await;
    assert!((before + 2..before + 40).contains(&used), "nothing is lost: {before}, then {used}");
    fleet.redis.run(&["FLUSHALL"]).await;
    fleet.until_each_says("the shared store has lost writes").await;
    fleet.is_one(4).await;
    fleet.until_each_beats_again().await;
    let used = fleet.used().await;
    assert!((before + 3..before + 80).contains(&used), "{before}, then {used}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_is_named_and_left_when_there_is_room_again() {
    let fleet = RealFleet::start().await;
    fleet.redis.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    fleet.until_each_names("out_of_memory").await;
    fleet.ask(3, 1).await;
    fleet.redis.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    fleet.until_shared_up_is(1.0).await;
    fleet.is_one(2).await;
}

/// A server that lets a user with this password in, and its URL for one with the right one.
async fn with_user(password: &str) -> (RedisServer, String) {
    let redis = RedisServer::start().await;
    redis.run(&["ACL", "SETUSER", "proxy", "on", &format!(">{password}"), "~lrp:*", "+@all"]).await;
    let url = format!("unix://proxy:right@{}", redis.socket().display());
    (redis, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_and_forgotten_when_it_is_given() {
    let (redis, url) = with_user("right").await;
    let fleet = RealFleet::at(redis, &url).await;
    fleet.redis.run(&["ACL", "SETUSER", "proxy", "-evalsha"]).await;
    fleet.until_each_names("not_permitted").await;
    fleet.ask(3, 1).await;
    fleet.redis.run(&["ACL", "SETUSER", "proxy", "+@all"]).await;
    fleet.until_shared_up_is(1.0).await;
    fleet.is_one(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_and_forgotten_when_it_is_the_right_one() {
    let (redis, url) = with_user("other").await;
    let fleet = RealFleet::unmet(redis, &url).await;
    fleet.until_each_names("wrong_password").await;
    fleet.ask(3, 1).await;
    fleet.redis.run(&["ACL", "SETUSER", "proxy", "resetpass", ">right"]).await;
    fleet.until_shared_up_is(1.0).await;
    fleet.is_one(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_primary_is_left_for_the_promoted_one_which_forgets_no_call() {
    let (first, second) = (RedisServer::with(&["--port", "0"]).await, RedisServer::start().await);
    // The name under which the primary is known.
    let dir = tempfile::tempdir().expect("a directory");
    let name = dir.path().join("primary");
    symlink(first.socket(), &name).expect("a link");
    let fleet = RealFleet::at(first, &format!("unix://{}", name.display())).await;
    fleet.ask(3, 1).await;
    fleet.until_each_beats_again().await;
    let before = fleet.used().await;
    // It can reach nobody, but it is a replica now.
    fleet.redis.run(&["REPLICAOF", "127.0.0.1", "1"]).await;
    fleet.until_each_names("replica").await;
    fleet.ask(3, 2).await;
    let moved = dir.path().join("moved");
    symlink(second.socket(), &moved).expect("a link");
    std::fs::rename(moved, &name).expect("another link");
    fleet.until_shared_up_is(1.0).await;
    fleet.is_one(3).await;
    fleet.until_each_beats_again().await;
    assert!(fleet.used().await > before + 3, "three were made without the store");
}
