//! Everything that the process ever prints or serves in a whole scenario, searched for every secret that it ever held.

use std::{collections::BTreeSet, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use link_report_proxy::simulator::{
    BodyShape, DEVICE_AUTHORIZE_PATH, Decision, Fault, Options, Scope, TOKEN_PATH,
};
use secrecy::ExposeSecret as _;

use crate::support::{Answer, Proxy, Run, Upstream, environment, get, path, soon, synthetic, until};

const CLIENT_TOKEN: &str = "a-dashboards-own-token";
const ADMIN_TOKEN: &str = "the-operators-own-token";

/// What came out, and what must not have.
#[derive(Default)]
struct SecretScan {
    shown: Vec<String>,
    secrets: BTreeSet<String>,
}

/// A scenario, and the vendor in it.
struct Scenario {
    vendor: Upstream,
    proxy: Proxy,
    scan: SecretScan,
    asked: u32,
}

// === impl SecretScan ===

impl SecretScan {
    fn keep(&mut self, answer: &Answer) {
        self.shown.push(format!("{} {:?} {}", answer.status, answer.headers, answer.text()));
    }

    /// Each secret in the forms in which it travels.
    fn guard(&mut self, secret: &str) {
        assert!(secret.len() > 8, "{secret:?} would be found by chance");
        self.secrets.insert(secret.to_owned());
        self.secrets.insert(STANDARD.encode(secret));
    }

    fn assert_clean(&self) {
        for shown in &self.shown {
            for secret in &self.secrets {
                assert!(!shown.contains(secret), "{secret} in {shown}");
            }
        }
    }
}

// === impl Scenario ===

impl Scenario {
    /// The vendor's tokens of this moment are secrets.
    fn guard_tokens(&mut self) {
        for secret in [self.vendor.sim.access_token(), self.vendor.sim.refresh_token()] {
            if !secret.is_empty() {
                self.scan.guard(&secret);
            }
        }
    }

    /// A report that nobody holds.
    async fn ask(&mut self) -> u16 {
        self.asked += 1;
        let bearer = format!("Bearer {CLIENT_TOKEN}");
        let target = path(&synthetic(self.asked, 1));
        let answer = get(self.proxy.data, &target, &[("authorization", &bearer)]).await;
        self.guard_tokens();
        self.scan.keep(&answer);
        answer.status
    }

    async fn see_all(&mut self) {
        for route in ["/config", "/token", "/metrics", "/quota", "/cache", "/version", "/readyz", "/nowhere"]
        {
            let answer = self.proxy.admin(route).await;
            self.scan.keep(&answer);
        }
    }

    async fn until_state(&mut self, state: &str) {
        until(state, async || (self.proxy.admin("/token").await.json()["status"] == state).then_some(()))
            .await;
        self.guard_tokens();
        self.see_all().await;
    }
}

fn settings(vendor: &Upstream, dir: &Path) -> Vec<(String, String)> {
    let file = |name: &str, content: &str| {
        let path = dir.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let options = vendor.sim.options();
    environment(&[
        ("server.listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("upstream.base_url", &vendor.base_url()),
        ("quota.per_second", "0"),
        ("quota.per_day", "0"),
        ("circuit.consecutive_failures", "0"),
        ("log.level", "trace"),
        ("clients.tokens_file", &file("clients", CLIENT_TOKEN)),
        ("admin.token_file", &file("admin", ADMIN_TOKEN)),
        ("token.source", "refresh"),
        ("token.token_url", &format!("{}{TOKEN_PATH}", vendor.base_url())),
        ("token.device_authorization_url", &format!("{}{DEVICE_AUTHORIZE_PATH}", vendor.base_url())),
        ("token.client_id", &options.client_id),
        ("token.client_secret_file", &file("client", options.client_secret.expose_secret())),
        ("token.refresh_token_file", &file("seed", &vendor.sim.refresh_token())),
        ("state.dir", dir.join("state").to_str().unwrap()),
    ])
}

#[tokio::test]
async fn no_secret_is_ever_printed_or_served() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { per_second: 0, per_day: 0, token_calls_per_second: 0, ..Options::default() };
    let vendor = Upstream::with(options.clone()).await;
    let all = settings(&vendor, dir.path());
    let mut scan = SecretScan::default();
    for secret in
        [options.client_secret.expose_secret(), CLIENT_TOKEN, ADMIN_TOKEN, &vendor.sim.refresh_token()]
    {
        scan.guard(secret);
    }
    scan.guard(&format!("{}:{}", options.client_id, options.client_secret.expose_secret()));
    let check = Run::finish(&["check"], &all).await;
    scan.shown.extend(check.stdout.into_iter().chain(check.stderr));

    let proxy = Proxy::listening(Run::start(&["serve"], &all)).await;
    let mut scenario = Scenario { vendor, proxy, scan, asked: 0 };
    // Renewed, used, refused, renewed again.
    assert_eq!(scenario.ask().await, 200);
    scenario.vendor.sim.revoke_access_tokens();
    assert_eq!(scenario.ask().await, 200);
    let stranger = scenario.proxy.get(&path(&synthetic(1, 1))).await;
    assert_eq!(stranger.status, 401);
    scenario.scan.keep(&stranger);
    scenario.see_all().await;

    // A process that begins with what the last one left; an endpoint that quotes what it was sent; a dead token.
    scenario.proxy.sigterm();
    let ended = soon("the end", scenario.proxy.finished()).await;
    scenario.scan.shown.extend(ended.stdout.into_iter().chain(ended.stderr));
    scenario.proxy = Proxy::listening(Run::start(&["serve"], &all)).await;
    let echo = format!(
        r#"{{"error":"{0}","error_description":"{0}","access_token":"{0}\u0007"}}"#,
        scenario.vendor.sim.refresh_token()
    );
    scenario.vendor.sim.inject(Fault::Body(echo.into()), Scope::TokenCalls);
    scenario.vendor.sim.revoke_access_tokens();
    assert_eq!(scenario.ask().await, 502);
    scenario.vendor.sim.clear_faults();
    scenario.vendor.sim.revoke_refresh_tokens();
    scenario.until_state("reauthorization_required").await;
    assert_eq!(scenario.ask().await, 503);

    // A new seed, and a login.
    let seed = scenario.vendor.sim.issue_refresh_token();
    scenario.scan.guard(&seed);
    fs::write(dir.path().join("seed"), seed).unwrap();
    scenario.until_state("valid").await;
    assert_eq!(scenario.ask().await, 200);
    let mut login = Run::start(&["login"], &all);
    let is_code = |line: &str| {
        let line = line.trim();
        (line.len() == 9 && line.as_bytes()[4] == b'-').then(|| line.to_owned())
    };
    let code = login.stdout_line(is_code).await;
    assert!(scenario.vendor.sim.decide(&code, Decision::Approve));
    let ended = login.finished().await;
    assert!(ended.status.success(), "{ended:?}");
    scenario.guard_tokens();
    scenario.scan.shown.extend(ended.stdout.into_iter().chain(ended.stderr));
    assert_eq!(scenario.ask().await, 200);

    // Failures of the API.
    let failing = Fault::Status { status: http::StatusCode::INTERNAL_SERVER_ERROR, shape: BodyShape::Object };
    for fault in [failing, Fault::Html, Fault::Reset] {
        scenario.vendor.sim.inject(fault, Scope::All);
        assert_eq!(scenario.ask().await, 502);
        scenario.vendor.sim.clear_faults();
    }
    scenario.see_all().await;
    scenario.proxy.sigterm();
    let ended = soon("the end", scenario.proxy.finished()).await;
    assert!(ended.status.success());
    assert!(ended.stderr.len() > 20, "it logs more than that: {:?}", ended.stderr);
    scenario.scan.shown.extend(ended.stdout.into_iter().chain(ended.stderr));

    assert!(scenario.scan.secrets.len() > 14, "{:?}", scenario.scan.secrets.len());
    scenario.scan.assert_clean();
}
