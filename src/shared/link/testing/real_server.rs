//! A real redis-server for tests: in a directory of its own, killed when it is dropped. A machine without one fails them.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use redis::{Value, aio::MultiplexedConnection};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A running server.
pub(in crate::shared) struct RealServer {
    child: Child,
    dir: TempDir,
    port: u16,
    arguments: Vec<String>,
}

// === impl RealServer ===

impl RealServer {
    /// On a unix socket, and a TCP port if the arguments do not say otherwise. It takes connections when this returns.
    pub(in crate::shared) async fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments =
            arguments.iter().map(|argument| argument.replace("$DIR", dir.path().to_str().unwrap()));
        let arguments: Vec<_> = arguments.collect();
        let child = spawn(dir.path(), port, &arguments);
        let mut server = Self { child, dir, port, arguments };
        server.until_it_listens().await;
        server
    }

    pub(in crate::shared) fn port(&self) -> u16 {
        self.port
    }

    pub(in crate::shared) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The URL of its unix socket.
    pub(in crate::shared) fn socket_url(&self) -> String {
        format!("unix://{}", self.path("socket").display())
    }

    pub(in crate::shared) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// kill -9.
    pub(in crate::shared) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // Else `restart` would find the old one.
        let _none = fs::remove_file(self.path("socket"));
    }

    /// After [`Self::kill`].
    pub(in crate::shared) async fn restart(&mut self) {
        self.child = spawn(self.dir.path(), self.port, &self.arguments);
        self.until_it_listens().await;
    }

    /// As an operator, over the unix socket.
    pub(in crate::shared) async fn command(&self, words: &[&str]) -> Value {
        let mut connection = self.operator().await.unwrap();
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await.unwrap()
    }

    async fn operator(&self) -> redis::RedisResult<MultiplexedConnection> {
        redis::Client::open(self.socket_url())?.get_multiplexed_async_connection().await
    }

    async fn until_it_listens(&mut self) {
        while self.operator().await.is_err() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("redis-server ended: {status}: {}", fs::read_to_string(self.path("log")).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

fn spawn(dir: &Path, port: u16, arguments: &[String]) -> Child {
    let mut command = Command::new("redis-server");
    if let Some(file) = arguments.first().filter(|argument| argument.ends_with(".conf")) {
        command.arg(file);
    }
    command.args(["--bind", "127.0.0.1", "--dir"]).arg(dir).arg("--unixsocket").arg(dir.join("socket"));
    command.args(["--save", "", "--logfile"]).arg(dir.join("log"));
    if !arguments.iter().any(|argument| argument == "--port") {
        command.args(["--port", &port.to_string()]);
    }
    command.args(arguments.iter().filter(|argument| !argument.ends_with(".conf")));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("redis-server is installed: apt-get install redis-server")
}
