//! Replies that no script of ours would send: whoever can write to the server can have planted them.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use proptest::prelude::*;
use redis::{Cmd, Value};

use super::{
    super::{redis_store::Scripts, store_script::StoreScript, *},
    backend::namespace,
    operation::LIMITS,
    wire_values::{integer, word},
};
use crate::report::testing::key;

/// Replies to one call after another.
#[derive(Debug)]
struct PlantedReplies(Mutex<VecDeque<Value>>);

// === impl PlantedReplies ===

impl PlantedReplies {
    fn store(replies: impl IntoIterator<Item = Value>) -> RedisStore<Self> {
        let replies = Self(Mutex::new(replies.into_iter().collect()));
        RedisStore::new(replies, &namespace(), LIMITS.max_body)
    }

    fn reply(&self) -> BoxFuture<'_, Result<Value, SharedStoreError>> {
        ready(Ok(self.0.lock().unwrap().pop_front().expect("a reply"))).boxed()
    }
}

impl Scripts for PlantedReplies {
    fn run(
        &self,
        _: &'static StoreScript,
        _: Vec<Vec<u8>>,
        _: Vec<Vec<u8>>,
    ) -> BoxFuture<'_, Result<Value, SharedStoreError>> {
        self.reply()
    }

    fn identity(&self) -> BoxFuture<'_, Result<StoreIdentity, SharedStoreError>> {
        unreachable!("the link parses it")
    }

    fn write_mark(&self) -> WriteMark {
        WriteMark::default()
    }

    fn write_safety(&self, _: WriteMark) -> BoxFuture<'_, Result<WriteSafety, SharedStoreError>> {
        std::future::ready(Ok(WriteSafety::Kept)).boxed()
    }

    fn query_blocking(&self, _: Cmd, _: Duration) -> BoxFuture<'_, Result<Value, SharedStoreError>> {
        self.reply()
    }
}

fn bytes(length: usize) -> Value {
    Value::BulkString(vec![b'x'; length])
}

fn array(fields: impl Into<Vec<Value>>) -> Value {
    Value::Array(fields.into())
}

fn report(body: usize, mac: usize) -> Value {
    let [fence, age, unchanged] = [integer(1), integer(2), integer(3)];
    array([word("report"), fence, word("report"), age, unchanged, bytes(body), bytes(mac)])
}

fn token(token: usize) -> Value {
    array([word("token"), integer(1), integer(1), bytes(token)])
}

fn feed(first: &str, newest: &str, entries: Vec<Value>) -> Value {
    let length = integer(entries.len().try_into().unwrap());
    array([word("feed"), word(first), word(newest), length, Value::Array(entries)])
}

fn entry(id: &str, fields: &[&str]) -> Value {
    array([word(id), Value::Array(fields.iter().map(|field| word(field)).collect())])
}

async fn get(reply: Value) -> Result<Option<SharedReport>, SharedStoreError> {
    PlantedReplies::store([reply]).get(key(1), Fence(0)).await
}

async fn read_token(reply: Value) -> Result<Option<SharedToken>, SharedStoreError> {
    PlantedReplies::store([reply]).read_token().await
}

async fn changes(replies: impl IntoIterator<Item = Value>) -> Result<FeedPage, SharedStoreError> {
    PlantedReplies::store(replies).changes(ChangeId { ms: 1, n: 0 }, Duration::ZERO).await
}

fn malformed<T>(result: &Result<T, SharedStoreError>) -> bool {
    matches!(result, Err(SharedStoreError::Malformed(_)))
}

#[tokio::test]
async fn what_is_larger_than_its_limit_is_malformed() {
    assert!(get(report(LIMITS.max_body, 256)).await.unwrap().is_some());
    assert!(malformed(&get(report(LIMITS.max_body + 1, 0)).await));
    assert!(malformed(&get(report(0, 257)).await));
    assert!(read_token(token(65_536)).await.unwrap().is_some());
    assert!(malformed(&read_token(token(65_537)).await));
    let many = (2..=258).map(|ms| entry(&format!("{ms}-0"), &["lockout", ""])).collect();
    assert!(malformed(&changes([feed("1-0", "300-0", many)]).await));
}

#[tokio::test]
async fn what_is_not_a_reply_of_the_operation_is_malformed() {
    let negative = array([word("report"), Value::Int(-1), word("report"), integer(0), integer(0)]);
    let cut = array([word("report"), integer(1), word("report"), integer(0), integer(0), bytes(1)]);
    let mut longer = report(1, 1);
    if let Value::Array(fields) = &mut longer {
        fields.push(integer(1));
    }
    let kind =
        array([word("report"), integer(1), word("purged"), integer(0), integer(0), bytes(1), bytes(1)]);
    let nil = array([word("report"), integer(1), Value::Nil, integer(0), integer(0), bytes(1), bytes(1)]);
    let values =
        [negative, cut, longer, kind, nil, array([]), Value::Nil, Value::Okay, integer(1), word("none")];
    for value in values.into_iter().chain([array([word("some")]), array([bytes(1 << 20)]), token(1)]) {
        let read = get(value.clone()).await;
        assert!(malformed(&read), "{value:?}: {read:?}");
    }
}

/// Its fence is known, so that what is fetched instead takes its place.
#[tokio::test]
async fn a_report_that_cannot_be_read_is_looked_up_as_an_empty_one() {
    let look_up = LookUp { key: key(1), nonce: Nonce(1), have: Fence(0), lease: Duration::ZERO, answers: 0 };
    let later =
        array([word("report"), integer(7), word("later"), integer(2), integer(3), bytes(1), bytes(1)]);
    let nothing =
        array([word("report"), integer(7), Value::Nil, integer(2), integer(3), Value::Nil, Value::Nil]);
    let large = array([
        word("report"),
        integer(7),
        word("report"),
        integer(2),
        integer(3),
        bytes(LIMITS.max_body + 1),
        bytes(1),
    ]);
    for reply in [later, nothing, large] {
        let looked_up = PlantedReplies::store([reply.clone()]).look_up(StoreSeen::default(), look_up).await;
        let Ok(Ok(LookedUp::Newer(report))) = looked_up else { panic!("{reply:?}: {looked_up:?}") };
        assert_eq!((report.fence, report.age), (Fence(7), Duration::from_millis(2)));
        assert!(report.body.is_empty() && report.mac.is_empty(), "{reply:?}");
    }
}

#[tokio::test]
async fn an_epoch_is_sixteen_hexadecimal_digits() {
    let refused = |epoch: &str| array([word("other_epoch"), word(epoch)]);
    for epoch in ["", "0", "+00000000000000a", "000000000000000g", "00000000000000000"] {
        let store = PlantedReplies::store([refused(epoch)]);
        let taken = store.throttle(StoreSeen::default(), ThrottleRequest { hold: Duration::ZERO }).await;
        assert!(malformed(&taken), "{epoch}");
    }
    let store = PlantedReplies::store([refused("00000000000000ff")]);
    let taken = store.throttle(StoreSeen::default(), ThrottleRequest { hold: Duration::ZERO }).await;
    assert_eq!(taken, Ok(Err(StoreChanged::OtherEpoch(Epoch(255)))));
}

#[tokio::test]
async fn a_kind_of_change_that_is_unknown_here_is_skipped() {
    let unknown = |ms: u64| entry(&format!("{ms}-0"), &["later", "x", "more", "y"]);
    let mixed = vec![unknown(2), entry("3-0", &["lockout", "", "since", "7"]), unknown(4)];
    let page = changes([feed("1-0", "4-0", mixed)]).await.unwrap();
    let lockout = Change { id: ChangeId { ms: 3, n: 0 }, kind: ChangeKind::Lockout };
    assert_eq!((page.changes, page.restart), (vec![lockout.clone()], None));
    // A whole page of them is no empty page: there is more behind it.
    let page_of_unknown = feed("1-0", "300-0", (2..258).map(unknown).collect());
    let behind = Change { id: ChangeId { ms: 300, n: 0 }, ..lockout };
    let page = changes([page_of_unknown, feed("1-0", "300-0", vec![entry("300-0", &["lockout", ""])])]).await;
    assert_eq!(page.unwrap().changes, [behind]);
    let only = feed("1-0", "2-0", vec![unknown(2)]);
    assert_eq!(changes([only]).await, Ok(FeedPage { changes: Vec::new(), restart: None }));
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_restarts_the_reader_behind_it() {
    let good = || entry("2-0", &["token", "7"]);
    let long = "x".repeat(257);
    let unreadable: [&[&str]; 9] = [
        &["token", "x"],
        &["token"],
        &["report", "not a key", "fence", "1"],
        &["failure", "8892baf9-970a-4de6-8400-fa4ec461986d:0"],
        &["purge", "", "fence", "-1"],
        &["epoch", "1"],
        &["lockout", &long],
        &["x"; 17],
        &[],
    ];
    for fields in unreadable {
        let page = changes([feed("1-0", "9-0", vec![good(), entry("3-0", fields)])]).await.unwrap();
        assert_eq!(page.restart, Some(FeedRestart::Missed(ChangeId { ms: 9, n: 0 })), "{fields:?}");
        assert_eq!(page.changes.len(), 1, "{fields:?}");
    }
    for ids in [["2-0", "2-0"], ["3-0", "2-0"], ["2-0", "x"], ["2-0", "3"], ["2-0", "99999999999999999999-0"]]
    {
        let entries = ids.iter().map(|id| entry(id, &["token", "7"])).collect();
        assert!(malformed(&changes([feed("1-0", "9-0", entries)]).await), "{ids:?}");
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[a-z_]{0,12}", "[0-9]{1,20}-[0-9]{1,20}", "[0-9a-f]{16}"];
    let known = prop::sample::select(vec![
        "report",
        "fleet",
        "granted",
        "leased",
        "token",
        "feed",
        "done",
        "none",
        "other_epoch",
        "back_off",
    ]);
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<i64>().prop_map(Value::Int),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::BulkString),
        text.prop_map(|text| word(&text)),
        known.prop_map(word),
        Just(Value::Okay),
        any::<f64>().prop_map(Value::Double),
    ];
    leaf.prop_recursive(3, 40, 10, |inner| prop::collection::vec(inner, 0..12).prop_map(Value::Array))
}

proptest! {
    #[test]
    fn no_reply_makes_an_operation_panic(value in any_value()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let store = || PlantedReplies::store([value.clone(), Value::Nil]);
            let seen = StoreSeen::default();
            let _ = store().changes(ChangeId::default(), Duration::ZERO).await;
            let _ = store().read_token().await;
            let _ = store().get(key(1), Fence(0)).await;
            let _ = store().purge(seen, PurgeScope::All).await;
            let _ = store().throttle(seen, ThrottleRequest { hold: Duration::ZERO }).await;
            let zero = Duration::ZERO;
            let _ = store().take_call(seen, CallRequest { day: 0, ceiling: 0, interval: zero, horizon: zero, count: CallCount::One }).await;
            let look_up = LookUp { key: key(1), nonce: Nonce(1), have: Fence(0), lease: zero, answers: 0 };
            let _ = store().look_up(seen, look_up).await;
            let _ = store().recover(super::every_operation::recovery()).await;
        });
    }
}
