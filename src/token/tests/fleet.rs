//! Replicas that share a token: what happens at one of them between the intent, the call and the answer.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use tokio::time::sleep;

use super::{trap::Trap, *};
use crate::{
    shared::{FleetSeal, MemberAbout, Membership, MembershipOptions, MemorySharedStore},
    state::{Durability, Fingerprint, Stored, StoredAccess, Swap, TokenRecord, TokenStoreError, Version},
    token::fleet::{AccessLeft, Claim, FleetRecords},
};

const OK: Result<StatusCode, Cause> = Ok(StatusCode::OK);
/// One replica's view of the fleet's token.
pub(super) struct Member {
    records: Arc<FleetRecords>,
    beats: JoinHandle<()>,
}

/// An own store that hangs for a while at the first intent.
#[derive(Debug)]
struct HangingDisk {
    store: MemoryStore,
    hung: AtomicBool,
    times: Mutex<Vec<SystemTime>>,
}

// === impl HangingDisk ===

impl TokenStore for HangingDisk {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    fn read(&self) -> BoxFuture<'_, Result<Option<Stored>, TokenStoreError>> {
        TokenStore::read(&self.store)
    }

    fn compare_and_set<'a>(
        &'a self,
        expected: Option<Version>,
        new: &'a TokenRecord,
    ) -> BoxFuture<'a, Result<Swap, TokenStoreError>> {
        async move {
            if new.intent.is_some() {
                self.times.lock().unwrap().push(SystemTime::now());
                if !self.hung.swap(true, Ordering::SeqCst) {
                    sleep(Duration::from_secs(6)).await;
                }
            }
            self.store.compare_and_set(expected, new).await
        }
        .boxed()
    }

    fn changed(&self, seen: Option<Version>) -> BoxFuture<'_, ()> {
        self.store.changed(seen)
    }
}

// === impl Member ===

impl Member {
    async fn join(store: &Arc<MemorySharedStore>, own: Arc<dyn TokenStore>, metrics: &Metrics) -> Self {
        let about = MemberAbout::new("0", "test");
        let options = MembershipOptions { margin: 0, about, metrics: metrics.fleet() };
        let membership = Arc::new(Membership::new(Arc::clone(store) as Arc<_>, options));
        let seal = Arc::new(FleetSeal::fixed());
        let records = FleetRecords::new(Arc::clone(&membership), seal, own, metrics.fleet_token());
        let records = Arc::new(records.await.unwrap());
        let (told, beating) = (Arc::clone(&records), Arc::clone(&membership));
        let beats = tokio::spawn(async move {
            beating
                .heartbeats(|beaten| {
                    if let Ok(fleet) = beaten {
                        told.learn(&fleet);
                    }
                })
                .await;
        });
        Self { records, beats }
    }

    /// It has a token, and may renew it.
    async fn claims(&self) -> Claim {
        let stored = self.records.read().await.unwrap().expect("a token");
        self.records.claim(&stored, AccessLeft::NONE).await.expect("a claim")
    }

    async fn reads(&self) -> TokenRecord {
        self.records.read().await.unwrap().expect("a token").record
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.beats.abort();
    }
}

pub(super) fn shared_store() -> Arc<MemorySharedStore> {
    Arc::new(MemorySharedStore::new(Duration::from_secs(1_700_000_000)))
}

pub(super) fn memory() -> Arc<dyn TokenStore> {
    Arc::new(MemoryStore::default())
}

fn answer(refresh_token: &str) -> TokenRecord {
    let now = SystemTime::now();
    let access = StoredAccess {
        token: format!("access of {refresh_token}").into(),
        renewed_at: now,
        expires_at: now + DAY,
    };
    TokenRecord { access: Some(access), ..TokenRecord::new(refresh_token.into()) }
}

fn refresh_token(record: &TokenRecord) -> &str {
    record.refresh_token.expose_secret()
}

/// A replica of a place, with a store of its own.
pub(super) async fn start(
    place: &Place,
    store: &Arc<MemorySharedStore>,
    own: Arc<dyn TokenStore>,
) -> (Process, Member) {
    let metrics = Metrics::new();
    let member = Member::join(store, own, &metrics).await;
    let records = TokenRecords::Fleet(Arc::clone(&member.records));
    (place.start_with(records, metrics).await, member)
}

/// Two replicas of a place that share a token, which both have used.
pub(super) async fn start_two(place: &Place) -> [(Process, Member); 2] {
    let store = shared_store();
    let replicas = [start(place, &store, memory()).await, start(place, &store, memory()).await];
    pass(Duration::from_secs(60)).await;
    for (replica, _member) in &replicas {
        assert_eq!(replica.ask().await, OK);
    }
    replicas
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_came_after_another_pair_is_kept_beside_it() {
    let store = shared_store();
    let (metrics, others) = (Metrics::new(), Metrics::new());
    let first = Member::join(&store, memory(), &metrics).await;
    let second = Member::join(&store, memory(), &others).await;
    pass(Duration::from_secs(30)).await;
    assert!(first.records.read().await.unwrap().is_none());
    first.records.replace(None, &TokenRecord::new("seed".into())).await.unwrap();
    let claim = first.claims().await;
    // A person logs in while the call is under way.
    let version = second.records.read().await.unwrap().unwrap().version;
    second.records.replace(Some(version), &answer("login")).await.unwrap();
    let kept = first.records.keep(&claim.record, &answer("late")).await.unwrap();
    let Swap::Conflict(Some(newer)) = kept else { panic!("{kept:?}") };
    assert_eq!(refresh_token(&newer.record), "login");
    for member in [&first, &second] {
        let record = member.reads().await;
        let beside: Vec<_> = record.replaced.iter().map(SecretString::expose_secret).collect();
        assert_eq!((refresh_token(&record), beside), ("login", vec!["late"]), "not thrown away");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_store_did_not_take_is_in_the_own_store_and_outlives_a_restart() {
    let store = shared_store();
    let own = memory();
    let first = Member::join(&store, Arc::clone(&own), &Metrics::new()).await;
    pass(Duration::from_secs(30)).await;
    assert!(first.records.read().await.unwrap().is_none());
    first.records.replace(None, &TokenRecord::new("seed".into())).await.unwrap();
    let claim = first.claims().await;
    // The store loses all that it has, and takes nothing until a heartbeat has told of it.
    store.flush();
    let kept = first.records.keep(&claim.record, &answer("next")).await.unwrap();
    assert!(matches!(kept, Swap::Done(_)), "it may be used");
    assert_eq!(refresh_token(&own.read().await.unwrap().unwrap().record), "next");
    drop(first);
    let restarted = Member::join(&store, own, &Metrics::new()).await;
    let other = Member::join(&store, memory(), &Metrics::new()).await;
    pass(Duration::from_secs(30)).await;
    assert_eq!(refresh_token(&restarted.reads().await), "next");
    assert_eq!(refresh_token(&other.reads().await), "next", "the others have it from the store");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_paused_between_the_intent_and_the_call_begins_again() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let disk =
        HangingDisk { store: MemoryStore::default(), hung: AtomicBool::new(false), times: Mutex::default() };
    let disk = Arc::new(disk);
    let store = shared_store();
    let (process, member) = start(&place, &store, Arc::clone(&disk) as Arc<_>).await;
    while disk.times.lock().unwrap().is_empty() {
        pass(Duration::from_millis(100)).await;
    }
    // The disk hangs for 6 s, and the next attempt comes 0.8 s later at the earliest.
    pass(Duration::from_millis(6_100)).await;
    assert_eq!(place.vendor.token_calls(), 0, "others may have taken its intent for torn");
    assert!(member.reads().await.intent.is_none(), "and need not wait for it");
    pass(Duration::from_secs(5)).await;
    assert_eq!((place.vendor.token_calls(), disk.times.lock().unwrap().len()), (1, 2));
    assert_eq!((process.ask().await, process.state()), (OK, "valid"));
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_does_not_repeat_a_renewal_that_another_replica_has_begun_until_its_own_is_due() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let store = shared_store();
    let (one, _first) = start(&place, &store, memory()).await;
    pass(Duration::from_secs(60)).await;
    assert_eq!((one.ask().await, place.vendor.token_calls()), (OK, 1));
    let gone = Member::join(&store, memory(), &Metrics::new()).await;
    gone.reads().await;
    pass(Duration::from_secs(30)).await;
    gone.claims().await;
    drop(gone);
    let (two, _second) = start(&place, &store, memory()).await;
    pass(Duration::from_secs(60 * 60)).await;
    assert_eq!((two.ask().await, place.vendor.token_calls()), (OK, 1), "the token lives for a day");
}

#[tokio::test(start_paused = true)]
async fn a_login_on_one_replica_serves_all() {
    let place = Place::new(RefreshTokenPolicy::Rotating).watched();
    let [(one, _first), (two, _second)] = start_two(&place).await;
    assert!(one.tokens.fleet().is_some() && one.tokens.snapshot().fleet.is_some());
    place.vendor.revoke_refresh_tokens();
    place.vendor.revoke_access_tokens();
    assert!(one.ask().await.is_ok() && two.ask().await.is_ok());
    pass(Duration::from_secs(60)).await;
    assert_eq!(one.state(), "reauthorization_required");
    let left = TokenRecord::new(place.vendor.issue_refresh_token().into());
    // Both look into it: which one is the first is chance.
    place.inbox().leave(&left).await.unwrap();
    pass(Duration::from_secs(90)).await;
    for process in [&one, &two] {
        assert_eq!((process.ask().await, process.state()), (OK, "valid"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_with_a_full_disk_sends_nothing_and_leaves_the_renewal_to_the_others() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let store = shared_store();
    let full = Trap::default();
    let (one, _first) = start(&place, &store, Arc::new(full.clone())).await;
    pass(Duration::from_secs(60)).await;
    let (two, _second) = start(&place, &store, memory()).await;
    pass(Duration::from_secs(60)).await;
    assert_eq!((one.ask().await, two.ask().await, place.vendor.token_calls()), (OK, OK, 1));
    full.fill();
    place.vendor.revoke_access_tokens();
    assert!(one.ask().await.is_ok(), "a 401");
    pass(Duration::from_secs(10)).await;
    assert_eq!(place.vendor.token_calls(), 1, "its result could not be written");
    assert!(two.ask().await.is_ok(), "a 401");
    assert_eq!((two.ask().await, place.vendor.token_calls()), (OK, 2));
    pass(Duration::from_secs(60)).await;
    assert_eq!((one.ask().await, place.vendor.token_calls()), (OK, 2), "it uses what the other got");
}

#[tokio::test(start_paused = true)]
async fn a_login_that_the_store_has_already_is_used_though_no_heartbeat_tells_of_it() {
    let place = Place::new(RefreshTokenPolicy::Rotating).watched();
    let [(one, first), (two, second)] = start_two(&place).await;
    let generation = one.tokens.generation();
    // The first knows what it reads itself, and is the only one that empties the inbox.
    first.beats.abort();
    two.watch.abort();
    let now = SystemTime::now();
    let access = StoredAccess {
        token: place.vendor.issue_access_token().into(),
        renewed_at: now,
        expires_at: now + DAY,
    };
    let left =
        TokenRecord { access: Some(access), ..TokenRecord::new(place.vendor.issue_refresh_token().into()) };
    // As after a write whose reply was lost.
    let login_fingerprint = Some(Fingerprint::of(&left.refresh_token));
    let written = TokenRecord { login_fingerprint, ..left.clone() };
    let version = second.records.read().await.unwrap().unwrap().version;
    assert!(matches!(second.records.replace(Some(version), &written).await, Ok(Swap::Done(_))));
    place.inbox().leave(&left).await.unwrap();
    pass(Duration::from_secs(5)).await;
    assert!(place.inbox().is_empty().await.unwrap(), "login says that it is installed");
    assert_eq!((one.tokens.generation(), one.ask().await), (generation + 1, OK));
}
