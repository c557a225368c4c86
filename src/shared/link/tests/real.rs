//! The link against real servers.

use std::{fs, path::Path, sync::Arc, time::Duration};

use redis::Value;
use rustix::process::Signal;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::super::{
    DownReason, Link, LinkOptions, LinkState, LinkView, SocketConnector, testing::RealServer,
};
use super::fixture::wait_for_change;
use crate::{
    settings::{StoreLocation, StoreUrl},
    shared::{SharedStoreError, store_script::StoreScript},
    telemetry::Metrics,
};

static COUNT: StoreScript = StoreScript {
    name: "count",
    text: "redis.call('XADD', KEYS[2], '*', 'k', 'v'); return redis.call('HINCRBY', KEYS[1], 'spent', 1)",
};
const SCRIPTS: &[&StoreScript] = &[&COUNT];
/// What shared-state needs of an ACL.
const ACL: &str = "+evalsha +script|load +auth +client|setname +ping +time +info +hget +hincrby +xadd +xread";
const SLOTS: [&str; 4] = ["CLUSTER", "ADDSLOTSRANGE", "0", "16383"];

struct RealLink(Link, #[expect(dead_code, reason = "keeps the link connected")] AbortOnDropHandle<()>);

// === impl RealLink ===

impl RealLink {
    fn start(url: &str) -> Self {
        Self::trusting(url, None)
    }

    fn trusting(url: &str, ca_file: Option<&Path>) -> Self {
        let options = LinkOptions {
            location: StoreLocation::Url(StoreUrl::try_from(url).unwrap()),
            // The machine may be busy.
            timeout: Duration::from_secs(1),
            probe_key: b"lrp:{x}:book".to_vec(),
            scripts: SCRIPTS,
        };
        let connector = SocketConnector::new(ca_file).unwrap();
        let (link, keeper) = Link::new(options, Arc::new(connector), Metrics::new().shared());
        Self(link, AbortOnDropHandle::new(tokio::spawn(keeper.run())))
    }

    async fn until(&self, reached: impl Fn(&LinkView) -> bool) {
        let mut view = self.0.current.watch();
        let reached = timeout(Duration::from_secs(60), view.wait_for(reached)).await;
        drop(
            reached.unwrap_or_else(|_elapsed| panic!("still {:?}", self.0.current.watch().borrow().state())),
        );
    }

    async fn until_up(&self) {
        self.until(|view| view.state().is_up() && view.connection().is_some()).await;
    }

    async fn until_down_because(&self, reason: DownReason) {
        let named = |view: &LinkView| matches!(view.state(), LinkState::Down { why, .. } if why == reason);
        self.until(named).await;
    }

    async fn count(&self) -> Result<Value, SharedStoreError> {
        let keys = vec![b"lrp:{x}:book".to_vec(), b"lrp:{x}:news".to_vec()];
        self.0.run(&COUNT, keys, Vec::new()).await
    }

    /// Operations fail until one succeeds.
    async fn until_counted(&self) -> Value {
        loop {
            self.until_up().await;
            if let Ok(count) = self.count().await {
                return count;
            }
        }
    }

    /// Operations succeed until one fails.
    async fn until_refused(&self) -> SharedStoreError {
        loop {
            self.until_up().await;
            if let Err(error) = self.count().await {
                return error;
            }
        }
    }

    fn replid(&self) -> String {
        self.0.current.watch().borrow().info().unwrap().identity.0.to_string()
    }
}

#[tokio::test]
async fn a_real_server_runs_scripts_and_tells_of_changes() {
    let server = RealServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let link = RealLink::start(&server.socket_url());
    assert_eq!(link.until_counted().await, Value::Int(1));
    server.command(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(link.count().await, Ok(Value::Int(2)));
    let info = link.0.current.watch().borrow().info().cloned().unwrap();
    assert_eq!((info.engine, &*info.eviction.unwrap(), info.append_only), ("redis", "noeviction", true));
    assert_eq!(link.0.identity().await.unwrap().0.len(), 40);
    let wait = Duration::from_secs(5);
    let changes = link.0.listen(wait_for_change("lrp:{x}:news", "0-0", wait), wait).await.unwrap();
    assert!(format!("{changes:?}").contains("lrp:{x}:news"), "{changes:?}");
    let (last, wait) = (format!("{}-0", 1_u64 << 50), Duration::from_millis(1));
    let none = link.0.listen(wait_for_change("lrp:{x}:news", &last, wait), wait).await;
    assert_eq!(none, Ok(Value::Nil));
}

#[tokio::test]
async fn killed_connections_are_replaced() {
    let server = RealServer::start(&[]).await;
    let link = RealLink::start(&format!("redis://localhost:{}", server.port()));
    link.until_counted().await;
    for _ in 0..5 {
        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        link.until_counted().await;
    }
}

#[tokio::test]
async fn a_stopped_server_is_left_and_found_again() {
    let server = RealServer::start(&[]).await;
    let link = RealLink::start(&format!("redis://127.0.0.1:{}", server.port()));
    link.until_counted().await;
    server.signal(Signal::STOP);
    assert_eq!(link.count().await, Err(SharedStoreError::TimedOut));
    while link.count().await != Err(SharedStoreError::Away) {}
    link.until_down_because(DownReason::TimedOut).await;
    server.signal(Signal::CONT);
    link.until_counted().await;
}

#[tokio::test]
async fn a_restarted_server_has_another_identity_and_its_scripts_again() {
    let mut server = RealServer::start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let link = RealLink::start(&server.socket_url());
    assert_eq!(link.until_counted().await, Value::Int(1));
    let before = link.replid();
    server.kill();
    link.until_down_because(DownReason::Unreachable).await;
    server.restart().await;
    assert_eq!(link.until_counted().await, Value::Int(2), "from its append-only file");
    assert_ne!(link.replid(), before);
}

#[tokio::test]
async fn a_replica_is_no_store_until_it_is_promoted_and_a_demoted_primary_is_none_any_more() {
    let primary = RealServer::start(&[]).await;
    let primary_port = primary.port().to_string();
    let replica = RealServer::start(&["--replicaof", "127.0.0.1", &primary_port]).await;
    let (to_primary, to_replica) =
        (RealLink::start(&primary.socket_url()), RealLink::start(&replica.socket_url()));
    to_primary.until_counted().await;
    to_replica.until_down_because(DownReason::Replica).await;
    replica.command(&["REPLICAOF", "NO", "ONE"]).await;
    to_replica.until_counted().await;
    assert_ne!(to_replica.replid(), to_primary.replid());
    primary.command(&["REPLICAOF", "127.0.0.1", &replica.port().to_string()]).await;
    to_primary.until_refused().await;
    to_primary.until_down_because(DownReason::Replica).await;
}

#[tokio::test]
async fn a_full_memory_is_named() {
    let server = RealServer::start(&[]).await;
    let link = RealLink::start(&server.socket_url());
    link.until_counted().await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(link.until_refused().await, SharedStoreError::Refused("OOM".into()));
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    link.until_counted().await;
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_acl_are_named_and_the_right_ones_suffice() {
    let server = RealServer::start(&[]).await;
    let user = |name: &str, rules: &str| {
        let words = format!("ACL SETUSER {name} on >hush ~lrp:{{x}}:* resetchannels {rules}");
        let words: Vec<_> = words.split(' ').map(ToOwned::to_owned).collect();
        let server = &server;
        async move { server.command(&words.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    user("lrp", ACL).await;
    user("noscripts", &ACL.replace("+evalsha ", "")).await;
    user("noincrement", &ACL.replace("+hincrby ", "")).await;
    let url = |login: &str| format!("redis://{login}@127.0.0.1:{}", server.port());
    RealLink::start(&url("lrp:hush")).until_counted().await;
    // The second: the default user has no password yet.
    for login in ["lrp:other", ":hush"] {
        RealLink::start(&url(login)).until_down_because(DownReason::WrongPassword).await;
    }
    for name in ["noscripts", "noincrement"] {
        let link = RealLink::start(&url(&format!("{name}:hush")));
        link.until_refused().await;
        link.until_down_because(DownReason::NotPermitted).await;
    }
    server.command(&["CONFIG", "SET", "requirepass", "hush"]).await;
    RealLink::start(&format!("redis://127.0.0.1:{}", server.port()))
        .until_down_because(DownReason::PasswordMissing)
        .await;
}

#[tokio::test]
async fn a_private_ca_is_trusted_if_it_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (dir.path().join("certificate.pem"), dir.path().join("key.pem"));
    fs::write(&certificate, certified.cert.pem()).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let (certificate_file, key_file) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let server = RealServer::start(&[
        "--port",
        "0",
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        certificate_file,
        "--tls-key-file",
        key_file,
        "--tls-ca-cert-file",
        certificate_file,
    ])
    .await;
    let url = format!("rediss://localhost:{port}");
    RealLink::trusting(&url, Some(&certificate)).until_counted().await;
    RealLink::start(&url).until_down_because(DownReason::Tls).await;
    RealLink::trusting(&url.replace("localhost", "127.0.0.1"), Some(&certificate))
        .until_down_because(DownReason::Tls)
        .await;
    drop(server);
}

#[tokio::test]
async fn a_cluster_s_node_refers_to_the_one_that_has_the_keys() {
    let [one, other] = [
        RealServer::start(&["--cluster-enabled", "yes"]).await,
        RealServer::start(&["--cluster-enabled", "yes"]).await,
    ];
    let link = RealLink::start(&format!("redis://127.0.0.1:{}", one.port()));
    link.until_down_because(DownReason::ClusterDown).await;
    other.command(&SLOTS).await;
    one.command(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()]).await;
    link.until_counted().await;
    let connection = link.0.current.watch().borrow().connection().cloned().unwrap();
    assert_eq!(connection.node().to_string(), format!("127.0.0.1:{}", other.port()));
}

#[tokio::test]
async fn a_real_sentinel_is_asked_for_the_primary() {
    let primary = RealServer::start(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("sentinel.conf");
    fs::write(&file, format!("sentinel monitor main 127.0.0.1 {} 1\n", primary.port())).unwrap();
    let sentinel = RealServer::start(&[file.to_str().unwrap(), "--sentinel"]).await;
    RealLink::start(&format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port())).until_counted().await;
    RealLink::start(&format!("redis+sentinel://127.0.0.1:{}/other", sentinel.port()))
        .until_down_because(DownReason::NoPrimary)
        .await;
}
