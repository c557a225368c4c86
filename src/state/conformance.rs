//! Conformance tests for each backend of the ports. To add one, write a function that makes an empty one, and a line in
//! `conforms!`.

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use futures_util::FutureExt as _;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use tokio::runtime::Builder;

use super::*;

mod plan;
mod snapshot;

/// The ports of an empty backend, and what has to live as long as they do.
struct Fixture {
    stores: StateStores,
    _place: Box<dyn std::any::Any>,
}

fn memory() -> Fixture {
    Fixture { stores: StateStores::in_memory(), _place: Box::new(()) }
}

fn file() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(FileStore::open(dir.path()).unwrap());
    Fixture { stores: StateStores::in_file(store), _place: Box::new(dir) }
}

macro_rules! conforms {
    ($($backend:ident)*) => { $(
        mod $backend {
            #[tokio::test(start_paused = true)]
            async fn a_token_is_swapped_only_over_the_version_that_was_read() {
                super::swaps(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_conflict_returns_the_newer_record() {
                super::tells_the_newer(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_change_is_notified_to_those_who_have_not_seen_it() {
                super::tells_changes(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn each_day_is_counted_by_itself_whichever_comes_next() {
                super::counts_days(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn no_more_calls_are_granted_than_the_ceiling_leaves() {
                super::keeps_the_ceiling(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_closed_day_keeps_its_count_until_it_is_opened_again() {
                super::closes_days(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn calls_taken_together_are_each_counted_once() {
                super::counts_together(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn the_plan_that_was_written_last_is_read() {
                super::plan::keeps_the_last_plan(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_plan_with_too_many_campaigns_is_refused_and_the_old_one_stays() {
                super::plan::refuses_too_many_campaigns(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_plan_touches_neither_token_nor_calls() {
                super::plan::keeps_the_stores_apart(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn the_snapshot_that_was_written_last_is_read() {
                super::snapshot::keeps_the_last_snapshot(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_snapshot_that_is_removed_while_it_is_written_is_gone() {
                super::snapshot::removes_what_is_being_written(&super::$backend()).await;
            }

            #[tokio::test(start_paused = true)]
            async fn a_snapshot_touches_neither_token_nor_calls_nor_plan() {
                super::snapshot::keeps_the_stores_apart(&super::$backend()).await;
            }

            proptest::proptest! {
                #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
                #[test]
                fn every_reply_is_the_model_s(operations in super::operations()) {
                    super::is_the_model(super::$backend(), operations)?;
                }
            }
        }
    )* };
}

conforms! { memory file }

fn record(refresh: &str) -> TokenRecord {
    TokenRecord::new(refresh.into())
}

fn shown(stored: &Stored) -> &str {
    stored.record.refresh_token.expose_secret()
}

async fn swap(stores: &StateStores, expected: Option<Version>, new: &str) -> Result<Version, Option<String>> {
    match stores.token_store.compare_and_set(expected, &record(new)).await.unwrap() {
        Swap::Done(version) => Ok(version),
        Swap::Conflict(newer) => Err(newer.map(|stored| shown(&stored).to_owned())),
    }
}

async fn take(stores: &StateStores, claim: CallClaim) -> CallGrant {
    stores.call_counter.take(claim).await.unwrap()
}

const fn claim(day: u64, wanted: u32) -> CallClaim {
    CallClaim { day, made: 0, wanted, ceiling: None }
}

async fn swaps(Fixture { stores, .. }: &Fixture) {
    assert!(stores.token_store.read().await.unwrap().is_none());
    let first = swap(stores, None, "one").await.unwrap();
    assert!(swap(stores, None, "two").await.is_err());
    let second = swap(stores, Some(first), "three").await.unwrap();
    assert_ne!(first, second);
    assert!(swap(stores, Some(first), "four").await.is_err());
    let held = stores.token_store.read().await.unwrap().unwrap();
    assert_eq!((held.version, shown(&held)), (second, "three"));
}

async fn tells_the_newer(Fixture { stores, .. }: &Fixture) {
    let first = swap(stores, None, "one").await.unwrap();
    let second = swap(stores, Some(first), "two").await.unwrap();
    let Swap::Conflict(Some(newer)) =
        stores.token_store.compare_and_set(Some(first), &record("three")).await.unwrap()
    else {
        panic!("written over another's")
    };
    assert_eq!((newer.version, shown(&newer)), (second, "two"));
    swap(stores, Some(newer.version), "three").await.unwrap();
}

async fn tells_changes(Fixture { stores, .. }: &Fixture) {
    let store = &stores.token_store;
    assert_eq!(
        store.changed(None).now_or_never(),
        None,
        "nothing is there, and nobody has seen anything else"
    );
    let waiting = {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.changed(None).await })
    };
    tokio::task::yield_now().await;
    let first = swap(stores, None, "one").await.unwrap();
    waiting.await.unwrap();
    assert_eq!(store.changed(Some(first)).now_or_never(), None);
    store.changed(None).await;
    let second = swap(stores, Some(first), "two").await.unwrap();
    swap(stores, Some(first), "three").await.unwrap_err();
    store.changed(Some(first)).await;
    assert_eq!(store.changed(Some(second)).now_or_never(), None, "a swap with a conflict changes nothing");
}

async fn counts_days(Fixture { stores, .. }: &Fixture) {
    assert_eq!(stores.call_counter.read().await.unwrap(), None);
    for (day, calls, spent) in
        [(20_000, 8, 8), (20_000, 3, 11), (20_001, 1, 1), (20_000, 2, 13), (20_001, 4, 5), (0, 1, 1)]
    {
        let taken = DayRecord { day, spent, status: DayStatus::Open };
        assert_eq!(take(stores, claim(day, calls)).await, CallGrant { granted: calls, day: taken });
        assert_eq!(stores.call_counter.read().await.unwrap().unwrap().latest(), taken);
    }
    let full = take(stores, CallClaim { made: u32::MAX, ..claim(20_001, 0) }).await;
    assert_eq!(full.day.spent, u32::MAX);
}

async fn keeps_the_ceiling(Fixture { stores, .. }: &Fixture) {
    let claim = CallClaim { ceiling: NonZeroU32::new(10), ..claim(20_000, 8) };
    for (made, granted, spent) in [(0, 8, 8), (0, 2, 10), (0, 0, 10), (3, 0, 13)] {
        let grant = take(stores, CallClaim { made, ..claim }).await;
        assert_eq!(
            (grant.granted, grant.day.spent),
            (granted, spent),
            "calls made already are always counted"
        );
    }
    let higher = CallClaim { ceiling: NonZeroU32::new(20), made: 1, ..claim };
    assert_eq!(take(stores, higher).await.granted, 6);
    assert_eq!(take(stores, CallClaim { ceiling: None, ..claim }).await.granted, 8);
}

async fn closes_days(Fixture { stores, .. }: &Fixture) {
    let counter = &stores.call_counter;
    take(stores, claim(20_000, 20)).await;
    counter.mark(20_000, DayStatus::Closed).await.unwrap();
    let closed = DayRecord { day: 20_000, spent: 28, status: DayStatus::Closed };
    assert_eq!(take(stores, claim(20_000, 8)).await, CallGrant { granted: 8, day: closed });
    counter.mark(20_000, DayStatus::Open).await.unwrap();
    let open = LedgerRecord::of(DayRecord { status: DayStatus::Open, ..closed });
    assert_eq!(counter.read().await.unwrap(), Some(open));
    counter.mark(20_001, DayStatus::Closed).await.unwrap();
    let latest = counter.read().await.unwrap().unwrap().latest();
    assert_eq!(latest.spent, 0, "a day without calls");
}

async fn counts_together(Fixture { stores, .. }: &Fixture) {
    let claim = CallClaim { ceiling: NonZeroU32::new(30), ..claim(20_000, 8) };
    let takes = (0..5).map(|_| take(stores, claim));
    let granted: Vec<_> =
        futures_util::future::join_all(takes).await.iter().map(|grant| grant.granted).collect();
    assert_eq!(granted, [8, 8, 8, 6, 0], "in the order of the requests");
}

#[derive(Debug, Clone, Copy)]
enum Operation {
    Write(Seen),
    Take(CallClaim),
    Mark { day: u64, status: DayStatus },
    WritePlan { campaigns: u32 },
    Read,
}

/// The version that a writer expects.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Nothing,
    Last,
    Older,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    // No more days than are kept: which one is dropped is tested in `ledger_record`.
    let days = || 20_000..20_000 + u64::try_from(LedgerRecord::MAX_DAYS).unwrap();
    let seen = prop_oneof![Just(Seen::Nothing), Just(Seen::Last), Just(Seen::Older)];
    let claim = (days(), 0..20_u32, 0..20_u32, prop_oneof![Just(0), Just(40), Just(60)]);
    let status = prop_oneof![Just(DayStatus::Open), Just(DayStatus::Closed)];
    let operation = prop_oneof![
        seen.prop_map(Operation::Write),
        claim.prop_map(|(day, made, wanted, ceiling)| {
            Operation::Take(CallClaim { day, made, wanted, ceiling: NonZeroU32::new(ceiling) })
        }),
        (days(), status).prop_map(|(day, status)| Operation::Mark { day, status }),
        (0..20_u32).prop_map(|campaigns| Operation::WritePlan { campaigns }),
        Just(Operation::Read),
    ];
    prop::collection::vec(operation, 1..30)
}

/// A model of the ports.
#[derive(Default)]
struct Model {
    /// All records written, in order.
    tokens: Vec<(Version, String)>,
    days: BTreeMap<u64, (u32, DayStatus)>,
    /// The number of campaigns in the last plan.
    plan: Option<u32>,
}

fn is_the_model(backend: Fixture, operations: Vec<Operation>) -> Result<(), TestCaseError> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (stores, mut model) = (&backend.stores, Model::default());
        for (step, operation) in operations.into_iter().enumerate() {
            match operation {
                Operation::Write(seen) => model.write(stores, seen, step).await?,
                Operation::Take(claim) => {
                    let (spent, status) = model.days.entry(claim.day).or_insert((0, DayStatus::Open));
                    let made = *spent + claim.made;
                    let granted = match claim.ceiling {
                        Some(ceiling) if made >= ceiling.get() => 0,
                        Some(ceiling) => claim.wanted.min(ceiling.get() - made),
                        None => claim.wanted,
                    };
                    *spent = made + granted;
                    let day = DayRecord { day: claim.day, spent: *spent, status: *status };
                    prop_assert_eq!(take(stores, claim).await, CallGrant { granted, day });
                }
                Operation::Mark { day, status } => {
                    model.days.entry(day).or_insert((0, status)).1 = status;
                    stores.call_counter.mark(day, status).await.unwrap();
                }
                Operation::WritePlan { campaigns } => {
                    model.plan = Some(campaigns);
                    stores.plan_store.write(plan::plan(campaigns)).await.unwrap();
                }
                Operation::Read => model.is_read(&backend).await?,
            }
        }
        model.is_read(&backend).await
    })
}

impl Model {
    async fn write(&mut self, stores: &StateStores, seen: Seen, step: usize) -> Result<(), TestCaseError> {
        let back = |by: usize| self.tokens.iter().rev().nth(by).map(|(version, _)| *version);
        let (last, expected) = match seen {
            Seen::Nothing => (back(0), None),
            Seen::Last => (back(0), back(0)),
            Seen::Older => (back(0), back(1)),
        };
        let (token, held) = (step.to_string(), self.tokens.last().map(|(_, token)| token.clone()));
        match swap(stores, expected, &token).await {
            Ok(version) => {
                prop_assert_eq!(expected, last);
                prop_assert!(self.tokens.iter().all(|(known, _)| *known != version));
                self.tokens.push((version, token));
            }
            Err(newer) => {
                prop_assert_ne!(expected, last);
                prop_assert_eq!(newer, held);
            }
        }
        Ok(())
    }

    async fn is_read(&self, backend: &Fixture) -> Result<(), TestCaseError> {
        let stores = &backend.stores;
        let held = stores.token_store.read().await.unwrap();
        let held = held.map(|stored| (stored.version, shown(&stored).to_owned()));
        prop_assert_eq!(held.as_ref(), self.tokens.last());
        let ledger = stores.call_counter.read().await.unwrap();
        let read: BTreeMap<_, _> = ledger
            .iter()
            .flat_map(|ledger| std::iter::once(ledger.latest()).chain(ledger.other_days().iter().copied()))
            .map(|DayRecord { day, spent, status }| (day, (spent, status)))
            .collect();
        prop_assert_eq!(&read, &self.days);
        prop_assert_eq!(plan::read(backend).await, self.plan);
        Ok(())
    }
}
