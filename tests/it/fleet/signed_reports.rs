//! Reports in the store that no replica of the fleet has put there, or that are damaged: never an answer.

use std::{fs, path::Path, time::Duration};

use bytes::Bytes;
use link_report_proxy::{
    shared::{
        Fence, LookUp, LookedUp, MemberAbout, Membership, MembershipOptions, Nonce, ReportKind,
        ReportToStore, SharedReport, StoreReport,
    },
    simulator::Options,
    telemetry::Metrics,
};
use tempfile::TempDir;
use tokio::time::sleep;

use super::Fleet;
use crate::support::{
    in_process::{InProcess, key, path},
    log::Log,
};

const OLD: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const NEW: &str = "0202020202020202020202020202020202020202020202020202020202020202";

/// A directory of key files.
struct Keys(TempDir);

/// Another program with access to the store.
struct Intruder(Membership);

// === impl Keys ===

impl Keys {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The path of this file, which holds these keys from now on.
    fn write(&self, file: &str, keys: &[&str]) -> String {
        let path = self.0.path().join(file);
        // As Kubernetes does it: another file in its place.
        let new = self.0.path().join("new");
        fs::write(&new, keys.join("\n")).unwrap();
        fs::rename(new, &path).unwrap();
        path.display().to_string()
    }
}

/// The tests ask one after the other in no time.
fn without_limits() -> Options {
    Options { per_second: 0, ..Options::default() }
}

/// The store is given in another way, but keys without one are refused.
fn settings(key_file: &str) -> [(&str, &str); 3] {
    [("SHARED__URL", "redis://store.invalid"), ("SHARED__NAMESPACE", "test"), ("SHARED__KEY_FILE", key_file)]
}

/// Two replicas, each with these keys in its file.
fn two_with(keys: &Keys, first: &[&str], second: &[&str]) -> Fleet {
    let files = [keys.write("first", first), keys.write("second", second)];
    assert!(files.iter().all(|file| Path::new(file).exists()));
    let [first, second] = [settings(&files[0]), settings(&files[1])];
    Fleet::each(without_limits(), &[&first, &second])
}

// === impl Intruder ===

impl Intruder {
    async fn into(fleet: &Fleet) -> Self {
        let options = MembershipOptions {
            margin: 0,
            about: MemberAbout::new("intruder", "elsewhere"),
            metrics: Metrics::new().fleet(),
        };
        let membership = Membership::new(fleet.store.clone(), options);
        membership.beat().await.unwrap();
        Self(membership)
    }

    async fn read(&self, report: u32) -> SharedReport {
        self.0.store().get(key(report), Fence::default()).await.unwrap().expect("a report")
    }

    /// Puts this in place of what the store has.
    async fn plant(&self, report: u32, body: &[u8], mac: &[u8]) {
        let (key, nonce) = (key(report), Nonce(7));
        let have = Fence(u64::MAX >> 12);
        let lease = Duration::from_secs(1);
        let look_up = LookUp { key, nonce, have, lease, answers: 0 };
        let looked = self.0.run(|store, seen| store.look_up(seen, look_up)).await.unwrap();
        let LookedUp::Leased(lease) = looked else { panic!("{looked:?}") };
        let (body, mac) = (Bytes::copy_from_slice(body), Bytes::copy_from_slice(mac));
        let (kind, age) = (ReportKind::Report, Duration::ZERO);
        let report = ReportToStore { kind, age, unchanged_for: age, body, mac };
        let keep = Duration::from_hours(24);
        let planted = StoreReport { key, nonce, fence: lease.fence, keep, report };
        let fence = self.0.run(|store, seen| store.store(seen, planted.clone())).await.unwrap();
        assert_eq!(fence, Some(lease.fence));
    }
}

async fn refused(replica: &InProcess, reason: &str) -> f64 {
    let series = format!("link_report_proxy_shared_reports_refused_total{{reason=\"{reason}\"}}");
    replica.metric(&series).await
}

/// The body of a right answer, and how it was come by.
async fn ask(replica: &InProcess, report: u32) -> (Bytes, String) {
    let answer = replica.get(&path(report)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer.body.clone(), answer.cache_status().to_owned())
}

/// A report like the vendor's, with other clicks.
fn made_up(right: &Bytes) -> Vec<u8> {
    let text = String::from_utf8(right.to_vec()).unwrap();
    let made_up = text.replace("\"unique_clicks\":", "\"unique_clicks\":9");
    assert_ne!(made_up, text);
    made_up.into_bytes()
}

#[tokio::test(start_paused = true)]
async fn replicas_with_one_key_take_each_other_s_reports() {
    let keys = Keys::new();
    let fleet = two_with(&keys, &[OLD], &[OLD]);
    Fleet::has_met().await;
    let (first, _) = ask(&fleet.replicas[0], 1).await;
    let (second, how) = ask(&fleet.replicas[1], 1).await;
    assert_eq!((first, how.as_str()), (second, "hit; ttl=300; detail=shared"));
    assert_eq!(Intruder::into(&fleet).await.read(1).await.mac.len(), 36, "the key's id, and HMAC-SHA256");
    assert_eq!(fleet.vendor.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_that_another_program_has_planted_costs_one_call_and_is_never_served() {
    let keys = Keys::new();
    let fleet = two_with(&keys, &[OLD], &[OLD]);
    Fleet::has_met().await;
    let right = ask(&fleet.replicas[0], 1).await.0;
    let intruder = Intruder::into(&fleet).await;
    let signature = intruder.read(1).await.mac;
    let mut other_key = signature.to_vec();
    other_key[0] ^= 1;
    let made_up = made_up(&right);
    // The signature of the same clicks in another report is no better than that of other clicks.
    let macs = [
        (&b""[..], "unsigned"),
        (&signature, "not_authentic"),
        (&other_key, "unknown_key"),
        (b"x", "not_authentic"),
    ];
    for (report, (mac, reason)) in (2..).zip(macs) {
        let before = (fleet.vendor.calls(), refused(&fleet.replicas[1], reason).await);
        intruder.plant(report, &made_up, mac).await;
        let (_, how) = ask(&fleet.replicas[1], report).await;
        assert_eq!(how, "fwd=uri-miss; stored", "{reason}");
        assert_eq!(refused(&fleet.replicas[1], reason).await, before.1 + 1.0, "{reason}");
        let (_, how) = ask(&fleet.replicas[0], report).await;
        assert_eq!(how, "hit; ttl=300; detail=shared", "the report that was fetched has taken its place");
        assert_eq!(fleet.vendor.calls(), before.0 + 1);
    }
    // Nor is one that is planted while the right one is held.
    intruder.plant(1, &made_up, &signature).await;
    sleep(Duration::from_secs(2)).await;
    for replica in &fleet.replicas {
        assert_eq!(ask(replica, 1).await.0, right);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_key_a_report_that_is_none_costs_one_call_and_is_never_served() {
    let fleet = Fleet::each(without_limits(), &[&[], &[]]);
    Fleet::has_met().await;
    let right = ask(&fleet.replicas[0], 1).await.0;
    let intruder = Intruder::into(&fleet).await;
    // The first is a right one of another activity.
    for (report, body) in [(2, &right[..]), (3, b"{}"), (4, b"\xff"), (5, b"")] {
        let calls = fleet.vendor.calls();
        intruder.plant(report, body, b"").await;
        assert_eq!(ask(&fleet.replicas[1], report).await.1, "fwd=uri-miss; stored");
        assert_eq!(ask(&fleet.replicas[0], report).await.1, "hit; ttl=300; detail=shared");
        assert_eq!(fleet.vendor.calls(), calls + 1);
    }
    assert_eq!(refused(&fleet.replicas[1], "invalid").await, 4.0);
}

#[tokio::test(start_paused = true)]
async fn a_store_full_of_reports_that_are_none_is_a_line_of_the_log_a_minute() {
    let (log, _guard) = Log::start();
    let fleet = Fleet::each(without_limits(), &[&[], &[]]);
    Fleet::has_met().await;
    let intruder = Intruder::into(&fleet).await;
    for (seconds, reports, lines) in [(0, 1..6, 1), (50, 6..9, 1), (15, 9..12, 2)] {
        sleep(Duration::from_secs(seconds)).await;
        for report in reports {
            intruder.plant(report, b"{}", b"").await;
            ask(&fleet.replicas[1], report).await;
        }
        let told = log.lines(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.starts_with("a report in the shared store is refused"))
        });
        assert_eq!(told.len(), lines);
        assert!(told.iter().all(|line| line["reason"] == "invalid" && line["kind"] == "report"), "{told:?}");
    }
    assert_eq!(refused(&fleet.replicas[1], "invalid").await, 11.0);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_changed_without_a_restart_and_without_a_call() {
    let keys = Keys::new();
    let fleet = two_with(&keys, &[OLD], &[OLD]);
    Fleet::has_met().await;
    let mut report = 0;
    let mut both_take_both = async || {
        // Files are read each second, and twice before they count.
        sleep(Duration::from_secs(3)).await;
        for (fetches, takes) in [(0, 1), (1, 0)] {
            report += 1;
            let calls = fleet.vendor.calls();
            ask(&fleet.replicas[fetches], report).await;
            assert_eq!(ask(&fleet.replicas[takes], report).await.1, "hit; ttl=300; detail=shared");
            assert_eq!(fleet.vendor.calls(), calls + 1);
        }
    };
    both_take_both().await;
    for file_holds in [&[OLD, NEW][..], &[NEW, OLD], &[NEW]] {
        for file in ["first", "second"] {
            keys.write(file, file_holds);
            both_take_both().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_file_that_is_damaged_leaves_the_keys_as_they_are() {
    let keys = Keys::new();
    let fleet = two_with(&keys, &[OLD], &[OLD]);
    Fleet::has_met().await;
    let readable = "link_report_proxy_secret_file_readable{key=\"shared.key_file\"}";
    assert_eq!(fleet.replicas[1].metric(readable).await, 1.0);
    keys.write("second", &["not a key"]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(
        (fleet.replicas[0].metric(readable).await, fleet.replicas[1].metric(readable).await),
        (1.0, 0.0)
    );
    ask(&fleet.replicas[0], 1).await;
    assert_eq!(ask(&fleet.replicas[1], 1).await.1, "hit; ttl=300; detail=shared");
}

#[tokio::test(start_paused = true)]
async fn a_replica_without_the_fleet_s_key_takes_all_reports_and_its_own_cost_the_others_a_call() {
    let keys = Keys::new();
    let key_file = keys.write("file", &[OLD]);
    let fleet = Fleet::each(without_limits(), &[&settings(&key_file), &[], &settings(&key_file)]);
    Fleet::has_met().await;
    ask(&fleet.replicas[0], 1).await;
    assert_eq!(ask(&fleet.replicas[1], 1).await.1, "hit; ttl=300; detail=shared");
    assert_eq!(fleet.vendor.calls(), 1);
    ask(&fleet.replicas[1], 2).await;
    assert_eq!(ask(&fleet.replicas[0], 2).await.1, "fwd=uri-miss; stored");
    assert_eq!(refused(&fleet.replicas[0], "unsigned").await, 1.0);
    assert_eq!(ask(&fleet.replicas[2], 2).await.1, "hit; ttl=300; detail=shared");
    assert_eq!(fleet.vendor.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn replicas_with_different_keys_serve_right_answers_and_each_pays_for_its_own() {
    let keys = Keys::new();
    let fleet = two_with(&keys, &[OLD], &[NEW]);
    Fleet::has_met().await;
    for _hour in 0..3 {
        let calls = fleet.vendor.calls();
        for replica in &fleet.replicas {
            ask(replica, 1).await;
        }
        sleep(Duration::from_hours(1)).await;
        assert!(fleet.vendor.calls() <= calls + 2, "{} {calls}", fleet.vendor.calls());
    }
    assert!(refused(&fleet.replicas[1], "unknown_key").await >= 1.0);
}
