//! The commands beside `serve`, as a person types them.

use std::{fs, io::Write as _, path::PathBuf, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpListener,
    process::Command,
};

use crate::support::{Proxy, Run, Upstream, environment, get, soon};

const GOOD: [(&str, &str); 4] = [
    ("server.listen", "127.0.0.1:0"),
    ("admin.listen", "127.0.0.1:0"),
    ("token.source", "static"),
    ("token.access_token", "a-token-that-must-not-be-shown"),
];

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_the_effective_settings_without_secrets() {
    let mut settings = GOOD.to_vec();
    settings.push(("cache.ttl", "7m"));
    let finished = Run::finish(&["check"], &environment(&settings)).await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let printed = finished.stdout.join("\n");
    assert!(printed.contains("7m"), "{printed}");
    assert!(printed.contains("[redacted]"), "{printed}");
    assert!(!format!("{finished:?}").contains("must-not-be-shown"), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_check_prints_is_a_settings_file_and_says_where_each_value_comes_from() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let file = dir.path().join("given.toml");
    std::fs::write(&file, "[cache]\nttl = \"7m\"\nempty_ttl = \"7s\"\n").expect("a file");
    let mut variables = environment(&[&GOOD[..], &[("cache.ttl", "9m")]].concat());
    // For every command, instead of --config.
    variables.push(("LINK_REPORT_PROXY_CONFIG".to_owned(), file.to_str().expect("UTF-8").to_owned()));
    variables.push(("LINK_REPORT_PROXY_CACHE_TTL".to_owned(), "8m".to_owned()));
    let print = async |arguments: &[&str]| {
        let finished = Run::finish(&[&["check"], arguments].concat(), &variables).await;
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        assert!(!format!("{finished:?}").contains("must-not-be-shown"), "{finished:?}");
        let warning = "warning: LINK_REPORT_PROXY_CACHE_TTL sets nothing and is ignored: did you mean \
            LINK_REPORT_PROXY__CACHE__TTL?";
        assert_eq!(finished.stderr, [warning]);
        finished.stdout
    };
    let lines = print(&["--show-origin"]).await;
    for (key, value, origin) in [
        ("ttl", "\"9m\"", "LINK_REPORT_PROXY__CACHE__TTL"),
        ("empty_ttl", "\"7s\"", file.to_str().expect("UTF-8")),
        ("negative_ttl", "\"1m\"", "default"),
        ("per_second", "4", "default"),
    ] {
        let line = format!("{key} = {value}  # {origin}");
        assert!(lines.contains(&line), "{line}: {lines:?}");
    }
    let json = print(&["--format", "json"]).await.join("\n");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json["cache"]["ttl"], &json["quota"]["per_second"]), (&"9m".into(), &4.into()));
    assert!(
        print(&["--format", "env"]).await.contains(&"LINK_REPORT_PROXY__CACHE__EMPTY_TTL='7s'".to_owned())
    );

    // The file that it prints sets the same.
    let secret = |line: &&String| !line.starts_with("access_token =");
    let printed = print(&[]).await;
    let again = printed.iter().filter(secret).cloned().collect::<Vec<_>>().join("\n");
    std::fs::write(&file, again).expect("a file");
    assert_eq!(print(&[]).await, printed);
}

#[tokio::test(flavor = "multi_thread")]
async fn config_default_prints_the_commented_defaults() {
    let finished = Run::finish(&["config", "default"], &[]).await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert_eq!(finished.stdout.join("\n") + "\n", include_str!("../../../config/default.toml"));
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_needs_no_token_and_no_other_setting() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    let finished =
        Run::finish(&["healthcheck"], &environment(&[("admin.listen", &proxy.admin.to_string())])).await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_explains_what_is_wrong_with_78() {
    let mut settings = GOOD.to_vec();
    settings.push(("cache.ttl", "0s"));
    let finished = Run::finish(&["check"], &environment(&settings)).await;
    assert_eq!(finished.status.code(), Some(78), "{finished:?}");
    assert!(finished.stderr.iter().any(|line| line.contains("cache.ttl")), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn healthcheck_asks_readyz() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&upstream, &[]).await;
    let admin = proxy.admin.to_string();
    let ask = [GOOD[0], ("admin.listen", admin.as_str()), GOOD[2], GOOD[3]];
    let finished = Run::finish(&["healthcheck"], &environment(&ask)).await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");

    proxy.sigterm();
    assert_eq!(proxy.finished().await.status.code(), Some(0));
    let finished = Run::finish(&["healthcheck"], &environment(&ask)).await;
    assert_eq!(finished.status.code(), Some(69), "{finished:?}");
    assert_eq!(finished.stderr.len(), 1, "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_completion_script_of_each_shell_knows_the_commands_and_bash_can_parse_its_own() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let finished = Run::finish(&["completions", shell], &[]).await;
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        let script = finished.stdout.join("\n");
        assert!(script.contains("healthcheck") && script.contains("show-origin"), "{shell}: {script}");
        if shell == "bash" {
            let parsed = Command::new("bash").args(["-n", "-c", &script]).output().await.expect("bash");
            assert!(parsed.status.success() && parsed.stderr.is_empty(), "{parsed:?}");
            // What Tab completes: the arguments that begin like the last word.
            let press = "COMP_WORDS=(link-report-proxy check --pr) COMP_CWORD=2\n\
                complete=$(complete -p link-report-proxy | grep -oP '(?<=-F )\\S+') && $complete link-report-proxy --pr check && echo \"${COMPREPLY[@]}\"";
            let press = Command::new("bash").args(["-c", &format!("{script}\n{press}")]).output().await;
            assert_eq!(String::from_utf8_lossy(&press.expect("bash").stdout), "--probe\n");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manual_has_a_page_for_the_program_and_one_for_each_command() {
    let page = async |arguments: &[&str]| {
        let finished = Run::finish(&[&["man"], arguments].concat(), &[]).await;
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        finished.stdout.join("\n").replace('\\', "")
    };
    let program = page(&[]).await;
    let commands = [
        "serve",
        "check",
        "config",
        "login",
        "demo",
        "simulator",
        "healthcheck",
        "plan",
        "completions",
        "man",
    ];
    for command in commands {
        assert!(program.contains(&format!("link-report-proxy-{command}(1)")), "{command}: {program}");
        let own = page(&[command]).await;
        assert!(
            own.starts_with(".ie") && own.contains(&format!(".TH link-report-proxy-{command} 1")),
            "{own}"
        );
    }
    assert!(page(&["check"]).await.contains("--show-origin"));
    let finished = Run::finish(&["man", "nothing"], &[]).await;
    assert_eq!(finished.status.code(), Some(78), "{finished:?}");
    assert_eq!(finished.stderr, ["man: there is no command \"nothing\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn help_and_version_go_to_stdout_with_0() {
    for argument in ["--help", "--version"] {
        let finished = Run::finish(&[argument], &[]).await;
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        assert!(finished.stdout.join("\n").contains("link-report-proxy"), "{finished:?}");
        assert!(finished.stderr.is_empty(), "{finished:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_with_the_settings_that_the_simulator_prints_serves_its_reports() {
    let mut simulator = Run::start(&["simulator", "--listen", "127.0.0.1:0"], &[]);
    simulator.stdout_line(|line| line.contains("REFRESH_TOKEN=").then_some(())).await;
    let printed = simulator.stdout_now();
    let printed = printed.iter().filter_map(|line| line.split_once('='));
    let mut settings = environment(&GOOD[..2]);
    settings.extend(printed.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let proxy = Proxy::listening(Run::start(&["serve"], &settings)).await;
    let report = "/v3/reports/email_reports/0000000a-0000-4000-8000-000000000003/links";
    assert_eq!(proxy.get(report).await.status, 200);
    simulator.sigterm();
    assert_eq!(simulator.finished().await.status.code(), Some(0));
}

/// Starts a demo, pastes its lines, and leaves it running.
async fn with_its_curl_lines_pasted(arguments: &[&str]) -> Run {
    let ports = [("server.listen", "127.0.0.1:0"), ("admin.listen", "127.0.0.1:0")];
    let mut demo = Run::start(arguments, &environment(&ports));
    let printed = demo.paste_curl_lines().await;
    for text in &printed {
        assert!(!text.contains("HTTP/1.1 5") && !text.contains("HTTP/1.1 4"), "{text}");
    }
    assert!(printed.len() >= 3, "{printed:?}");
    demo
}

#[tokio::test(flavor = "multi_thread")]
async fn the_curl_lines_that_demo_prints_work_when_pasted() {
    let demo = with_its_curl_lines_pasted(&["demo"]).await;
    demo.sigterm();
    let finished = demo.finished().await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_says_where_everything_is_what_to_expect_and_how_to_try_login() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = free.local_addr().expect("an address").port().to_string();
    drop(free);
    let ports = [("server.listen", "127.0.0.1:0"), ("admin.listen", "127.0.0.1:0")];
    let mut demo = Run::start(&["demo", "--simulator-port", &port], &environment(&ports));
    demo.stdout_line(|line| line.contains("Stop with Ctrl-C").then_some(())).await;
    let text = demo.stdout_now().join("\n");
    for part in [
        "link-report-proxy demo: the proxy in front of a simulated Constant Contact, all on this machine.",
        "  data port      http://127.0.0.1:",
        "  admin port     http://127.0.0.1:",
        &format!("  Constant Contact, simulated: http://127.0.0.1:{port}\n"),
        "Campaigns (a report is fresh for 30s, as cache.ttl says):\n  ",
        "Try, twice, and look at Age and Cache-Status:",
        "Let Constant Contact fail; after 30s reports are still served",
        "Five failed calls in a row open the circuit: for 10 s",
        "others get 503; the first call that succeeds ends it.",
        &format!("Further faults, and how to inject them: http://127.0.0.1:{port}/_simulator/\n"),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let page = get(format!("127.0.0.1:{port}").parse().expect("an address"), "/_simulator/", &[]).await;
    assert!(page.status == 200 && page.text().contains("status-503"), "{page:?}");
    // The line for another terminal asks the simulator, and writes nowhere but into a new directory.
    let line = text.lines().map(str::trim).find(|line| line.ends_with("login")).expect("a line");
    let dir = tempfile::tempdir().expect("a directory");
    let mut login = Command::new("bash");
    login.args(["-c", line]).env("TMPDIR", dir.path()).kill_on_drop(true).stdout(Stdio::piped());
    let mut login = login.spawn().expect("bash");
    let mut printed = BufReader::new(login.stdout.take().expect("a pipe")).lines();
    let address = soon("an address to open", async {
        loop {
            let line = printed.next_line().await.expect("a pipe").expect("it goes on");
            if line.trim().starts_with("http") {
                return line;
            }
        }
    });
    let activate = format!("http://127.0.0.1:{port}/activate");
    assert!(address.await.trim().starts_with(&activate));
    login.kill().await.expect("it waits for the approval");
    let made = std::fs::read_dir(dir.path()).expect("a directory").count();
    assert_eq!(made, 1, "its state.dir");
    demo.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_demo_prints_what_its_viewers_were_answered_and_what_that_cost() {
    let mut demo = with_its_curl_lines_pasted(&["demo", "--busy"]).await;
    // `day 1 09:10   29 calls (2.9 a second),  108 answers, 7.75 clicks missed per answer, 218 clicks happened`
    let figures = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let before = |word: &str| {
            let at = words.iter().position(|found| found.trim_end_matches(',') == word)?;
            words[at.checked_sub(1)?].parse::<f64>().ok()
        };
        Some((before("calls")?, before("answers")?, words[words.len().checked_sub(3)?].parse::<f64>().ok()?))
    };
    let (calls, answers, happened) = demo.stdout_line(figures).await;
    let lines = demo.stdout_now();
    // 24 campaigns are polled, and the quota allows 10 calls a second; most answers come from memory.
    assert!((24.0..=100.0).contains(&calls) && answers > calls && happened > 0.0, "{lines:?}");
    let line = lines.iter().find(|line| figures(line).is_some()).expect("that line");
    assert!(line.contains("clicks missed per answer") && !line.contains("without a report"), "{line}");
    demo.sigterm();
    let finished = demo.finished().await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(finished.stderr.is_empty(), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_has_lifetimes_of_its_own_which_a_file_overrides_and_the_environment_both() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("settings.toml");
    std::fs::write(&file, "[cache]\nttl = '7m'\n").expect("a file");
    let file = ["demo", "--config", file.to_str().expect("UTF-8")];
    let ports = [("server.listen", "127.0.0.1:0"), ("admin.listen", "127.0.0.1:0")];
    let hour = [ports[0], ports[1], ("cache.ttl", "1h")];
    for (arguments, settings, ttl) in
        [(&file[..1], &ports[..], "30s"), (&file[..], &ports[..], "7m"), (&file[..], &hour[..], "1h")]
    {
        let mut demo = Run::start(arguments, &environment(settings));
        let admin = |line: &str| Some(line.trim().strip_prefix("admin port")?.trim().to_owned());
        let admin = demo.stdout_line(admin).await;
        let admin = admin.strip_prefix("http://").and_then(|admin| admin.parse().ok()).expect("an address");
        let config = get(admin, "/config", &[]).await.json();
        assert_eq!(
            (config["cache"]["ttl"].as_str(), config["cache"]["empty_ttl"].as_str()),
            (Some(ttl), Some("15s"))
        );
        let said = format!("a report is fresh for {ttl}, ");
        demo.stdout_line(|line| line.contains(&said).then_some(())).await;
        demo.kill().await;
    }
}

/// A program that waits for a file at its start, and that file.
async fn starting() -> (Run, fs::File, tempfile::TempDir) {
    let dir = tempfile::TempDir::new().expect("a directory");
    // Pipes in the place of a file: each read waits for the test.
    let [tokens, next] = ["tokens", "next"].map(|name| dir.path().join(name));
    assert!(Command::new("mkfifo").args([&tokens, &next]).status().await.expect("mkfifo").success());
    let mut settings = GOOD.to_vec();
    settings.push(("clients.tokens_file", tokens.to_str().expect("UTF-8")));
    let run = Run::start(&["serve"], &environment(&settings));
    let reads = async |what: &str| {
        let open = |pipe: PathBuf| fs::OpenOptions::new().write(true).open(pipe);
        let pipe = tokens.clone();
        soon(what, tokio::task::spawn_blocking(move || open(pipe))).await.expect("no panic").expect("a pipe")
    };
    let mut checked = reads("the check of the settings").await;
    fs::rename(&next, &tokens).expect("another pipe");
    checked.write_all(b"a-token-of-a-client").expect("a reader");
    drop(checked);
    (run, reads("the start").await, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sigterm_that_comes_while_it_starts_is_heeded_once_it_has_started() {
    let (run, mut built, _dir) = starting().await;
    run.sigterm();
    built.write_all(b"a-token-of-a-client").expect("a reader");
    drop(built);
    let finished = run.finished().await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_start_that_hangs() {
    let (run, _never_written, _dir) = starting().await;
    run.sigterm();
    run.sigint();
    let finished = run.finished().await;
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}
