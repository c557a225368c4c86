//! The real binary as a child process.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::{Answer, Upstream, get, soon, sum_of_series};

/// How long an event may take on a busy machine before its test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A run of the binary: any command, any environment.
pub(crate) struct Run {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// How a run ended and what it printed.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

/// A proxy that listens.
pub(crate) struct Proxy {
    pub(crate) data: SocketAddr,
    pub(crate) admin: SocketAddr,
    run: Run,
}

/// What a stream printed so far; `watch` tells of each new line.
#[derive(Clone)]
struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    count: watch::Receiver<Option<usize>>,
}

/// Settings by their keys, as environment variables.
pub(crate) fn environment(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let name = |key: &str| format!("LINK_REPORT_PROXY__{}", key.to_uppercase().replace('.', "__"));
    settings.iter().map(|(key, value)| (name(key), (*value).to_owned())).collect()
}

// === impl Run ===

impl Run {
    /// Starts the binary with nothing in its environment but `environment`.
    pub(crate) fn start(arguments: &[&str], environment: &[(String, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_link-report-proxy"));
        command.args(arguments);
        Self::spawn(command, environment)
    }

    /// `serve` in a process that has been prepared by these lines of bash.
    pub(crate) fn serve_after(script: &str, environment: &[(String, String)]) -> Self {
        let mut command = Command::new("bash");
        let script = format!("{script} && exec \"$0\" serve");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_link-report-proxy")]);
        Self::spawn(command, environment)
    }

    fn spawn(mut command: Command, environment: &[(String, String)]) -> Self {
        let mut child = command
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        let stdout = Lines::collect(child.stdout.take().expect("a pipe"));
        let stderr = Lines::collect(child.stderr.take().expect("a pipe"));
        Self { child, stdout, stderr }
    }

    /// Runs a command to its end.
    pub(crate) async fn finish(arguments: &[&str], environment: &[(String, String)]) -> Finished {
        Self::start(arguments, environment).finished().await
    }

    /// Waits for the end.
    pub(crate) async fn finished(mut self) -> Finished {
        let status = soon("the process to end", self.child.wait()).await.expect("a child to wait for");
        Finished { status, stdout: self.stdout.all().await, stderr: self.stderr.all().await }
    }

    /// The first line on stdout that `pick` likes.
    pub(crate) async fn stdout_line<T>(&mut self, pick: impl Fn(&str) -> Option<T>) -> T {
        match soon("a line on stdout", self.stdout.find(pick)).await {
            Some(found) => found,
            None => panic!("it ended first: {:?} {:?}", self.stdout.now(), self.stderr.now()),
        }
    }

    /// Everything on stdout so far.
    pub(crate) fn stdout_now(&self) -> Vec<String> {
        self.stdout.now()
    }

    /// Runs each `curl` line on stdout in a shell, as a person would paste it; returns what they printed.
    pub(crate) async fn paste_curl_lines(&mut self) -> Vec<String> {
        let is_curl = |line: &str| line.trim_start().starts_with("curl ");
        self.stdout_line(|line| is_curl(line).then_some(())).await;
        let mut printed = Vec::new();
        // Read again after each: the first may run before the last is printed.
        while let Some(line) = self.stdout_now().into_iter().filter(|line| is_curl(line)).nth(printed.len()) {
            let run = Command::new("bash").args(["-c", &line]).output();
            let output = soon(&line, run).await.expect("bash and curl are installed");
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && !text.is_empty(), "{line}: {output:?}");
            printed.push(text.into_owned());
        }
        printed
    }

    /// Sends SIGTERM.
    pub(crate) fn sigterm(&self) {
        kill_process(self.pid(), Signal::TERM).expect("a living child");
    }

    /// Sends SIGINT.
    pub(crate) fn sigint(&self) {
        kill_process(self.pid(), Signal::INT).expect("a living child");
    }

    /// Sends SIGHUP.
    pub(crate) fn sighup(&self) {
        kill_process(self.pid(), Signal::HUP).expect("a living child");
    }

    /// kill -9; returns once it is dead.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("a child to kill");
    }

    fn pid(&self) -> Pid {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        pid.expect("a living child")
    }
}

// === impl Proxy ===

impl Proxy {
    /// Starts `serve` in front of `upstream`, on free ports, and waits until it listens.
    pub(crate) async fn start(upstream: &Upstream, settings: &[(&str, &str)]) -> Self {
        Self::listening(Run::start(&["serve"], &Self::environment(upstream, settings))).await
    }

    /// The settings of a proxy in front of `upstream`, on free ports.
    pub(crate) fn environment(upstream: &Upstream, settings: &[(&str, &str)]) -> Vec<(String, String)> {
        let base_url = upstream.base_url();
        let token = upstream.sim.access_token();
        let mut all = vec![
            ("server.listen", "127.0.0.1:0"),
            ("admin.listen", "127.0.0.1:0"),
            ("upstream.base_url", base_url.as_str()),
            ("cache.refresh", "fixed"),
            ("quota.per_second", "0"),
            ("quota.per_day", "0"),
            ("quota.reserve", "0.1"),
        ];
        // A test that names a source brings its own token.
        if !settings.iter().any(|(key, _)| *key == "token.source") {
            all.extend([("token.source", "static"), ("token.access_token", token.as_str())]);
        }
        // Later wins, as everywhere.
        all.extend_from_slice(settings);
        environment(&all)
    }

    /// Waits until a run says where it listens.
    pub(crate) async fn listening(mut run: Run) -> Self {
        let addresses = |line: &str| {
            if let Some((_, text)) = line.split_once("listening data=") {
                let (data, rest) = text.split_once(" admin=")?;
                return Some((data.parse().ok()?, rest.split(' ').next()?.parse().ok()?));
            }
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let says = |key: &str| line[key].as_str().or_else(|| line["fields"][key].as_str());
            let address = |key| says(key)?.parse::<SocketAddr>().ok();
            (says("message")? == "listening").then_some(())?;
            Some((address("data")?, address("admin")?))
        };
        match soon("the proxy to listen", run.stderr.find(addresses)).await {
            Some((data, admin)) => Self { data, admin, run },
            None => panic!("it ended before it listened: {:?}", run.stderr.now()),
        }
    }

    /// GET on the data port.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        get(self.data, target, &[]).await
    }

    /// GET on the admin port.
    pub(crate) async fn admin(&self, target: &str) -> Answer {
        get(self.admin, target, &[]).await
    }

    /// The exposition, as Prometheus reads it.
    pub(crate) async fn metrics(&self) -> String {
        self.admin("/metrics").await.text()
    }

    /// The sum of a metric's series whose text begins with `prefix`.
    pub(crate) async fn metric(&self, prefix: &str) -> f64 {
        sum_of_series(&self.metrics().await, prefix).unwrap_or_default()
    }

    /// What the kernel says of the process, by the file's name in `/proc`.
    pub(crate) fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.run.pid().as_raw_pid().to_string()).join(file)
    }

    /// From now on the process may open no further file, or but a few.
    pub(crate) fn limit_open_files(&self) {
        let open = std::fs::read_dir(self.proc("fd")).expect("a living child");
        let open = open.filter_map(|file| file.ok()?.file_name().to_str()?.parse::<u64>().ok());
        let open: BTreeSet<_> = open.collect();
        // Above its own, and below those that it has inherited from whoever runs the tests.
        let is_end = |number: &u64| (*number..number + 16).all(|next| !open.contains(&next));
        self.limit(Resource::Nofile, (0..).find(is_end));
    }

    /// From now on no file of the process may grow, or be written to, as on a disk that is full; or any may again.
    pub(crate) fn limit_file_size(&self, most: Option<u64>) {
        self.limit(Resource::Fsize, most);
    }

    fn limit(&self, resource: Resource, most: Option<u64>) {
        let limit = Rlimit { current: most, ..getrlimit(resource) };
        prlimit(Some(self.run.pid()), resource, limit).expect("a limit");
    }

    /// Resident memory in KiB, as the kernel counts it.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).expect("a living child");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number of kB")
    }

    /// Sends SIGTERM.
    pub(crate) fn sigterm(&self) {
        self.run.sigterm();
    }

    /// Sends SIGHUP.
    pub(crate) fn sighup(&self) {
        self.run.sighup();
    }

    /// kill -9; returns once it is dead.
    pub(crate) async fn kill(self) {
        self.run.kill().await;
    }

    /// Waits for the end.
    pub(crate) async fn finished(self) -> Finished {
        self.run.finished().await
    }

    /// Everything it logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.run.stderr.now()
    }
}

// === impl Lines ===

impl Lines {
    fn collect(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (tell, count) = watch::channel(Some(0));
        let kept = Arc::clone(&lines);
        tokio::spawn(async move {
            let mut reader = BufReader::new(stream).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push(line);
                tell.send_replace(Some(kept.len()));
            }
            tell.send_replace(None);
        });
        Self { lines, count }
    }

    fn now(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All lines, once the stream has ended.
    async fn all(&mut self) -> Vec<String> {
        drop(soon("a pipe to end", self.count.wait_for(Option::is_none)).await);
        self.now()
    }

    /// The first line that `pick` likes; `None` if the stream ends before.
    async fn find<T>(&mut self, pick: impl Fn(&str) -> Option<T>) -> Option<T> {
        loop {
            let ended = self.count.borrow_and_update().is_none();
            let found = self.now().iter().find_map(|line| pick(line));
            if found.is_some() || ended {
                return found;
            }
            if self.count.changed().await.is_err() {
                return self.now().iter().find_map(|line| pick(line));
            }
        }
    }
}
