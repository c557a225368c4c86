//! What an operator sees of a fleet: who is there, who is cut off, what the store has lost and what that cost.

use std::time::Duration;

use http::StatusCode;
use link_report_proxy::{
    shared::{
        Epoch, Fence, FleetState, Heartbeat, MemberAbout, MemberId, Recovery, Sequence, SharedStore as _,
        SpentDay, StoreSeen,
    },
    simulator::{BodyShape, Fault, Scope},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Fleet, faulty_store::LinkFault};
use crate::support::{
    in_process::{InProcess, key, path},
    log::Log,
};

const LIMITED: [(&str, &str); 3] =
    [("QUOTA__PER_SECOND", "4"), ("QUOTA__PER_DAY", "400"), ("SHARED__REPLICAS", "3")];

async fn fleet_page(replica: &InProcess) -> Value {
    replica.admin("/fleet").await.json()
}

async fn metric(replica: &InProcess, name: &str) -> f64 {
    replica.metric(&format!("link_report_proxy_{name}")).await
}

async fn sum(fleet: &Fleet, name: &str) -> f64 {
    let mut sum = 0.0;
    for replica in &fleet.replicas {
        sum += metric(replica, name).await;
    }
    sum
}

/// How long ago each replica was heard last, as a page says; the youngest first.
fn heartbeat_ages(page: &Value) -> Vec<u64> {
    let list = page["replicas"]["list"].as_array().expect("a list");
    let mut ages: Vec<_> =
        list.iter().map(|replica| replica["last_heartbeat_seconds_ago"].as_u64().expect("an age")).collect();
    ages.sort_unstable();
    ages
}

async fn flights(replica: &InProcess, result: &str) -> f64 {
    metric(replica, &format!("shared_flights_total{{result=\"{result}\"}}")).await
}

#[tokio::test(start_paused = true)]
async fn each_replica_names_all_and_says_which_one_was_not_heard_of_lately() {
    let fleet = Fleet::of(3, &LIMITED);
    Fleet::has_met().await;
    fleet.links[2].set(LinkFault::Cut);
    sleep(Duration::from_secs(30)).await;
    for replica in &fleet.replicas[..2] {
        let page = fleet_page(replica).await;
        assert_eq!((&page["shared"], &page["store"]["state"]), (&json!(true), &json!("up")));
        assert_eq!(page["replicas"]["alive"], 3);
        assert_eq!(page["replicas"]["configured"], 3);
        let ages = heartbeat_ages(&page);
        assert!(ages[1] <= 11 && ages[2] >= 29, "{page:#}");
        let list = page["replicas"]["list"].as_array().unwrap();
        let this: Vec<_> = list.iter().filter(|replica| replica["this"] == true).collect();
        assert_eq!((this.len(), &this[0]["id"]), (1, &page["replicas"]["this"]));
        assert_eq!(this[0]["version"], env!("CARGO_PKG_VERSION"));
    }
    sleep(Duration::from_secs(40)).await;
    assert_eq!(fleet_page(&fleet.replicas[0]).await["replicas"]["alive"], 2);
    assert_eq!(metric(&fleet.replicas[0], "shared_replicas_seen").await, 2.0);
    assert_eq!(metric(&fleet.replicas[0], "shared_replicas_configured").await, 3.0);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_cut_off_says_since_when_why_and_what_it_may_do_until_the_store_is_back() {
    let fleet = Fleet::of(3, &LIMITED);
    Fleet::has_met().await;
    let cut_off = &fleet.replicas[2];
    assert_eq!(cut_off.get(&path(1)).await.status, 200);
    fleet.links[2].set(LinkFault::Cut);
    sleep(Duration::from_secs(60)).await;
    for report in 2..5 {
        assert_eq!(cut_off.get(&path(report)).await.status, 200);
    }
    let page = fleet_page(cut_off).await;
    let store = &page["store"];
    assert_eq!((&store["state"], &store["last_error"]), (&json!("away"), &json!("the shared store is away")));
    let away = store["away_for_seconds"].as_u64().unwrap();
    assert!((50..=61).contains(&away), "{page:#}");
    assert!(store["last_reply_seconds_ago"].as_u64().unwrap() >= away, "{page:#}");
    // What it was told last is still there, and grows old.
    assert_eq!(page["replicas"]["alive"], 3);
    assert!(heartbeat_ages(&page)[0] >= 50 && page["store_knew"]["seconds_ago"].as_u64().unwrap() >= 50);
    assert_eq!(page["store_knew"]["day"], "2023-11-14");
    // The tests' reserve is a tenth: 40 calls, a third of them each.
    let share = json!({
        "replicas_that_share": 3,
        "calls_allowed_today": 13,
        "calls_made_today": 3,
        "calls_left_today": 10,
        "seconds_between_calls": 0.825,
    });
    assert_eq!(page["without_the_store"], share);
    assert_eq!(page["this_replica_knows"]["calls_made_without_the_store"], 3);
    assert_eq!(metric(cut_off, "quota_offline_calls_total").await, 3.0);
    assert!(metric(cut_off, "shared_feed_lag_seconds").await >= 50.0);
    assert!(metric(&fleet.replicas[0], "shared_feed_lag_seconds").await <= 6.0);
    let quota = cut_off.admin("/quota").await.json();
    assert_eq!((&quota["day"]["backing"], &quota["fleet"]["without_the_store"]), (&json!("offline"), &share));
    assert_eq!(
        quota["counted_for"],
        json!({ "second": "this_replica", "day": "fleet", "callers": "this_replica" })
    );

    let (log, _guard) = Log::start();
    fleet.links[2].set(LinkFault::None);
    sleep(Duration::from_secs(30)).await;
    let page = fleet_page(cut_off).await;
    assert_eq!((&page["store"]["state"], &page["store"]["away_for_seconds"]), (&json!("up"), &Value::Null));
    assert_eq!(cut_off.admin("/quota").await.json()["day"]["backing"], "shared");
    let counted = log.lines(|line| {
        line["message"] == "the calls made without the shared store are now counted for all replicas"
    });
    assert_eq!((counted.len(), &counted[0]["calls"]), (1, &json!(3)));
    assert_eq!(sum(&fleet, "quota_offline_calls_total").await, 3.0);
}

#[tokio::test(start_paused = true)]
async fn a_fork_and_its_charge_are_shown_once_and_by_every_replica_as_the_same_one() {
    let fleet = Fleet::of(3, &LIMITED);
    Fleet::has_met().await;
    let first = fleet_page(&fleet.replicas[0]).await["epoch"].clone();
    assert_eq!((&first["origin"], &first["charged_calls"]), (&json!("new_store"), &json!(40)));
    assert_eq!(
        (sum(&fleet, "shared_forks_total").await, sum(&fleet, "quota_charged_total").await),
        (0.0, 40.0)
    );
    sleep(Duration::from_secs(20)).await;
    let (log, _guard) = Log::start();
    fleet.store.restart_empty();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(
        (sum(&fleet, "shared_forks_total").await, sum(&fleet, "quota_charged_total").await),
        (1.0, 80.0)
    );
    let epoch = fleet_page(&fleet.replicas[0]).await["epoch"].clone();
    assert_ne!(epoch["id"], first["id"]);
    for replica in &fleet.replicas {
        let shown = fleet_page(replica).await;
        let (epoch_shown, calls) = (&shown["epoch"], &shown["store_knew"]["calls"]);
        assert_eq!((&epoch_shown["id"], &epoch_shown["origin"]), (&epoch["id"], &json!("fork")));
        assert_eq!((&epoch_shown["charged_calls"], calls), (&json!(40), &json!(80)));
        assert!((10..=30).contains(&epoch_shown["began_seconds_ago"].as_u64().unwrap()), "{shown:#}");
        let charge = &replica.admin("/quota").await.json()["fleet"]["last_charge"];
        assert_eq!(
            (&charge["calls"], &charge["seconds_ago"]),
            (&json!(40), &epoch_shown["began_seconds_ago"])
        );
    }
    let lines = |text: &str| {
        log.lines(|line| line["message"].as_str().is_some_and(|message| message.contains(text))).len()
    };
    assert_eq!(lines("it goes on with what the replicas know, and 40 calls are charged"), 1);
    assert_eq!(lines("another replica has restored it and charged 40 calls"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fork_whose_reply_was_lost_is_shown_once_all_the_same() {
    let fleet = Fleet::of(2, &LIMITED);
    Fleet::has_met().await;
    sleep(Duration::from_secs(20)).await;
    for link in &fleet.links {
        link.set(LinkFault::RecoveryReplyLost);
    }
    fleet.store.restart_empty();
    sleep(Duration::from_secs(30)).await;
    for link in &fleet.links {
        link.set(LinkFault::None);
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(
        (sum(&fleet, "shared_forks_total").await, sum(&fleet, "quota_charged_total").await),
        (1.0, 80.0)
    );
}

#[tokio::test(start_paused = true)]
async fn what_another_replica_has_fetched_is_an_outcome_of_its_own_and_no_miss() {
    let fleet = Fleet::of(3, &LIMITED);
    Fleet::has_met().await;
    let (log, _guard) = Log::start();
    for replica in &fleet.replicas {
        assert_eq!(replica.get(&path(1)).await.status, 200);
    }
    let outcomes: Vec<_> = log.requests().iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!(outcomes, ["miss", "shared", "shared"]);
    for line in &log.requests()[1..] {
        assert_eq!(
            (&line["level"], &line["upstream_ms"], &line["upstream_status"]),
            (&json!("INFO"), &Value::Null, &Value::Null)
        );
    }
    for (replica, [miss, shared]) in fleet.replicas.iter().zip([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]) {
        let requests = "requests_total{client=\"anonymous\",code=\"200\",outcome=";
        assert_eq!(metric(replica, &format!("{requests}\"miss\"}}")).await, miss);
        assert_eq!(metric(replica, &format!("{requests}\"shared\"}}")).await, shared);
    }
    let id = key(1).id;
    let mut fences = Vec::new();
    for (replica, by) in fleet.replicas.iter().zip(["this_replica", "another_replica", "another_replica"]) {
        let explained = replica.admin(&format!("/cache/{id}")).await.json();
        assert_eq!(explained["counted_for"], "this_replica");
        assert_eq!(explained["reports"][0]["fleet"]["fetched_by"], by);
        assert_eq!(explained["reports"][1]["fleet"], Value::Null);
        fences.push(explained["reports"][0]["fleet"]["fence"].clone());
    }
    assert_eq!(fences, vec![fences[0].clone(); 3]);
}

#[tokio::test(start_paused = true)]
async fn each_flight_of_the_fleet_is_counted_by_what_the_store_said() {
    let fleet = Fleet::of(2, &LIMITED);
    Fleet::has_met().await;
    fleet.vendor.inject(Fault::Latency(Duration::from_secs(1)), Scope::All);
    let [first, second] = [&fleet.replicas[0], &fleet.replicas[1]];
    let of_first = path(1);
    tokio::join!(first.get(&of_first), async {
        sleep(Duration::from_millis(300)).await;
        second.get(&path(1)).await
    });
    first.get(&path(2)).await;
    second.get(&path(2)).await;
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    fleet.vendor.inject(Fault::Status { status, shape: BodyShape::Array }, Scope::All);
    first.get(&path(3)).await;
    second.get(&path(3)).await;
    fleet.vendor.clear_faults();
    fleet.links[1].set(LinkFault::Cut);
    second.get(&path(4)).await;
    for (replica, [leased, newer, in_flight, back_off, away]) in
        [(first, [3.0, 0.0, 0.0, 0.0, 0.0]), (second, [0.0, 1.0, 1.0, 1.0, 1.0])]
    {
        let counted = [
            flights(replica, "leased").await,
            flights(replica, "newer").await,
            flights(replica, "in_flight").await,
            flights(replica, "back_off").await,
            flights(replica, "away").await,
        ];
        assert_eq!(counted, [leased, newer, in_flight, back_off, away]);
        assert_eq!(flights(replica, "unusable").await, 0.0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_skew_of_the_store_s_clock_is_measured_to_half_a_round_trip() {
    let fleet = Fleet::of(1, &LIMITED);
    fleet.links[0].set(LinkFault::Slow(Duration::from_millis(200)));
    Fleet::has_met().await;
    let skew = async || metric(&fleet.replicas[0], "shared_clock_skew_seconds").await;
    assert!(skew().await.abs() <= 0.101, "{}", skew().await);
    fleet.store.put_clock_forward(Duration::from_secs(90));
    sleep(Duration::from_secs(6)).await;
    assert!((skew().await - 90.0).abs() <= 0.101, "{}", skew().await);
    fleet.store.put_clock_back(Duration::from_secs(95));
    sleep(Duration::from_secs(6)).await;
    assert!((skew().await + 5.0).abs() <= 0.101, "{}", skew().await);
    let page = fleet_page(&fleet.replicas[0]).await;
    assert!((page["store_clock_ahead_seconds"].as_f64().unwrap() + 5.0).abs() <= 0.101);
}

/// A heartbeat of a replica that is not one of the fleet's.
async fn beat_as(fleet: &Fleet, member: u64, version: &str) {
    let told = SpentDay { day: 19_675, spent: 0 };
    let recovery = Recovery {
        known: None,
        seen: Sequence(0),
        fresh: Epoch(1),
        told,
        margin: 0,
        force: false,
        purged: Fence(0),
    };
    let FleetState { epoch, sequence, .. } = fleet.store.recover(recovery).await.unwrap();
    let seen = StoreSeen { epoch: Some(epoch), sequence };
    let about = MemberAbout::new(version, "pod-7");
    let heartbeat =
        Heartbeat { member: MemberId(member), told, offline: 0, feed_lag: Duration::from_secs(77), about };
    fleet.store.heartbeat(seen, heartbeat).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn replicas_of_another_version_are_logged_when_they_come_and_when_they_are_gone() {
    let (log, _guard) = Log::start();
    let fleet = Fleet::of(1, &LIMITED);
    Fleet::has_met().await;
    for _beat in 0..4 {
        beat_as(&fleet, 7, "9.9.9").await;
        sleep(Duration::from_secs(6)).await;
    }
    let page = fleet_page(&fleet.replicas[0]).await;
    let list = page["replicas"]["list"].as_array().unwrap();
    assert!(
        list.iter().any(|replica| replica["version"] == "9.9.9"
            && replica["changes_read_seconds_before_it"] == 77
            && replica["name"] == "pod-7"),
        "{page:#}"
    );
    let said = |text: &str| log.lines(|line| line["message"] == text);
    let others = said("replicas of another version share the store");
    assert_eq!((others.len(), &others[0]["others"]), (1, &json!("9.9.9 pod-7")));
    assert_eq!(said("all replicas have this version now").len(), 0);
    sleep(Duration::from_secs(70)).await;
    assert_eq!(said("all replicas have this version now").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_begins_with_an_empty_store_says_what_it_charges_and_who_comes_later_that_it_has_joined() {
    let (log, _guard) = Log::start();
    let _fleet = Fleet::of(3, &LIMITED);
    Fleet::has_met().await;
    let began = log.lines(|line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("began the fleet's count in an empty store: 40"))
    });
    let joined = log.lines(|line| line["message"] == "joined the fleet");
    assert_eq!((began.len(), joined.len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn without_a_store_the_page_says_so_and_there_are_no_series_of_a_fleet() {
    let proxy = InProcess::with(&[("QUOTA__PER_DAY", "400")]);
    let page = fleet_page(&proxy).await;
    assert_eq!(page["shared"], false);
    assert!(page["why"].as_str().unwrap().contains("shared.url"), "{page}");
    let metrics = proxy.admin("/metrics").await.text();
    for name in ["shared_", "quota_charged", "quota_offline"] {
        assert!(!metrics.contains(&format!("link_report_proxy_{name}")), "{name}");
    }
    assert!(
        metrics.contains("requests_total{client=\"anonymous\",code=\"200\",outcome=\"shared\"} 0"),
        "the set of outcomes is closed"
    );
    let quota = proxy.admin("/quota").await.json();
    assert_eq!((&quota["fleet"], &quota["day"]["backing"]), (&Value::Null, &json!("memory")));
    assert_eq!(
        quota["counted_for"],
        json!({ "second": "this_replica", "day": "this_replica", "callers": "this_replica" })
    );
}

#[tokio::test(start_paused = true)]
async fn the_status_of_a_replica_that_is_cut_off_says_since_when_and_ends_with_the_outage() {
    let fleet = Fleet::of(2, &LIMITED);
    Fleet::has_met().await;
    let replica = &fleet.replicas[0];
    replica.admin.readiness.ready();
    let status = async || replica.admin("/status").await.json();
    let well = status().await;
    assert_eq!(
        (&well["sentence"]["rule"], &well["fleet"]["store"]),
        (&"well".into(), &"up".into()),
        "{well}"
    );
    assert_eq!(well["fleet"]["replicas"].as_array().unwrap().len(), 2);
    fleet.links[0].set(LinkFault::Cut);
    sleep(Duration::from_secs(30)).await;
    let away = status().await;
    assert_eq!(away["sentence"]["rule"], "store_away", "{away}");
    assert!(away["since"].as_str().unwrap() < "2023-11-14T22:13:50Z", "{away}");
    fleet.links[0].set(LinkFault::None);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(status().await["sentence"]["rule"], "well");
}
