//! The token's whole life against the simulated vendor, over pipes in memory and under paused time.

mod adoption;
mod consent;
mod current;
mod failures;
mod fleet;
mod fleet_refused;
mod happy_path;
mod newcomer;
mod provided_token;
mod rotation;
mod status;
mod trap;
mod unauthorized;
mod vendor;
mod writing;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use http::{Request, StatusCode};
use http_body_util::Empty;
use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tower::ServiceBuilder;

use super::*;
use crate::{
    middleware::{Next as _, TowerService, step},
    report::{Cause, LocalDenial},
    settings::SecretFile,
    simulator::{Options, RefreshTokenPolicy, Simulator, TOKEN_PATH, synthetic_id},
    state::{Inbox, MemoryStore, TokenStore},
    telemetry::Metrics,
    upstream::{FormClient, HttpClient},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A vendor, and what a process leaves to the next.
struct Place {
    vendor: Simulator,
    store: Arc<dyn TokenStore>,
    dir: TempDir,
    seeding: Seeding,
}

/// How the refresh token is set. Watching costs a look a second, which makes days long, even virtual ones.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seeding {
    /// In the settings.
    Fixed,
    /// In a file; and there is an inbox.
    Watched,
}

/// One life of the process.
struct Process {
    tokens: TokenManager,
    metrics: Metrics,
    vendor: Simulator,
    watch: JoinHandle<()>,
}

fn options(rotation: RefreshTokenPolicy, access_token_lifetime: Duration) -> Options {
    Options { rotation, access_token_lifetime, per_day: 0, per_second: 0, ..Options::default() }
}

// === impl Place ===

impl Place {
    fn new(rotation: RefreshTokenPolicy) -> Self {
        Self::with(options(rotation, DAY), MemoryStore::default())
    }

    fn with(options: Options, store: impl TokenStore) -> Self {
        let place = Self {
            vendor: Simulator::new(options),
            store: Arc::new(store),
            dir: tempfile::tempdir().unwrap(),
            seeding: Seeding::Fixed,
        };
        place.seed(&place.vendor.refresh_token());
        place
    }

    fn watched(self) -> Self {
        Self { seeding: Seeding::Watched, ..self }
    }

    fn seed_path(&self) -> PathBuf {
        self.dir.path().join("seed")
    }

    /// The operator puts this refresh token into the settings' file.
    fn seed(&self, refresh_token: &str) {
        fs::write(self.seed_path(), refresh_token).unwrap();
    }

    fn inbox(&self) -> Inbox {
        Inbox::of(self.dir.path().join("state"))
    }

    async fn refresh_token(&self) -> String {
        self.store.read().await.unwrap().unwrap().record.refresh_token.expose_secret().to_owned()
    }

    async fn start(&self) -> Process {
        self.start_with(Arc::clone(&self.store).into(), Metrics::new()).await
    }

    async fn start_with(&self, records: TokenRecords, metrics: Metrics) -> Process {
        let options = self.vendor.options();
        let renewing = RenewalConfig {
            url: format!("http://authz.example{TOKEN_PATH}").parse().unwrap(),
            form_client: FormClient::new(vendor::connector(&self.vendor), Duration::from_secs(20)),
            client_id: options.client_id.clone(),
            client_secret: Some(TokenSource::Static(options.client_secret.clone())),
        };
        let file = SecretFile::<SecretString>::new(self.seed_path());
        let seeds = match self.seeding {
            Seeding::Fixed => RefreshTokenSources {
                configured: Some(TokenSource::Static(file.read().unwrap())),
                inbox: None,
            },
            Seeding::Watched => {
                RefreshTokenSources { configured: Some(TokenSource::File(file)), inbox: Some(self.inbox()) }
            }
        };
        let tokens = TokenManager::renewed(renewing, seeds, records, metrics.token.clone());
        let tokens = tokens.await.unwrap();
        let watch = tokio::spawn(tokens.clone().watch());
        Process { tokens, metrics, vendor: self.vendor.clone(), watch }
    }
}

// === impl Process ===

impl Process {
    /// One call of the API; the token alone decides how it ends.
    async fn ask(&self) -> Result<StatusCode, Cause> {
        ask(self.tokens.clone(), &self.vendor).await
    }

    fn ask_meanwhile(&self) -> JoinHandle<Result<StatusCode, Cause>> {
        let (tokens, vendor) = (self.tokens.clone(), self.vendor.clone());
        tokio::spawn(async move { ask(tokens, &vendor).await })
    }

    fn state(&self) -> &'static str {
        self.tokens.snapshot().status.as_str()
    }

    fn last_error(&self) -> String {
        self.tokens.snapshot().renewal.unwrap().last_error.unwrap_or_default()
    }

    fn metric(&self, series: &str) -> f64 {
        self.tokens.observe();
        let (text, name) = (self.metrics.render().unwrap(), format!("link_report_proxy_{series} "));
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{series} is not in\n{text}")).parse().unwrap()
    }

    /// kill -9.
    async fn kill(self) {
        self.watch.abort();
        let _killed = self.watch.await;
    }
}

async fn ask(tokens: TokenManager, vendor: &Simulator) -> Result<StatusCode, Cause> {
    let stack = ServiceBuilder::new()
        .layer(step(TokenGate::new(tokens.clone())))
        .layer(step(Authorize::new(tokens)))
        .service(TowerService(HttpClient::new(vendor::connector(vendor))));
    let path = format!("http://api.example/v3/reports/email_reports/{}/links", synthetic_id(1, 2));
    let request = Request::get(path).body(Empty::new()).unwrap();
    stack.run(request).await.map(|response| response.status())
}

/// Lets so much (virtual) time pass; it stands still while the disk works, since all of that is in blocking tasks.
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}
