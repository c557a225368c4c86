//! Hostile bytes on the data port. Whatever comes, the upstream sees canonical requests alone, a clean
//! entry keeps its bytes, and nothing of the attack comes back.

use std::net::SocketAddr;

use futures_util::future::join_all;

use super::attacks::Expect::{Cut, Declined, Refused, Served, ServedOrRefused};
use super::attacks::{Attack, MARK, SMUGGLED, attacks};
use crate::support::{Answer, Proxy, Upstream, Wire, get, path, synthetic};

/// Sends one attack and holds everything that comes back against its expectation.
async fn run(attack: &Attack, key: u32, data: SocketAddr, clean: &Answer) -> Result<(), String> {
    let (id, warm, smuggled) = (synthetic(key, 3), synthetic(1, 5), path(&synthetic(SMUGGLED, 3)));
    let bytes = attack.bytes.replace("{clean}", &path(&warm)).replace("{cold}", &path(&id));
    let bytes = bytes.replace("{id}", &id).replace("{smuggled}", &smuggled).replace("{mark}", MARK);

    let mut wire = Wire::connect(data).await;
    wire.send(bytes.as_bytes()).await;
    // The proxy's short idle timeout ends what an answer has not ended.
    let answers = match bytes.starts_with("HEAD ") {
        true => wire.answers_to_head_until_closed().await,
        false => wire.answers_until_closed().await,
    };

    let shown: Vec<_> = answers.iter().map(|answer| (answer.status, answer.text())).collect();
    let fail = |what: &str| Err(format!("{}: {what}: {shown:?}", attack.name));
    if answers.iter().any(|answer| format!("{:?} {}", answer.headers, answer.text()).contains(MARK)) {
        return fail("echoed the marker");
    }
    let again = get(data, &path(&warm), &[]).await;
    if again.body != clean.body || again.header("age").is_none() {
        return fail("a clean entry was touched");
    }
    let answer = match (attack.expect, answers.as_slice()) {
        (Cut, []) => return Ok(()),
        (_, [answer]) => answer,
        (_, _) => return fail("want exactly one answer"),
    };
    let served = answer.status == 200
        && (answer.body == clean.body || answer.json()["campaign_activity_id"].as_str() == Some(&id));
    let closed = answer.header("connection") == Some("close");
    let as_expected = match attack.expect {
        Served => served && !closed,
        Declined(status, key) => answer.status == status && answer.error_key() == key,
        Refused(status) => answer.status == status && closed,
        Cut => false,
        ServedOrRefused => served || (400..500).contains(&answer.status),
    };
    if !as_expected {
        return fail("not as expected");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bytes_reach_nobody_and_poison_nothing() {
    let upstream = Upstream::start().await;
    let settings = [("server.header_timeout", "2s"), ("server.idle_timeout", "2s"), ("log.level", "debug")];
    let proxy = Proxy::start(&upstream, &settings).await;
    let clean = proxy.get(&path(&synthetic(1, 5))).await;
    assert_eq!(clean.status, 200);

    let attacks = attacks();
    let runs = attacks.iter().zip(0x100..).map(|(attack, key)| run(attack, key, proxy.data, &clean));
    let failures: Vec<_> = join_all(runs).await.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), attacks.len(), failures.join("\n"));

    upstream.assert_saw_only_canonical_requests(&upstream.sim.access_token());
    assert!(upstream.saw(&synthetic(SMUGGLED, 3)).is_empty(), "a smuggled request went out");
    let seen = format!("{:?}", upstream.sim.seen());
    assert!(!seen.contains(MARK), "the upstream heard the marker");
    assert_eq!(upstream.saw(&synthetic(1, 5)).len(), 1, "a clean entry was fetched again");
    assert!(!proxy.metrics().await.contains(MARK), "a metric holds the marker");
}
