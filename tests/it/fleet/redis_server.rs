//! A real redis-server on a unix socket, in a directory of its own; killed when it is dropped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::support::until;

/// A running server.
pub(super) struct RedisServer {
    process: Child,
    dir: TempDir,
    options: Vec<String>,
}

// === impl RedisServer ===

impl RedisServer {
    /// Nothing of it outlives it. It takes connections when this returns.
    pub(super) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With these options besides.
    pub(super) async fn with(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let server = Self { process: spawn(dir.path(), &options), dir, options };
        server.until_it_listens().await;
        server
    }

    pub(super) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// How many replicas are known.
    pub(super) async fn members(&self) -> u64 {
        self.ask(&["HLEN", "lrp:{test}:replicas"]).await
    }

    /// Runs a command as an operator would.
    pub(super) async fn run(&self, command: &[&str]) {
        self.ask::<redis::Value>(command).await;
    }

    pub(super) async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        let reply = redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await;
        reply.expect("a reply")
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("a living child");
    }

    /// kill -9, and another one in its place, which has what the first one has kept.
    pub(super) async fn restart(&mut self) {
        self.kill();
        // Else the old one would be found.
        fs::remove_file(self.socket()).expect("a socket");
        self.process = spawn(self.dir.path(), &self.options);
        self.until_it_listens().await;
    }

    /// The bytes of its append-only files.
    pub(super) fn append_only_files(&self) -> Vec<u8> {
        let files = fs::read_dir(self.dir.path().join("appendonlydir")).expect("append-only files");
        files.flat_map(|file| fs::read(file.expect("a file").path()).expect("its bytes")).collect()
    }

    /// kill -9, and nothing in its place.
    pub(super) fn end(&mut self) {
        self.kill();
    }

    fn kill(&mut self) {
        // It may have ended before.
        let _killed = self.process.kill();
        self.process.wait().expect("it ends");
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    async fn until_it_listens(&self) {
        until("redis to listen", async || UnixStream::connect(self.socket()).await.ok()).await;
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(dir: &Path, options: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"]).arg(dir);
    command.arg("--unixsocket").arg(dir.join("socket")).args(options);
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    spawned.expect("redis-server is installed: apt-get install redis-server")
}
