//! Three real binaries that share a rotating token over a real redis-server with an append-only file. Each has a directory
//! that outlives its processes.

use std::{fs, path::PathBuf, time::Duration};

use link_report_proxy::{
    simulator::{DEVICE_AUTHORIZE_PATH, Options, Simulator, TOKEN_PATH},
    state::{FileStore, Inbox, TokenRecord, TokenStore as _},
};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio::time::{Instant, interval};

use super::{real_fleet::SETTINGS, redis_server::RedisServer, token_fleet::KEY};
use crate::support::{Proxy, Upstream, Wire, path, request, synthetic};

const REPLICAS: usize = 3;
const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Replicas with a rotating token.
pub(super) struct RealTokenFleet {
    pub(super) vendor: Simulator,
    pub(super) redis: RedisServer,
    /// `None`: it was killed.
    replicas: Vec<Option<Proxy>>,
    /// Of each replica's key file.
    keys: Vec<String>,
    /// The settings' refresh token.
    seed: String,
    log_level: &'static str,
    dir: TempDir,
    /// In order of their start.
    processes: Vec<Process>,
    asked: u32,
}

/// A process of a replica, dead or alive. It reaches the vendor on a port of its own: so it is known who has called.
struct Process {
    replica: usize,
    vendor: Upstream,
    /// What was in its directory when it was killed.
    left: Option<LeftTokens>,
}

/// The refresh tokens in a directory.
struct LeftTokens(Vec<String>);

/// A refresh token that was sent to the token endpoint.
#[derive(Debug, Clone)]
pub(super) struct TokenCall {
    pub(super) sent: String,
    /// The refresh token in the answer; `None`: it was refused.
    pub(super) next: Option<String>,
    pub(super) at: Instant,
    pub(super) replica: usize,
    process: usize,
}

// === impl RealTokenFleet ===

impl RealTokenFleet {
    /// None of them has a token yet: the first renewal of a new replica waits 20 s for those that know more, unless somebody
    /// logs in.
    pub(super) async fn start(log_level: &'static str) -> Self {
        let options = Options {
            per_second: 0,
            per_day: 0,
            token_calls_per_second: 0,
            remembered_requests: 1_000_000,
            ..Options::default()
        };
        let vendor = Simulator::new(options);
        let mut fleet = Self {
            seed: vendor.refresh_token(),
            vendor,
            redis: RedisServer::with(&DURABLE).await,
            replicas: Vec::new(),
            keys: vec![KEY.to_owned(); REPLICAS],
            log_level,
            dir: tempfile::tempdir().expect("a directory"),
            processes: Vec::new(),
            asked: 0,
        };
        for replica in 0..REPLICAS {
            fleet.replicas.push(None);
            fleet.start_replica(replica).await;
        }
        fleet
    }

    pub(super) async fn start_replica(&mut self, replica: usize) {
        let vendor = Upstream::of(self.vendor.clone()).await;
        let settings = self.settings(replica, &vendor);
        let settings: Vec<_> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
        self.replicas[replica] = Some(Proxy::start(&vendor, &settings).await);
        self.processes.push(Process { replica, vendor, left: None });
    }

    /// The settings of a replica, as its `login` needs them too.
    pub(super) fn own_settings(&self, replica: usize) -> Vec<(&'static str, String)> {
        let process = self.processes.iter().rfind(|process| process.replica == replica);
        let vendor = &process.expect("a process").vendor;
        let mut settings = self.settings(replica, vendor);
        settings.push(("upstream.base_url", vendor.base_url()));
        settings
    }

    fn settings(&self, replica: usize, vendor: &Upstream) -> Vec<(&'static str, String)> {
        let key_file = self.dir.path().join(format!("key-{replica}"));
        fs::write(&key_file, &self.keys[replica]).expect("a file");
        let options = self.vendor.options();
        let shown = |path: PathBuf| path.to_str().expect("a name").to_owned();
        let mut settings: Vec<_> = SETTINGS.map(|(key, value)| (key, value.to_owned())).into();
        settings.extend([
            ("log.level", self.log_level.to_owned()),
            ("circuit.consecutive_failures", "0".to_owned()),
            ("shared.url", self.redis.url()),
            ("shared.key_file", shown(key_file)),
            ("state.dir", shown(self.state_dir(replica))),
            ("token.source", "refresh".to_owned()),
            ("token.token_url", format!("{}{TOKEN_PATH}", vendor.base_url())),
            ("token.device_authorization_url", format!("{}{DEVICE_AUTHORIZE_PATH}", vendor.base_url())),
            ("token.client_id", options.client_id.clone()),
            ("token.client_secret", options.client_secret.expose_secret().to_owned()),
            ("token.refresh_token", self.seed.clone()),
        ]);
        settings
    }

    fn state_dir(&self, replica: usize) -> PathBuf {
        self.dir.path().join(format!("state-{replica}"))
    }

    /// kill -9, and a look at what it leaves.
    pub(super) async fn kill(&mut self, replica: usize) {
        self.replicas[replica].take().expect("a living replica").kill().await;
        let left = self.left_by(replica).await;
        let process = self.processes.iter_mut().rfind(|process| process.replica == replica);
        process.expect("a process").left = Some(left);
    }

    async fn left_by(&self, replica: usize) -> LeftTokens {
        let store = FileStore::open(&self.state_dir(replica)).expect("the directory survives");
        let stored = store.read().await.expect("the record survives");
        let tokens = stored
            .into_iter()
            .flat_map(|stored| std::iter::once(stored.record.refresh_token).chain(stored.record.replaced));
        LeftTokens(tokens.map(|token| token.expose_secret().to_owned()).collect())
    }

    /// A new process in place of a killed one, on an empty disk and with this key.
    pub(super) async fn start_anew_with_key(&mut self, replica: usize, key: &str) {
        fs::remove_dir_all(self.state_dir(replica)).expect("a directory");
        key.clone_into(&mut self.keys[replica]);
        self.start_replica(replica).await;
    }

    pub(super) fn replica(&self, replica: usize) -> &Proxy {
        self.replicas[replica].as_ref().expect("a living replica")
    }

    /// The numbers of those that live.
    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.replicas.len()).filter(|replica| self.replicas[*replica].is_some()).collect()
    }

    /// What `login` does at the end: it leaves a new refresh token. Here without an access token, so that a renewal follows.
    pub(super) async fn log_in(&self, replica: usize) {
        let record = TokenRecord::new(self.vendor.issue_refresh_token().into());
        Inbox::of(self.state_dir(replica)).leave(&record).await.expect("a directory");
    }

    /// A report that nobody has: it takes a call with a token that is valid now.
    pub(super) async fn ask(&mut self, replica: usize) -> u16 {
        let target = self.cold();
        self.replica(replica).get(&target).await.status
    }

    /// The same, without waiting for the answer: the replica may be killed before it gives one.
    pub(super) async fn ask_meanwhile(&mut self, replica: usize) {
        let mut wire = Wire::connect(self.replica(replica).data).await;
        wire.send(&request("GET", &self.cold(), &[])).await;
        tokio::spawn(async move { wire.answer().await });
    }

    fn cold(&mut self) -> String {
        self.asked += 1;
        path(&synthetic(self.asked, 1))
    }

    /// Waits until each living replica has served such a report. Meanwhile all are asked.
    pub(super) async fn serves(&mut self) {
        let mut pulse = interval(Duration::from_millis(500));
        let mut waiting = self.living();
        while !waiting.is_empty() {
            pulse.tick().await;
            for replica in std::mem::take(&mut waiting) {
                if self.ask(replica).await != 200 {
                    waiting.push(replica);
                }
            }
        }
    }

    /// Every refresh token that was sent.
    pub(super) fn calls(&self) -> Vec<TokenCall> {
        let requests = self.vendor.seen().into_iter().filter(|request| request.target == TOKEN_PATH);
        let calls = requests.zip(self.vendor.refreshes()).map(|(request, refresh)| {
            let host = request.headers["host"].to_str().expect("a host");
            let called = |process: &Process| process.vendor.base_url().ends_with(host);
            let process = self.processes.iter().position(called).expect("one of ours");
            TokenCall {
                sent: refresh.sent,
                next: refresh.next,
                at: refresh.at,
                replica: self.processes[process].replica,
                process,
            }
        });
        calls.collect()
    }

    /// The latest answer with a token, if there is one that is not older.
    pub(super) fn newest_answer(&self, since: Instant) -> Option<TokenCall> {
        self.calls().into_iter().rfind(|call| call.next.is_some() && call.at >= since)
    }

    /// Whether its answer was for a process that was killed before it had stored it.
    pub(super) fn is_lost(&self, call: &TokenCall) -> bool {
        let Some(next) = &call.next else { return false };
        self.processes[call.process].left.as_ref().is_some_and(|LeftTokens(left)| !left.contains(next))
    }

    /// Each call that sent a refresh token once more although it was answered, with the call that was.
    pub(super) fn sent_again(&self) -> Vec<(TokenCall, TokenCall)> {
        let calls = self.calls();
        let again = calls.iter().enumerate().filter_map(|(at, call)| {
            let first = calls[..at].iter().find(|first| first.sent == call.sent && first.next.is_some())?;
            Some((first.clone(), call.clone()))
        });
        again.collect()
    }

    /// What each living replica says about its token.
    pub(super) async fn pages(&self) -> Vec<String> {
        let mut pages = Vec::new();
        for replica in self.living() {
            pages.push(self.replica(replica).admin("/token").await.text());
        }
        pages
    }
}
