//! A fleet of real binaries with a token: it shows and stores nothing of it in clear text, a replica with another key does
//! nothing to it, and a login at one replica is one for all.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use link_report_proxy::simulator::Decision;
use secrecy::ExposeSecret as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    task::JoinHandle,
};

use super::{real_token_fleet::RealTokenFleet, redis_server::RedisServer};
use crate::support::{Run, environment, soon, until};

const TOKEN_KEY: &str = "lrp:{test}:token";

/// Everything that the server is told from now on, until it ends.
async fn monitor(redis: &RedisServer) -> JoinHandle<Vec<u8>> {
    let mut connection = UnixStream::connect(redis.socket()).await.expect("a connection");
    connection.write_all(b"MONITOR\r\n").await.expect("a command");
    let mut told = vec![0; 5];
    connection.read_exact(&mut told).await.expect("an answer");
    assert_eq!(told, b"+OK\r\n");
    tokio::spawn(async move {
        // The end of a killed server may be a reset.
        let _end = connection.read_to_end(&mut told).await;
        told
    })
}

fn has(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window == part.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_in_clear_text_in_redis_on_its_way_there_in_logs_or_on_the_admin_port() {
    let mut fleet = RealTokenFleet::start("trace").await;
    let monitored = monitor(&fleet.redis).await;
    let options = fleet.vendor.options().clone();
    let client_secret = options.client_secret.expose_secret().to_owned();
    let mut secrets = vec![
        STANDARD.encode(format!("{}:{client_secret}", options.client_id)),
        client_secret,
        super::token_fleet::KEY.to_owned(),
        fleet.vendor.refresh_token(),
    ];
    for replica in 0..3 {
        fleet.vendor.revoke_access_tokens();
        fleet.log_in(replica).await;
        soon("all to serve", fleet.serves()).await;
        secrets.push(fleet.vendor.access_token());
    }
    let calls = fleet.calls();
    secrets.extend(calls.into_iter().flat_map(|call| std::iter::once(call.sent).chain(call.next)));
    assert!(secrets.len() >= 4 + 3 + 6, "three renewals");
    let mut shown = vec![("the append-only file", fleet.redis.append_only_files())];
    for replica in fleet.living() {
        let replica = fleet.replica(replica);
        for page in ["/fleet", "/token", "/metrics", "/config"] {
            let answer = replica.admin(page).await;
            assert_eq!(answer.status, 200, "{page}");
            shown.push((page, answer.text().into_bytes()));
        }
        shown.push(("a log", replica.log().concat().into_bytes()));
    }
    fleet.redis.end();
    shown.push(("MONITOR", soon("the end", monitored).await.expect("what it was told")));
    for (place, text) in &shown {
        for secret in &secrets {
            assert!(!has(text, secret) && !has(text, &STANDARD.encode(secret)), "{secret} is in {place}");
        }
        let is_of_redis = matches!(*place, "the append-only file" | "MONITOR");
        assert!(!text.is_empty() && (!is_of_redis || has(text, TOKEN_KEY)), "{place} has the sealed token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_another_key_names_it_and_the_others_go_on() {
    let mut fleet = RealTokenFleet::start("info").await;
    fleet.log_in(0).await;
    soon("all to serve", fleet.serves()).await;
    fleet.kill(2).await;
    let stored =
        async |fleet: &RealTokenFleet| -> Vec<Vec<u8>> { fleet.redis.ask(&["HGETALL", TOKEN_KEY]).await };
    let before = stored(&fleet).await;
    fleet.start_anew_with_key(2, &"ff".repeat(32)).await;
    until("a line in the log", async || {
        fleet.replica(2).log().iter().any(|line| line.contains("shared.key_file")).then_some(())
    })
    .await;
    until("its page to say so", async || {
        let page = fleet.replica(2).admin("/token").await.json();
        page["renewal"]["last_error"].as_str()?.contains("shared.key_file").then_some(())
    })
    .await;
    assert_ne!(fleet.ask(2).await, 200);
    assert_eq!(fleet.replica(2).admin("/readyz").await.status, 200);
    assert!(!before.is_empty() && stored(&fleet).await == before, "nothing is overwritten");
    fleet.vendor.revoke_access_tokens();
    fleet.log_in(1).await;
    for replica in [0, 1] {
        until("the others to go on", async || (fleet.ask(replica).await == 200).then_some(())).await;
    }
    let after = stored(&fleet).await;
    assert!(fleet.ask(2).await != 200 && stored(&fleet).await == after);
    assert_eq!(fleet.vendor.token_calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_at_one_replica_serves_all_without_a_renewal() {
    let mut fleet = RealTokenFleet::start("info").await;
    fleet.vendor.revoke_refresh_tokens();
    let settings = fleet.own_settings(1);
    let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let mut login = Run::start(&["login"], &environment(&settings));
    let code = login
        .stdout_line(|line| {
            let line = line.trim();
            (line.len() == 9 && line.as_bytes()[4] == b'-').then(|| line.to_owned())
        })
        .await;
    assert!(fleet.vendor.decide(&code, Decision::Approve));
    let ended = login.finished().await;
    assert!(ended.status.success(), "{ended:?}");
    soon("all to serve", fleet.serves()).await;
    assert!(fleet.vendor.refreshes().is_empty(), "the login's own access token is good for a day");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_of_a_login_at_one_replica_is_sent_once_for_all() {
    let mut fleet = RealTokenFleet::start("info").await;
    fleet.log_in(1).await;
    soon("all to serve", fleet.serves()).await;
    assert_eq!(fleet.calls().len(), 1);
}
