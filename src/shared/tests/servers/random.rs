//! Random operations of three replicas, with steps of the clock, older copies, flushes and evictions: every reply of a
//! real server is the model's.
//!
//! The model's replies say what the replicas do next, so all of a case goes to the server in one pipeline.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use proptest::{prelude::*, test_runner::TestRunner};
use redis::{Connection, Value};
use tokio::runtime::Runtime;

use crate::shared::{
    ChangeId, MemorySharedStore, SharedStore as _, StoreValue,
    change::PAGE_LENGTH,
    scripts,
    store_keys::StoreKeys,
    tests::{
        backend::{NOON, namespace},
        operation::{OperationResult, StoreOperation},
        random_replica::{Act, RandomReplica, act, keys},
        test_server::{Engine, TestClock, TestServer, compiled},
    },
    wire::{ScriptCall, ScriptRequests, parse_feed},
};

const CASES: u32 = 300;
const STEPS: usize = 80;

#[derive(Debug, Clone)]
enum Step {
    /// A replica does something; if it is told that the store has changed, it may recover at once.
    Act {
        replica: usize,
        act: Act,
        recovers: bool,
    },
    Forward(Duration),
    Back(Duration),
    Flush,
    Copy,
    PutBack,
    Evict(StoreValue),
}

/// What goes to the server.
enum Sent {
    Script(Box<SentScript>),
    Command(redis::Cmd),
}

struct SentScript {
    operation: StoreOperation,
    call: ScriptCall,
    now: u64,
    expected: OperationResult,
}

/// One case: the model's side of it, and what the server is to be sent.
struct Played {
    store: MemorySharedStore,
    now: Duration,
    requests: ScriptRequests,
    sent: Vec<Sent>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![
        Just(StoreValue::Fleet),
        Just(StoreValue::Members),
        Just(StoreValue::Token),
        prop::sample::select(keys()).prop_map(StoreValue::Report),
        prop::sample::select(keys()).prop_map(StoreValue::Flight),
    ];
    let step = prop_oneof![
        60 => (0..3_usize, act(), prop::bool::weighted(0.9))
            .prop_map(|(replica, act, recovers)| Step::Act { replica, act, recovers }),
        14 => (0..120_000_u64).prop_map(|ms| Step::Forward(Duration::from_millis(ms))),
        3 => (0..43_200_u64).prop_map(|secs| Step::Forward(Duration::from_secs(secs))),
        2 => (0..100_000_u64).prop_map(|ms| Step::Back(Duration::from_millis(ms))),
        1 => Just(Step::Flush),
        3 => Just(Step::Copy),
        2 => Just(Step::PutBack),
        2 => value.prop_map(Step::Evict),
    ];
    prop::collection::vec(step, STEPS)
}

// === impl Played ===

impl Played {
    async fn play(steps: Vec<Step>) -> Self {
        let requests = ScriptRequests::new(&namespace());
        let store = MemorySharedStore::new(NOON);
        let mut played = Self { store, now: NOON, requests, sent: Vec::new() };
        let mut copy = played.store.copy();
        let mut replicas: [_; 3] = std::array::from_fn(|at| RandomReplica::new(at.try_into().unwrap()));
        let store_keys = StoreKeys::new(&namespace());
        for step in steps {
            match step {
                Step::Act { replica, act, recovers } => {
                    let replica = &mut replicas[replica];
                    let operation = replica.operation(&act);
                    let result = played.send(operation.clone()).await;
                    if replica.hear(&operation, &result).is_err() && recovers {
                        let recovery = replica.operation(&Act::Recover { force: false });
                        let result = played.send(recovery.clone()).await;
                        replica.hear(&recovery, &result).expect("a recovery is not guarded");
                    }
                }
                Step::Forward(by) => {
                    played.store.put_clock_forward(by);
                    played.now += by;
                }
                Step::Back(by) => {
                    played.store.put_clock_back(by);
                    played.now -= by;
                }
                Step::Flush => {
                    played.store.flush();
                    all_keys(&store_keys).iter().for_each(|key| played.command("DEL", &[key]));
                }
                Step::Copy => {
                    copy = played.store.copy();
                    for key in all_keys(&store_keys) {
                        played.command("DEL", &[&copy_key(&key)]);
                        played.command("COPY", &[&key, &copy_key(&key)]);
                    }
                }
                Step::PutBack => {
                    played.store.put_back(copy.clone());
                    for key in all_keys(&store_keys) {
                        played.command("DEL", &[&key]);
                        played.command("COPY", &[&copy_key(&key), &key]);
                    }
                }
                Step::Evict(value) => {
                    played.store.evict(value);
                    let key = match value {
                        StoreValue::Fleet => store_keys.fleet(),
                        StoreValue::Changes => store_keys.changes(),
                        StoreValue::Members => store_keys.members(),
                        StoreValue::Token => store_keys.token(),
                        StoreValue::Report(key) => store_keys.report(&key),
                        StoreValue::Flight(key) => store_keys.flight(&key),
                    };
                    played.command("DEL", &[&key]);
                }
            }
        }
        played
    }

    /// Has the model do it, and keeps it for the server.
    async fn send(&mut self, operation: StoreOperation) -> OperationResult {
        let call = operation.call(&self.requests);
        let expected = operation.clone().perform(&self.store).await.expect("the model does not fail");
        let now = self.now.as_millis().try_into().expect("milliseconds");
        let script = SentScript { operation, call, now, expected: expected.clone() };
        self.sent.push(Sent::Script(Box::new(script)));
        expected
    }

    fn command(&mut self, name: &str, args: &[&[u8]]) {
        let mut command = redis::cmd(name);
        args.iter().for_each(|arg| {
            command.arg(*arg);
        });
        self.sent.push(Sent::Command(command));
    }

    /// Sends everything, and compares the replies and then the change feed.
    async fn compare(self, Server { connection, hashes }: &mut Server) -> Result<(), TestCaseError> {
        let mut pipeline = redis::pipe();
        for sent in &self.sent {
            match sent {
                Sent::Script(script) => {
                    let mut command = evalsha(&script.call, hashes);
                    command.arg(script.now);
                    pipeline.add_command(command);
                }
                Sent::Command(command) => {
                    pipeline.add_command(command.clone());
                }
            }
        }
        let replies: Vec<Value> = pipeline.query(connection).expect("replies");
        prop_assert_eq!(replies.len(), self.sent.len());
        for (at, (sent, reply)) in self.sent.iter().zip(replies).enumerate() {
            if let Sent::Script(script) = sent {
                let SentScript { operation, expected, .. } = &**script;
                let parsed = operation.parse(reply);
                prop_assert_eq!(parsed.as_ref(), Ok(expected), "reply {} to {:?}", at, operation);
            }
        }
        let feed = self.store.changes(ChangeId::default(), Duration::ZERO).await.expect("a page");
        let feed: Vec<_> = feed.changes.into_iter().map(|change| change.kind).collect();
        // The ids of the server are by its own clock.
        let call = self.requests.changes(ChangeId::default(), PAGE_LENGTH);
        let page = evalsha(&call, hashes).query(connection).expect("a page");
        let page = parse_feed(page, ChangeId::default()).expect("a page").page;
        let read: Vec<_> = page.changes.into_iter().map(|change| change.kind).collect();
        prop_assert_eq!(read, feed);
        Ok(())
    }
}

/// A connection, and the hashes of the scripts that are loaded, by name.
struct Server {
    connection: Connection,
    hashes: HashMap<&'static str, String>,
}

fn evalsha(call: &ScriptCall, hashes: &HashMap<&'static str, String>) -> redis::Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(&hashes[call.script.name]).arg(call.keys.len());
    call.keys.iter().chain(&call.args).for_each(|arg| {
        command.arg(arg);
    });
    command
}

fn all_keys(store_keys: &StoreKeys) -> Vec<Vec<u8>> {
    let shared = [store_keys.fleet(), store_keys.changes(), store_keys.members(), store_keys.token()];
    let of_reports = keys().into_iter().flat_map(|key| [store_keys.report(&key), store_keys.flight(&key)]);
    shared.into_iter().chain(of_reports).collect()
}

fn copy_key(key: &[u8]) -> Vec<u8> {
    [b"copy:", key].concat()
}

fn every_reply_is_the_model_s(engine: Engine) {
    let server = TestServer::start(engine);
    let mut connection = server.client().get_connection().expect("a connection");
    let hashes = scripts::ALL.iter().map(|script| {
        let compiled = compiled(script, Some(&TestClock::default()));
        (script.name, compiled.load(&mut connection).expect("loaded"))
    });
    let hashes = hashes.collect();
    let server = (Mutex::new(Server { connection, hashes }), server);
    let runtime: Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    // PROPTEST_CASES asks for more.
    let cases = ProptestConfig::default().cases.max(CASES);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            let server = &mut *server.0.lock().unwrap();
            redis::cmd("FLUSHALL").exec(&mut server.connection).expect("flushed");
            runtime.block_on(async { Played::play(steps).await.compare(server).await })
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn every_reply_of_redis_is_the_model_s() {
    every_reply_is_the_model_s(Engine::Redis);
}

#[test]
fn every_reply_of_valkey_is_the_model_s() {
    every_reply_is_the_model_s(Engine::Valkey);
}
