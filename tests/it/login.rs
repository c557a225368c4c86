//! `login`, the real command at a real terminal, against the simulated vendor's device flow.

use std::{
    fs::File,
    io::Read as _,
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use link_report_proxy::{
    simulator::{DEVICE_AUTHORIZE_PATH, Decision, TOKEN_PATH},
    state::{Inbox, TokenRecord},
};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::{sync::watch, task::spawn_blocking};

use crate::support::{Proxy, Run, Upstream, environment, path, soon, synthetic, until};

/// A run of `login` whose standard output is a terminal.
struct Terminal {
    shown: watch::Receiver<String>,
    drawn: tokio::task::JoinHandle<()>,
    ended: tokio::task::JoinHandle<ExitStatus>,
}

fn settings(vendor: &Upstream, state_dir: &Path) -> Vec<(String, String)> {
    environment(&[
        ("token.token_url", &format!("{}{TOKEN_PATH}", vendor.base_url())),
        ("token.device_authorization_url", &format!("{}{DEVICE_AUTHORIZE_PATH}", vendor.base_url())),
        ("token.client_id", &vendor.sim.options().client_id),
        ("state.dir", state_dir.to_str().unwrap()),
    ])
}

/// As an operator would have them, after what `login` said.
fn serving(vendor: &Upstream, state_dir: &Path) -> Vec<(String, String)> {
    let mut all = settings(vendor, state_dir);
    all.extend(environment(&[
        ("server.listen", "127.0.0.1:0"),
        ("admin.listen", "127.0.0.1:0"),
        ("upstream.base_url", &vendor.base_url()),
        ("quota.per_day", "0"),
        ("token.source", "refresh"),
    ]));
    all
}

async fn serve(vendor: &Upstream, state_dir: &Path) -> Proxy {
    Proxy::listening(Run::start(&["serve"], &serving(vendor, state_dir))).await
}

// === impl Terminal ===

impl Terminal {
    fn login(environment: &[(String, String)]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = File::options().read(true).write(true).open(name).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_link-report-proxy"))
            .arg("login")
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(slave.try_clone().unwrap())
            .stdout(slave)
            .spawn()
            .unwrap();
        let (tell, shown) = watch::channel(String::new());
        let mut screen = File::from(master);
        let drawn = spawn_blocking(move || {
            let mut buffer = [0; 4096];
            // A terminal that nobody holds any more ends with an error.
            while let Ok(read @ 1..) = screen.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..read]).replace('\r', "");
                tell.send_modify(|shown| shown.push_str(&text));
            }
        });
        Self { shown, drawn, ended: spawn_blocking(move || child.wait().unwrap()) }
    }

    /// The code on the screen, once it is there: on a line of its own.
    async fn code(&mut self) -> String {
        let is_code = |line: &&str| line.len() == 9 && line.as_bytes()[4] == b'-';
        let code = |shown: &String| shown.lines().map(str::trim).find(is_code).map(str::to_owned);
        let shown = soon("a code", self.shown.wait_for(|shown| code(shown).is_some())).await.unwrap();
        code(&shown).unwrap()
    }

    async fn ended(self) -> (ExitStatus, String) {
        let status = soon("the end of login", self.ended).await.unwrap();
        soon("the last of the screen", self.drawn).await.unwrap();
        (status, self.shown.borrow().clone())
    }
}

#[tokio::test]
async fn a_login_at_a_terminal_heals_a_running_proxy_without_restart() {
    let (vendor, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let state = dir.path().join("state");
    let proxy = serve(&vendor, &state).await;
    let target = path(&synthetic(1, 2));
    assert_eq!(proxy.get(&target).await.error_key(), "token_unavailable");
    assert_eq!(proxy.admin("/token").await.json()["status"], "reauthorization_required");

    let mut terminal = Terminal::login(&settings(&vendor, &state));
    let code = terminal.code().await;
    assert!(vendor.sim.decide(&code, Decision::Approve));
    let (status, shown) = terminal.ended().await;
    assert!(status.success(), "{shown}");
    for said in ["/activate?user_code=", "▀", "has installed the tokens", "source = \"refresh\""] {
        assert!(shown.contains(said), "{said} is not on\n{shown}");
    }
    for secret in [vendor.sim.access_token(), vendor.sim.refresh_token()] {
        assert!(!shown.contains(&secret), "a secret is on the screen");
    }
    until("reports", async || (proxy.get(&target).await.status == 200).then_some(())).await;
    assert_eq!(proxy.admin("/token").await.json()["status"], "valid");
}

#[tokio::test]
async fn what_a_login_left_is_found_by_a_proxy_that_starts_later_and_by_each_after_it() {
    let (vendor, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let state = dir.path().join("state");
    let mut terminal = Terminal::login(&settings(&vendor, &state));
    let code = terminal.code().await;
    assert!(vendor.sim.decide(&code, Decision::Approve));
    let (status, shown) = terminal.ended().await;
    assert!(status.success() && shown.contains("serve does when it starts"), "{shown}");
    for restart in 0..2 {
        let proxy = serve(&vendor, &state).await;
        let answer = proxy.get(&path(&synthetic(restart, 2))).await;
        assert_eq!(answer.status, 200);
        proxy.sigterm();
        assert!(proxy.finished().await.status.success());
    }
}

#[tokio::test]
async fn check_takes_nothing_of_what_a_login_left() {
    let (vendor, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let login = TokenRecord::new(vendor.sim.refresh_token().into());
    Inbox::of(dir.path()).leave(&login).await.unwrap();
    let run = Run::finish(&["check"], &serving(&vendor, dir.path())).await;
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["login.json"]);
    let proxy = serve(&vendor, dir.path()).await;
    assert_eq!(proxy.get(&path(&synthetic(1, 2))).await.status, 200);
}

#[tokio::test]
async fn a_login_that_is_denied_or_cannot_begin_says_why() {
    let (vendor, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let mut terminal = Terminal::login(&settings(&vendor, dir.path()));
    let code = terminal.code().await;
    assert!(vendor.sim.decide(&code, Decision::Deny));
    let (status, shown) = terminal.ended().await;
    assert_eq!(status.code(), Some(69));
    assert!(shown.ends_with("login: access was denied in the browser\n"), "{shown}");

    for (key, value, code, said) in [
        ("token.client_id", "nobody", 78, "login: the application is refused (invalid_client)"),
        (
            "token.device_authorization_url",
            "http://127.0.0.1:9/device",
            69,
            "login: the authorization server: connecting failed",
        ),
    ] {
        let mut all = settings(&vendor, dir.path());
        all.extend(environment(&[(key, value)]));
        let run = Run::finish(&["login"], &all).await;
        assert_eq!(run.status.code(), Some(code), "{run:?}");
        assert!(run.stderr.concat().starts_with(said), "{run:?}");
    }
    let homeless: Vec<_> =
        settings(&vendor, dir.path()).into_iter().filter(|(name, _)| !name.ends_with("DIR")).collect();
    let run = Run::finish(&["login"], &homeless).await;
    assert_eq!(run.status.code(), Some(78));
    assert!(run.stderr.concat().contains("state.dir"), "{run:?}");
}

#[tokio::test]
async fn nobody_is_asked_for_a_consent_that_could_not_be_kept() {
    let (vendor, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let file = dir.path().join("file");
    File::create(&file).unwrap();
    // Neither can be written to, not even by root: no directory, and one of the kernel's.
    for state in [&file.join("state"), Path::new("/proc")] {
        let run = Run::finish(&["login"], &settings(&vendor, state)).await;
        assert_eq!(run.status.code(), Some(78), "{run:?}");
        assert!(run.stderr.concat().starts_with("state.dir: "), "{run:?}");
        assert!(run.stdout.is_empty() && vendor.sim.seen().is_empty(), "{run:?}");
    }
}
