//! The scripts as they are sent: by the server's own clock.

use std::time::{Duration, SystemTime};

use crate::shared::{
    RedisStore, SharedStore as _,
    scripts::{self, CLOCK},
    tests::{
        backend::namespace,
        every_operation::{every_operation, newest_change, recovery},
        operation::LIMITS,
        test_server::{Engine, TestServer},
    },
};

async fn by_its_own_clock(engine: Engine) {
    let server = TestServer::start(engine);
    let store = RedisStore::new(server.scripts(None).await, &namespace(), LIMITS.max_body);
    assert_eq!(every_operation(&store).await, Ok(()));
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let clock = store.recover(recovery()).await.unwrap().clock;
    assert!(clock + Duration::from_millis(1) > before && clock < before + Duration::from_secs(60));
    let newest = newest_change(&store).await.unwrap();
    assert!(clock.abs_diff(Duration::from_millis(newest.ms)) < Duration::from_secs(60));
}

async fn identity(engine: Engine) {
    let server = TestServer::start(engine);
    let store = RedisStore::new(server.scripts(None).await, &namespace(), LIMITS.max_body);
    let identity = store.identity().await.unwrap();
    assert_eq!(store.identity().await.unwrap(), identity);
    drop(server);
    let restarted = TestServer::start(engine);
    let store = RedisStore::new(restarted.scripts(None).await, &namespace(), LIMITS.max_body);
    assert_ne!(store.identity().await.unwrap(), identity);
}

#[test]
fn only_the_first_part_of_a_script_knows_the_time_and_no_argument_replaces_it() {
    assert!(CLOCK.contains("'TIME'") && !CLOCK.contains("ARGV"));
    for script in scripts::ALL {
        let rest = script.text.strip_prefix(CLOCK).unwrap_or(script.text);
        assert!(!rest.contains("'TIME'"), "{}", script.name);
        assert_eq!(rest.contains("now"), script.text.starts_with(CLOCK), "{}", script.name);
    }
}

#[tokio::test]
async fn every_operation_runs_by_the_clock_of_redis() {
    by_its_own_clock(Engine::Redis).await;
}

#[tokio::test]
async fn every_operation_runs_by_the_clock_of_valkey() {
    by_its_own_clock(Engine::Valkey).await;
}

#[tokio::test]
async fn redis_has_another_identity_after_a_restart() {
    identity(Engine::Redis).await;
}

#[tokio::test]
async fn valkey_has_another_identity_after_a_restart() {
    identity(Engine::Valkey).await;
}
