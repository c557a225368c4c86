//! A fake Redis for tests: speaks RESP2 over pipes, hands scripts to an engine, and fails as it is told to.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _, pending};
use redis::Value;
use tokio::{
    io::{AsyncWriteExt as _, BufReader, DuplexStream, split},
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, sleep, timeout_at},
};

use super::{
    super::{DownReason, StoreConnector, StoreNode, StoreStream, StoreUnreachable, connection::sha1},
    fake_server::{FakeServer, StoreFault},
    resp::{encode, read_command},
};
use crate::shared::store_script::StoreScript;

const PIPE_BYTES: usize = 64 * 1024;

/// What the fake server stores.
pub(in crate::shared) trait FakeEngine: Send + Sync + 'static {
    /// EVALSHA. A simple string that begins with `-` is an error reply.
    fn run(&self, script: &'static StoreScript, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Value;

    /// XREAD; `None`: nothing after this id.
    fn read(&self, stream: &[u8], after: &str) -> Option<Value>;
}

/// The servers of one test, by what [`StoreNode`] shows of them; all share one engine. Clones are the same servers.
#[derive(Clone)]
pub(in crate::shared) struct FakeStore {
    shared: Arc<FakeStoreState>,
}

struct FakeStoreState {
    engine: Box<dyn FakeEngine>,
    scripts: HashMap<String, &'static StoreScript>,
    inner: Mutex<FakeStoreInner>,
    /// Something was executed: a blocking read looks again.
    executed: Notify,
    /// Changes with each change of a server.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct FakeStoreInner {
    servers: HashMap<String, FakeServer>,
    loaded: HashSet<(String, String)>,
    faults: VecDeque<StoreFault>,
    connects: Vec<String>,
    commands: Vec<String>,
    tasks: Vec<AbortHandle>,
}

/// How a connection goes on.
enum After {
    Reply(Value),
    Silence,
    Close,
}

// === impl After ===

impl After {
    fn error(text: &str) -> Self {
        let sign = if text.starts_with("HTTP") { "" } else { "-" };
        Self::Reply(Value::SimpleString(format!("{sign}{text}")))
    }
}

// === impl FakeStore ===

impl FakeStore {
    /// With a server at this node, which runs these scripts.
    pub(in crate::shared) fn new(
        node: &str,
        scripts: &[&'static StoreScript],
        engine: impl FakeEngine,
    ) -> Self {
        let store = Self {
            shared: Arc::new(FakeStoreState {
                engine: Box::new(engine),
                scripts: scripts.iter().map(|script| (sha1(script), *script)).collect(),
                inner: Mutex::default(),
                executed: Notify::new(),
                changed: watch::Sender::new(()),
            }),
        };
        store.server(node, |_new| ());
        store
    }

    /// Changes a server, or adds one.
    pub(in crate::shared) fn server(&self, node: &str, change: impl FnOnce(&mut FakeServer)) {
        change(self.inner().servers.entry(node.to_owned()).or_default());
        self.shared.changed.send_replace(());
    }

    /// The next scripts fail like this, one each.
    pub(in crate::shared) fn fail_next(&self, faults: &[StoreFault]) {
        self.inner().faults.extend(faults);
    }

    /// Closes all connections.
    pub(in crate::shared) fn cut(&self) {
        self.inner().tasks.drain(..).for_each(|task| task.abort());
    }

    /// SCRIPT FLUSH, on each server.
    pub(in crate::shared) fn forget_scripts(&self) {
        self.inner().loaded.clear();
    }

    /// The nodes to which connections were made, or tried.
    pub(in crate::shared) fn connects(&self) -> Vec<String> {
        self.inner().connects.clone()
    }

    /// How often a command of this name arrived.
    pub(in crate::shared) fn count(&self, command: &str) -> usize {
        self.inner().commands.iter().filter(|name| *name == command).count()
    }

    /// Has a blocking read look again: the engine has changed by itself.
    pub(in crate::shared) fn wake_readers(&self) {
        self.shared.executed.notify_waiters();
    }

    fn inner(&self) -> MutexGuard<'_, FakeStoreInner> {
        self.shared.inner.lock().unwrap()
    }

    async fn serve(self, node: String, stream: DuplexStream) {
        let (reading, mut writing) = split(stream);
        let mut reading = BufReader::new(reading);
        let mut authenticated = false;
        while let Some(command) = read_command(&mut reading).await {
            let server = self.until_it_answers(&node).await;
            sleep(server.latency).await;
            match self.answer(&node, &server, &command, &mut authenticated).await {
                After::Reply(reply) => {
                    if writing.write_all(&encode(&reply)).await.is_err() {
                        return;
                    }
                }
                After::Silence => pending().await,
                After::Close => return,
            }
        }
    }

    async fn until_it_answers(&self, node: &str) -> FakeServer {
        let mut changed = self.shared.changed.subscribe();
        loop {
            let server = self.inner().servers[node].clone();
            if !server.hangs {
                return server;
            }
            changed.changed().await.unwrap();
        }
    }

    async fn answer(
        &self,
        node: &str,
        server: &FakeServer,
        command: &[Vec<u8>],
        authenticated: &mut bool,
    ) -> After {
        let text =
            |at: usize| String::from_utf8_lossy(command.get(at).map_or(&[][..], Vec::as_slice)).into_owned();
        let name = text(0).to_uppercase();
        self.inner().commands.push(name.clone());
        let error = After::error;
        match server.password {
            Some(password) if name == "AUTH" => {
                *authenticated = text(command.len() - 1) == password;
                let wrong = || error("WRONGPASS invalid username-password pair or user is disabled.");
                return if *authenticated { After::Reply(Value::Okay) } else { wrong() };
            }
            Some(_) if !*authenticated => return error("NOAUTH Authentication required."),
            Some(_) | None => {}
        }
        if let Some(text) = server.error {
            return error(text);
        }
        match name.as_str() {
            "AUTH" | "CLIENT" | "SELECT" => After::Reply(Value::Okay),
            "PING" => After::Reply(Value::SimpleString("PONG".to_owned())),
            "HGET" => After::Reply(Value::Nil),
            "INFO" => After::Reply(Value::BulkString(server.info(&text(1)).into_bytes())),
            "SENTINEL" => {
                let part = |text: &str| Value::BulkString(text.as_bytes().to_vec());
                let address =
                    |(host, port): (&str, u16)| Value::Array(vec![part(host), part(&port.to_string())]);
                After::Reply(server.primary.map_or(Value::Nil, address))
            }
            "SCRIPT" => {
                let sha1 = sha1(&StoreScript { name: "", text: Box::leak(text(2).into_boxed_str()) });
                self.inner().loaded.insert((node.to_owned(), sha1.clone()));
                After::Reply(Value::BulkString(sha1.into_bytes()))
            }
            "EVALSHA" if !self.inner().loaded.contains(&(node.to_owned(), text(1))) => {
                error("NOSCRIPT No matching script. Please use EVAL.")
            }
            "EVALSHA" if server.role != "master" => {
                error("READONLY You can't write against a read only replica.")
            }
            "EVALSHA" => self.run(&text(1), text(2).parse().unwrap(), &command[3..]).await,
            "XREAD" => self.read(command).await,
            "WAIT" => After::Reply(Value::Int(server.replicas.1)),
            other => error(&format!("ERR unknown command '{other}'")),
        }
    }

    async fn run(&self, sha1: &str, keys: usize, parts: &[Vec<u8>]) -> After {
        let script = self.shared.scripts[sha1];
        let (keys, args) = parts.split_at(keys);
        let execute = || {
            let reply = self.shared.engine.run(script, keys, args);
            self.wake_readers();
            After::Reply(reply)
        };
        let fault = self.inner().faults.pop_front();
        match fault {
            None => execute(),
            Some(StoreFault::LostRequest) => After::Silence,
            Some(StoreFault::LostReply) => {
                execute();
                After::Silence
            }
            Some(StoreFault::LateReply(latency)) => {
                let reply = execute();
                sleep(latency).await;
                reply
            }
            Some(StoreFault::Doubled) => {
                execute();
                execute()
            }
            Some(StoreFault::CutBefore) => After::Close,
            Some(StoreFault::CutAfter) => {
                execute();
                After::Close
            }
            Some(StoreFault::Error(text)) => After::error(text),
        }
    }

    async fn read(&self, command: &[Vec<u8>]) -> After {
        let words: Vec<_> = command.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect();
        let after = |word: &str| words.iter().position(|other| other == word).map(|at| at + 1);
        let block = after("BLOCK").map(|at| Duration::from_millis(words[at].parse().unwrap()));
        let deadline = Instant::now() + block.unwrap_or_default();
        let key = after("STREAMS").unwrap();
        loop {
            let executed = self.shared.executed.notified();
            if let Some(reply) = self.shared.engine.read(&command[key], &words[key + 1]) {
                return After::Reply(reply);
            }
            if timeout_at(deadline, executed).await.is_err() {
                return After::Reply(Value::Nil);
            }
        }
    }
}

impl StoreConnector for FakeStore {
    fn connect<'a>(
        &'a self,
        node: &'a StoreNode,
    ) -> BoxFuture<'a, Result<Box<dyn StoreStream>, StoreUnreachable>> {
        async move {
            let node = node.to_string();
            self.inner().connects.push(node.clone());
            if self.inner().servers.get(&node).is_none_or(|server| server.refuses) {
                return Err(DownReason::Unreachable.into());
            }
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let task = tokio::spawn(self.clone().serve(node, theirs));
            self.inner().tasks.push(task.abort_handle());
            Ok(Box::new(ours) as Box<dyn StoreStream>)
        }
        .boxed()
    }
}

impl fmt::Debug for FakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeStore").finish_non_exhaustive()
    }
}
