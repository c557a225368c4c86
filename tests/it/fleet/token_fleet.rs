//! Replicas that share a token which they renew, in one runtime: each has a store of its own that outlives it.

use std::{fs, sync::Arc, time::Duration};

use link_report_proxy::{
    shared::{MemorySharedStore, SharedStore as _},
    simulator::{Fault, Options, RefreshTokenPolicy, Scope, SeenRefresh, Simulator, TOKEN_PATH},
    state::StateStores,
};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;

use super::faulty_store::FaultyStore;
use crate::support::in_process::{Answer, InProcess, path, start};

pub(super) const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The replicas, the dead ones included.
pub(super) struct TokenFleet {
    pub(super) vendor: Simulator,
    pub(super) store: Arc<MemorySharedStore>,
    pub(super) members: Vec<TokenMember>,
    dir: TempDir,
    asked: u32,
}

/// A replica, and what outlives it.
pub(super) struct TokenMember {
    pub(super) link: Arc<FaultyStore>,
    /// Its own store.
    pub(super) own: StateStores,
    pub(super) key: String,
    pub(super) seed: String,
    /// `None`: it was killed.
    pub(super) alive: Option<InProcess>,
}

// === impl TokenFleet ===

impl TokenFleet {
    pub(super) fn of(replicas: usize, rotation: RefreshTokenPolicy, lifetime: Duration) -> Self {
        let options = Options {
            rotation,
            access_token_lifetime: lifetime,
            per_second: 0,
            per_day: 0,
            ..Options::default()
        };
        let vendor = Simulator::new(Options { now: start(), ..options });
        let now = start().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        let store = Arc::new(MemorySharedStore::new(now));
        let dir = tempfile::tempdir().unwrap();
        let mut fleet = Self { vendor, store, members: Vec::new(), dir, asked: 0 };
        for _replica in 0..replicas {
            fleet.join();
        }
        fleet
    }

    /// Replicas of a rotating token that is good for a day.
    pub(super) fn rotating(replicas: usize) -> Self {
        Self::of(replicas, RefreshTokenPolicy::Rotating, 24 * HOUR)
    }

    /// All of them have a token.
    pub(super) async fn settled(self) -> Self {
        tokio::time::sleep(30 * SECOND).await;
        for member in 0..self.members.len() {
            assert_eq!(self.token(member).await["status"], "valid", "{member}");
        }
        self
    }

    /// Another replica, with an empty store of its own.
    pub(super) fn join(&mut self) -> usize {
        let seed =
            self.members.first().map_or_else(|| self.vendor.refresh_token(), |first| first.seed.clone());
        self.members.push(TokenMember {
            link: Arc::new(FaultyStore::to(&self.store)),
            own: StateStores::in_memory(),
            key: KEY.to_owned(),
            seed,
            alive: None,
        });
        let joined = self.members.len() - 1;
        self.start(joined);
        joined
    }

    pub(super) fn start(&mut self, member: usize) {
        let options = self.vendor.options().clone();
        let key_file = self.dir.path().join(format!("key-{member}"));
        let member = &mut self.members[member];
        fs::write(&key_file, &member.key).unwrap();
        let token_url = format!("https://authz.invalid{TOKEN_PATH}");
        let settings = [
            ("TOKEN__SOURCE", "refresh"),
            ("TOKEN__TOKEN_URL", &*token_url),
            ("TOKEN__CLIENT_ID", &*options.client_id),
            ("TOKEN__CLIENT_SECRET", options.client_secret.expose_secret()),
            ("TOKEN__REFRESH_TOKEN", &*member.seed),
            ("QUOTA__PER_SECOND", "4"),
            ("QUOTA__PER_DAY", "10000"),
            // The tests' store takes its place.
            ("SHARED__URL", "redis://store.invalid"),
            ("SHARED__KEY_FILE", key_file.to_str().unwrap()),
        ];
        let shared = Arc::clone(&member.link) as Arc<_>;
        let started = InProcess::resumed(self.vendor.clone(), Some(shared), member.own.clone(), &settings);
        member.alive = Some(started);
    }

    /// kill -9.
    pub(super) fn kill(&mut self, member: usize) {
        self.members[member].alive = None;
    }

    pub(super) fn replica(&self, member: usize) -> &InProcess {
        self.members[member].alive.as_ref().expect("a living replica")
    }

    pub(super) fn living(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|member| self.members[*member].alive.is_some()).collect()
    }

    /// The living replica of which this is true.
    pub(super) async fn whose(&self, is_it: impl Fn(&Value) -> bool) -> usize {
        for member in self.living() {
            if is_it(&self.token(member).await) {
                return member;
            }
        }
        panic!("no replica's");
    }

    /// The next renewal hangs: whose it is, and how many calls the vendor has got with it.
    pub(super) async fn owner_of_a_call_that_hangs(&self) -> (usize, u64) {
        self.vendor.inject(Fault::Hang, Scope::TokenCalls);
        let calls = self.vendor.token_calls();
        while self.vendor.token_calls() == calls {
            tokio::time::sleep(SECOND).await;
        }
        (self.whose(|token| token["status"] == "renewing").await, calls + 1)
    }

    /// The status of an answer that no memory and no store has.
    pub(super) async fn ask(&mut self, member: usize) -> u16 {
        self.asked += 1;
        self.replica(member).get(&path(self.asked)).await.status
    }

    /// The same, without waiting for it.
    pub(super) fn ask_meanwhile(&mut self, member: usize) -> tokio::task::JoinHandle<Answer> {
        self.asked += 1;
        self.replica(member).get_meanwhile(&path(self.asked))
    }

    /// `GET /token`.
    pub(super) async fn token(&self, member: usize) -> Value {
        self.replica(member).admin("/token").await.json()
    }

    /// The version of the fleet's record, on which all living replicas and the store agree.
    pub(super) async fn agreed_version(&self) -> u64 {
        let stored = self.store.read_token().await.unwrap().expect("a token");
        for member in self.living() {
            let token = self.token(member).await;
            assert_eq!(token["fleet"]["version"], stored.version, "{member}: {token}");
            assert_eq!(token["fleet"]["generation"], stored.generation, "{member}: {token}");
            assert_eq!(token["fleet"]["shared_store"], "in_step", "{member}: {token}");
        }
        stored.version
    }

    /// The refresh token in a replica's own store.
    pub(super) async fn own_refresh_token(&self, member: usize) -> Option<String> {
        let stored = self.members[member].own.token_store.read().await.unwrap()?;
        Some(stored.record.refresh_token.expose_secret().to_owned())
    }

    /// What was sent twice, though the vendor had answered it.
    pub(super) fn sent_again(&self) -> Vec<SeenRefresh> {
        let refreshes = self.vendor.refreshes();
        let used = |at: usize| {
            refreshes[..at].iter().any(|earlier| earlier.sent == refreshes[at].sent && earlier.next.is_some())
        };
        (0..refreshes.len()).filter(|at| used(*at)).map(|at| refreshes[at].clone()).collect()
    }

    /// The shortest time between two calls of the token endpoint.
    pub(super) fn closest_calls(&self) -> Option<Duration> {
        let refreshes = self.vendor.refreshes();
        refreshes.windows(2).map(|two| two[1].at - two[0].at).min()
    }
}
