//! `login`: gets a refresh token by the device flow (RFC 8628), and leaves it in `state.dir` for `serve`.

use std::{
    ffi::OsString,
    fmt::Write as _,
    fs::{self, DirBuilder, File},
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use http::Uri;
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{CommandOutcome, Failure, output::print, serve};
use crate::{
    settings::Settings,
    state::{Inbox, StateError, TokenRecord},
    token::{Client, DeviceCodes, DeviceError, DeviceFlow},
    upstream::FormClient,
};

/// The timeout of one request to the authorization server.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long to wait until a running proxy has installed the tokens: it reads its inbox once a second (`WATCH_INTERVAL`).
const INSTALLED_WITHIN: Duration = Duration::from_secs(6);
/// How often to check that.
const CHECK_EVERY: Duration = Duration::from_millis(200);
/// The size of the test file: far more than the tokens need, so that it fails if the disk is almost full.
const PROBE_BYTES: usize = 16 * 1024;

/// Has a running proxy installed the tokens?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handoff {
    ByARunningProxy,
    NotYet,
}

/// Shows the address and the code, waits for the approval, and leaves the tokens in `state.dir`.
pub(super) fn run(config: Option<&Path>) -> CommandOutcome {
    let settings = Settings::load(config, environment())?;
    let Some(dir) = settings.state.dir.clone() else {
        let message = "state.dir: is missing: login writes the tokens there, and serve reads them from there";
        return Err(Failure::Settings(message.to_owned()));
    };
    // Before the user is asked to sign in: tokens that cannot be stored are lost, and may have invalidated earlier ones.
    prove_writable(&dir)?;
    serve::block_on(&settings, async {
        let flow = flow(&settings).await?;
        let codes = flow.begin().await?;
        print(&greeting(&codes))?;
        let consent = flow.wait(&codes).await?;
        let handoff = leave(Inbox::of(&dir), consent.record).await?;
        print(&farewell(&flow.client, &dir, handoff))
    })
}

/// The process's environment, with `token.source` set to `refresh` and the variables of other token sources removed, so
/// that they cause no error here.
fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    let ours = ["SOURCE", "ACCESS_TOKEN", "ACCESS_TOKEN_FILE"];
    let other =
        move |name: &OsString| !ours.iter().any(|key| *name == *format!("LINK_REPORT_PROXY__TOKEN__{key}"));
    let source = ("LINK_REPORT_PROXY__TOKEN__SOURCE".into(), "refresh".into());
    std::env::vars_os().filter(move |(name, _)| other(name)).chain([source])
}

async fn flow(settings: &Settings) -> Result<DeviceFlow, Failure> {
    let token = &settings.token;
    let endpoint = |url: &Uri| {
        let connector = serve::connector(settings, url)?;
        Ok::<_, Failure>((url.clone(), FormClient::new(connector, DEADLINE)))
    };
    let secret = match (&token.client_secret, &token.client_secret_file) {
        (Some(secret), _) => Some(secret.clone()),
        (None, Some(file)) => {
            let file = file.clone();
            let read = spawn_blocking(move || file.read()).await.context("reading").map_err(Failure::Bug)?;
            let wrong = |error| Failure::Settings(format!("token.client_secret_file: {error}"));
            Some(read.map_err(wrong)?)
        }
        (None, None) => None,
    };
    Ok(DeviceFlow {
        device: endpoint(token.device_authorization_url.uri())?,
        token: endpoint(token.token_url.uri())?,
        client: Client { id: token.client_id.clone().unwrap_or_default(), secret },
    })
}

/// Creates the directory if it is missing, and writes, syncs and removes a test file, as writing the tokens will.
pub(super) fn prove_writable(dir: &Path) -> Result<(), StateError> {
    let probe = dir.join(format!("login.{}.probe", std::process::id()));
    let write = || {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut file = File::create(&probe)?;
        let written = file.write_all(&[0; PROBE_BYTES]).and_then(|()| file.sync_all());
        fs::remove_file(&probe)?;
        written
    };
    write().map_err(|source| StateError::Io { path: dir.to_owned(), source })
}

/// Writes the record to the inbox, and waits whether a running proxy installs it.
async fn leave(inbox: Inbox, record: TokenRecord) -> Result<Handoff, Failure> {
    let deadline = Instant::now() + INSTALLED_WITHIN;
    inbox.leave(&record).await?;
    while Instant::now() < deadline {
        if inbox.is_empty().await? {
            return Ok(Handoff::ByARunningProxy);
        }
        sleep(CHECK_EVERY).await;
    }
    Ok(Handoff::NotYet)
}

fn greeting(codes: &DeviceCodes) -> String {
    let DeviceCodes { user_code, address, complete_address, .. } = codes;
    let (open, then) = match complete_address {
        Some(complete) => (complete, "and check that the page shows this code:"),
        None => (address, "and enter this code:"),
    };
    let picture = io::stdout().is_terminal().then(|| picture(open)).flatten().unwrap_or_default();
    let minutes = codes.lifetime.as_secs().div_ceil(60);
    format!(
        "Open this address in a browser, on this device or another, and sign in to Constant Contact:\n\n\
         \x20 {open}\n\n{picture}{then}\n\n\
         \x20 {user_code}\n\n\
         Waiting for the approval, for at most {minutes} min. Press Ctrl-C to cancel.\n"
    )
}

/// The address as a QR code in half blocks, light on dark with fixed colours, whatever the terminal's are.
fn picture(address: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(address, EcLevel::L).ok()?;
    let image = code
        .render::<Dense1x2>()
        // The renderer draws the "dark" modules as foreground; with white on black, the foreground must be the light ones.
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build();
    let mut picture = String::new();
    for line in image.lines() {
        // Writing to a String cannot fail.
        let _written = writeln!(picture, "  \x1b[97;40m{line}\x1b[0m");
    }
    picture.push('\n');
    Some(picture)
}

fn farewell(client: &Client, dir: &Path, handoff: Handoff) -> String {
    let who = match handoff {
        Handoff::ByARunningProxy => "The running proxy has installed the tokens; it needs no restart.",
        Handoff::NotYet => {
            "The tokens are stored in state.dir. No running proxy has installed them; serve does when it starts."
        }
    };
    let secret = if client.secret.is_some() { "and the client secret, as for login\n" } else { "" };
    format!(
        "\nApproved. {who}\n\nThe settings that serve needs:\n\n\
         [token]\nsource = \"refresh\"\nclient_id = {:?}\n{secret}\n[state]\ndir = {:?}\n",
        client.id,
        dir.display().to_string(),
    )
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        let said = format!("login: {error}");
        match error {
            DeviceError::Client(_) => Self::Settings(said),
            DeviceError::Denied
            | DeviceError::Expired
            | DeviceError::NoRefreshToken
            | DeviceError::Refused(_)
            | DeviceError::Malformed
            | DeviceError::Unanswered(_) => Self::Unavailable(said),
        }
    }
}
