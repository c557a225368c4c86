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
}

// === impl RedisServer ===

impl RedisServer {
    /// It takes connections when this returns.
    pub(super) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let server = Self { process: spawn(dir.path()), dir };
        server.until_it_listens().await;
        server
    }

    pub(super) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// How many replicas are known.
    pub(super) async fn members(&self) -> u64 {
        let client = redis::Client::open(self.url()).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
        let members = redis::cmd("HLEN").arg("lrp:{test}:replicas").query_async(&mut connection).await;
        members.expect("a count")
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("a living child");
    }

    /// kill -9, and another one in its place, which is empty.
    pub(super) async fn replace_by_an_empty_one(&mut self) {
        self.kill();
        // Else the old one would be found.
        fs::remove_file(self.socket()).expect("a socket");
        self.process = spawn(self.dir.path());
        self.until_it_listens().await;
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

    fn socket(&self) -> PathBuf {
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

fn spawn(dir: &Path) -> Child {
    let mut command = Command::new("redis-server");
    command.args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"]).arg(dir);
    command.arg("--unixsocket").arg(dir.join("socket")).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("redis-server is installed: apt-get install redis-server")
}
