//! The rights that the store needs on its server: these, and none less.

use redis::RedisConnectionInfo;

use crate::shared::{
    RedisStore, SharedStore, SharedStoreError,
    tests::{
        backend::namespace,
        every_operation::every_operation,
        operation::LIMITS,
        test_server::{Engine, TestServer, connect},
    },
};

/// What the scripts and the reads of the feed run.
const SCRIPT_COMMANDS: [&str; 17] = [
    "evalsha",
    "script|load",
    "info",
    "xread",
    "time",
    "del",
    "hdel",
    "hget",
    "hincrby",
    "hkeys",
    "hmget",
    "hset",
    "pexpire",
    "xadd",
    "xlen",
    "xrange",
    "xrevrange",
];

/// What the link runs besides. AUTH needs no right. WAIT counts the copies of a renewed token.
const LINK_COMMANDS: [&str; 2] = ["client|setname", "wait"];

/// The users of the store that is deployed.
const DEPLOYED_ACL: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/valkey/users.acl"));

/// The rule of a user without some command.
fn rule(without: &str) -> Vec<String> {
    let rights = SCRIPT_COMMANDS.iter().filter(|command| **command != without);
    let rights = rights.map(|command| format!("+{command}"));
    let user = ["reset", "on", ">password", "~lrp:{test}:*", "resetchannels", "-@all"];
    user.into_iter().map(str::to_owned).chain(rights).collect()
}

async fn set_user(server: &TestServer, without: &str) {
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg("fleet").arg(rule(without));
    command.exec_async(&mut connect(&server.client()).await).await.expect("a rule");
}

fn user() -> RedisConnectionInfo {
    RedisConnectionInfo::default().set_username("fleet").set_password("password")
}

async fn least_rights(engine: Engine) {
    let server = TestServer::start(engine);
    for without in SCRIPT_COMMANDS {
        set_user(&server, without).await;
        // The server forgets its scripts, so that they are loaded again.
        let admin = &mut connect(&server.client()).await;
        redis::cmd("SCRIPT").arg("FLUSH").exec_async(admin).await.expect("flushed");
        redis::cmd("FLUSHALL").exec_async(admin).await.expect("flushed");
        let store = RedisStore::new(server.scripts_of(user(), None).await, &namespace(), LIMITS.max_body);
        let refused = every_operation(&store).await;
        assert!(matches!(refused, Err(SharedStoreError::Refused(_))), "{without} is not needed: {refused:?}");
    }
    set_user(&server, "").await;
    let admin = &mut connect(&server.client()).await;
    redis::cmd("FLUSHALL").exec_async(admin).await.expect("flushed");
    let scripts = server.scripts_of(user(), None).await;
    let store = RedisStore::new(scripts, &namespace(), LIMITS.max_body);
    assert_eq!(every_operation(&store).await, Ok(()));
    let connection = &mut connect(&redis::Client::open(server.connection_info(user())).unwrap()).await;
    for refused in ["FLUSHALL", "CONFIG GET *", "EVAL return 0", "KEYS *", "HGET lrp:{other}:fleet epoch"] {
        let mut words = refused.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        if refused.starts_with("EVAL") {
            command.arg(0);
        }
        let code = command.exec_async(connection).await.unwrap_err().code().map(str::to_owned);
        assert_eq!(code.as_deref(), Some("NOPERM"), "{refused}");
    }
    // Nor the keys of another fleet.
    let other = crate::settings::StoreNamespace::fixed("other");
    let other = RedisStore::new(server.scripts_of(user(), None).await, &other, LIMITS.max_body);
    assert!(matches!(other.read_token().await, Err(SharedStoreError::Refused(_))));
}

#[test]
fn the_deployed_user_has_these_rights_and_no_others() {
    let mut users = DEPLOYED_ACL.lines().map(str::split_whitespace);
    let words = users.find_map(|mut words| (words.nth(1) == Some("link-report-proxy")).then_some(words));
    let (mut rights, rest): (Vec<_>, Vec<_>) =
        words.expect("a user for the proxies").partition(|word| word.starts_with('+'));
    let mut expected: Vec<_> =
        SCRIPT_COMMANDS.iter().chain(&LINK_COMMANDS).map(|command| format!("+{command}")).collect();
    rights.sort_unstable();
    expected.sort_unstable();
    assert_eq!(rights, expected);
    assert_eq!(rest, ["on", "#PASSWORD_SHA256", "resetkeys", "~lrp:{main}:*", "resetchannels", "-@all"]);
}

#[tokio::test]
async fn every_script_runs_with_the_least_rights_on_redis() {
    least_rights(Engine::Redis).await;
}

#[tokio::test]
async fn every_script_runs_with_the_least_rights_on_valkey() {
    least_rights(Engine::Valkey).await;
}
