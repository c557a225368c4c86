//! kill -9 against renewals of a rotating refresh token: the real binary, the simulated vendor, hundreds of deaths.
//!
//! After each death the state is opened and compared with what the vendor holds to be the living refresh token. The
//! one loss that can be is an answer that was never written, and it ends in `reauthorization_required`.

use std::{
    fs,
    future::pending,
    path::{Path, PathBuf},
    time::Duration,
};

use link_report_proxy::{
    simulator::{Fault, Options, Scope, TOKEN_PATH},
    state::{FileStore, TokenRecord, TokenStore as _},
};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::support::{Proxy, Run, Upstream, environment, get, path, soon, synthetic, until};

const ROUNDS: u32 = 100;

/// A vendor and the directory that the dying leave to the living.
struct KillFixture {
    vendor: Upstream,
    dir: TempDir,
    /// So that each request is for a report that nobody holds.
    asked: u32,
    losses: u32,
}

/// Where in a renewal to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// At some time after the start of the process; a renewal may have begun by itself.
    Starting,
    /// At some time after a request that gets a 401 for a revoked token.
    Renewing,
    /// The vendor has used the refresh token up, and its answer never comes.
    Unanswered,
    /// Its answer arrives about now.
    Answering,
    /// The new token has just been installed, or is about to be.
    Installed,
}

// === impl KillFixture ===

impl KillFixture {
    async fn new() -> Self {
        let options = Options { per_second: 0, per_day: 0, token_calls_per_second: 0, ..Options::default() };
        let fixture = Self {
            vendor: Upstream::with(options).await,
            dir: tempfile::tempdir().unwrap(),
            asked: 0,
            losses: 0,
        };
        fixture.seed(&fixture.vendor.sim.refresh_token());
        fixture
    }

    fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The operator puts a refresh token into the settings' file.
    fn seed(&self, token: &str) {
        let beside = self.dir.path().join("seed.new");
        fs::write(&beside, token).unwrap();
        fs::rename(beside, self.dir.path().join("seed")).unwrap();
    }

    fn settings(&self) -> Vec<(String, String)> {
        let options = self.vendor.sim.options();
        let shown = |path: &Path| path.to_str().unwrap().to_owned();
        environment(&[
            ("server.listen", "127.0.0.1:0"),
            ("admin.listen", "127.0.0.1:0"),
            ("upstream.base_url", &self.vendor.base_url()),
            ("quota.per_second", "0"),
            ("quota.per_day", "0"),
            ("token.source", "refresh"),
            ("token.token_url", &format!("{}{TOKEN_PATH}", self.vendor.base_url())),
            ("token.client_id", &options.client_id),
            ("token.client_secret", options.client_secret.expose_secret()),
            ("token.refresh_token_file", &shown(&self.dir.path().join("seed"))),
            ("state.dir", &shown(&self.state_dir())),
        ])
    }

    fn run(&self) -> Run {
        Run::start(&["serve"], &self.settings())
    }

    async fn start(&self) -> Proxy {
        Proxy::listening(self.run()).await
    }

    async fn record(&self) -> Option<TokenRecord> {
        let store = FileStore::open(&self.state_dir()).expect("the state survives");
        store.read().await.expect("the record survives").map(|stored| stored.record)
    }

    /// A report that nobody holds.
    fn cold(&mut self) -> String {
        self.asked += 1;
        path(&synthetic(self.asked, 1))
    }

    /// Lets a process live until the moment, and kills it.
    async fn die(&mut self, moment: Moment) {
        // Where the moment is no event, chance finds it.
        let random_delay = |ms: u64| Duration::from_micros(fastrand::u64(..ms * 1_000));
        if moment == Moment::Starting {
            let run = self.run();
            sleep(random_delay(60)).await;
            return run.kill().await;
        }
        let proxy = self.start().await;
        let target = self.cold();
        let calls = self.vendor.sim.token_calls();
        match moment {
            Moment::Unanswered => self.vendor.sim.inject(Fault::Hang, Scope::TokenCalls),
            Moment::Answering => {
                self.vendor.sim.inject(Fault::Latency(Duration::from_millis(10)), Scope::TokenCalls);
            }
            Moment::Starting | Moment::Renewing | Moment::Installed => {}
        }
        let installed = || proxy.log().iter().filter(|line| line.contains("access token installed")).count();
        let installed_before = installed();
        self.vendor.sim.revoke_access_tokens();
        let come = async {
            match moment {
                Moment::Starting | Moment::Renewing => sleep(random_delay(25)).await,
                Moment::Unanswered | Moment::Answering => {
                    let calls_now = || self.vendor.sim.token_calls();
                    until("a token call", async || (calls_now() > calls).then_some(())).await;
                    if moment == Moment::Answering {
                        sleep(random_delay(25)).await;
                    }
                }
                Moment::Installed => {
                    until("a token", async || (installed() > installed_before).then_some(())).await;
                }
            }
        };
        // Answered or not, it lives until its moment.
        let asked = async {
            drop(get(proxy.data, &target, &[]).await);
            pending::<()>().await;
        };
        tokio::select! {
            () = asked => {}
            () = come => {}
        }
        proxy.kill().await;
        self.vendor.sim.clear_faults();
    }

    /// What the dead left is the vendor's living refresh token, or the one before it and the intent to use it.
    async fn inspect(&mut self, moment: Moment, living_before: &str) {
        let living = self.vendor.sim.refresh_token();
        let Some(record) = self.record().await else {
            assert_eq!(living, living_before, "used up before anything was written");
            return;
        };
        let held = record.refresh_token.expose_secret();
        if held == living {
            assert_ne!(moment, Moment::Unanswered, "an answer that never came was written");
            return;
        }
        assert_ne!(moment, Moment::Installed, "a token was used before it was written");
        // One life can renew twice: by itself after its start, and for a 401.
        let uses = self.vendor.sim.refreshes();
        let replaced =
            uses.iter().rfind(|used| used.next.as_deref() == Some(&living)).map(|used| &*used.sent);
        assert_eq!(Some(held), replaced, "neither the living one nor the one before it");
        assert!(record.intent.is_some(), "used up without an intent");
        self.losses += 1;
        self.see_the_loss_and_heal_it().await;
    }

    async fn see_the_loss_and_heal_it(&mut self) {
        let proxy = self.start().await;
        self.vendor.sim.revoke_access_tokens();
        until("the loss to be noticed", async || {
            let state = proxy.admin("/token").await.json()["status"].clone();
            (state == "reauthorization_required").then_some(())
        })
        .await;
        self.seed(&self.vendor.sim.issue_refresh_token());
        let target = self.cold();
        until("a new seed to heal it", async || (proxy.get(&target).await.status == 200).then_some(())).await;
        proxy.kill().await;
    }
}

/// Renews, dies, is inspected, and so on; returns what was lost.
async fn generations() -> u32 {
    let mut fixture = KillFixture::new().await;
    for round in 0..ROUNDS {
        let moment = match round % 7 {
            0..=2 => Moment::Renewing,
            3 => Moment::Starting,
            4 => Moment::Answering,
            5 => Moment::Installed,
            _ if round % 5 == 0 => Moment::Unanswered,
            _ => Moment::Answering,
        };
        let living = fixture.vendor.sim.refresh_token();
        fixture.die(moment).await;
        fixture.inspect(moment, &living).await;
    }
    let proxy = fixture.start().await;
    let target = fixture.cold();
    until("the last of the line to answer", async || (proxy.get(&target).await.status == 200).then_some(()))
        .await;
    proxy.sigterm();
    assert!(soon("the end", proxy.finished()).await.status.success());
    fixture.losses
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_of_a_renewal_loses_nothing_but_an_answer_that_was_never_written() {
    let (one, two, three) = tokio::join!(generations(), generations(), generations());
    let losses = one + two + three;
    // The hanging ones at least: a test that never sees the loss proves nothing about it.
    assert!(losses > 0);
    println!("{} deaths, {losses} answers lost before they were written", 3 * ROUNDS);
}

#[tokio::test]
async fn a_sigterm_during_a_renewal_waits_until_its_answer_is_written() {
    let fixture = KillFixture::new().await;
    let vendor = &fixture.vendor.sim;
    vendor.inject(Fault::Latency(Duration::from_secs(1)), Scope::TokenCalls);
    let seed = vendor.refresh_token();
    let proxy = fixture.start().await;
    until("a token call", async || (vendor.token_calls() > 0).then_some(())).await;
    proxy.sigterm();
    assert!(soon("the end", proxy.finished()).await.status.success());
    let held = fixture.record().await.expect("a record").refresh_token;
    assert_ne!(held.expose_secret(), seed);
    assert_eq!(held.expose_secret(), vendor.refresh_token());
}
