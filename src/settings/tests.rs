//! The contract's promises about settings, through [`Settings::load`].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::{ClientNoCache, Settings, TokenSourceKind};

const TOKEN: (&str, &str) = ("LINK_REPORT_PROXY__TOKEN__ACCESS_TOKEN", "hush-hush");
pub(super) const DEFAULTS: &str = include_str!("../../config/default.toml");
const EXAMPLE: &str = include_str!("../../config/example.toml");

/// Loads `toml` as the file, with a token from the environment and `env` besides.
pub(super) fn load(toml: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("settings.toml");
    fs::write(&path, toml).unwrap();
    let env = std::iter::once(TOKEN).chain(env.iter().copied());
    Settings::load(Some(&path), env).map_err(|error| error.to_string())
}

fn load_bare(toml: &str) -> Result<Settings, String> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("settings.toml");
    fs::write(&path, toml).unwrap();
    Settings::load(Some(&path), [("PATH", "/bin")]).map_err(|error| error.to_string())
}

fn secret_file(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("secret");
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn each_wrong_setting_is_refused_in_one_line_that_begins_with_its_key() {
    let table = [
        // What is not a key.
        ("cache.tll = '5m'", "cache.tll: unknown key"),
        ("cahce.ttl = '5m'", "cahce: unknown key"),
        ("token.toke_url = 'https://authz.example'", "token.toke_url: unknown key"),
        ("\"cache\\n.ttl\" = 1", "cache\\n.ttl: unknown key"),
        ("cache = 5", "cache: is a group"),
        // What is not a value.
        ("cache.ttl = 300", "cache.ttl: \"300\" is not a valid duration"),
        ("cache.ttl = '-5m'", "cache.ttl: \"-5m\" is not a valid duration"),
        ("cache.ttl = '1000y'", "cache.ttl: \"1000y\" is too long"),
        ("cache.ttl = ['5m']", "cache.ttl: must be one value"),
        ("cache.ttl = ''", "cache.ttl: is empty"),
        ("cache.max_bytes = '64 apples'", "cache.max_bytes: \"64 apples\" is not a valid size"),
        ("cache.ttl_jitter = 'some'", "cache.ttl_jitter: \"some\" is not a valid number"),
        ("cache.client_no_cache = 'obey'", "cache.client_no_cache: must be one of: ignore, limited"),
        ("cache.refresh = 'often'", "cache.refresh: must be one of: planned, fixed, before"),
        ("server.listen = 8080", "server.listen: \"8080\" is not a valid address"),
        ("server.listen = 'localhost:8080'", "server.listen: \"localhost:8080\" is not a valid address"),
        ("server.max_connections = 1.5", "server.max_connections: \"1.5\" is not a valid whole number"),
        ("server.max_in_flight = 0", "server.max_in_flight: \"0\" is not a valid whole number from 1"),
        ("server.workers = 0", "server.workers: \"0\" is not a valid whole number from 1"),
        ("server.workers = 1025", "server.workers: must be at most 1024"),
        ("token.client_secret = '[redacted]'", "token.client_secret: is \"[redacted]\""),
        ("quota.per_second = -1", "quota.per_second: \"-1\" is not a valid whole number from 0"),
        ("clients.allow_anonymous = 'yes'", "clients.allow_anonymous: \"yes\" is neither"),
        ("cors.allowed_origins = ['*']", "cors.allowed_origins: \"*\" is not a valid origin"),
        ("cors.allowed_origins = 5", "cors.allowed_origins: must be a list"),
        ("log.level = 'loud'", "log.level: \"loud\" must be one of"),
        ("log.format = 'xml'", "log.format: must be one of: json, text"),
        ("token.source = 'vault'", "token.source: must be one of: static, file, refresh"),
        ("upstream.base_url = 'api.cc.email'", "upstream.base_url: must begin with https://"),
        ("upstream.base_url = 'ftp://api.cc.email'", "upstream.base_url: must begin with https://"),
        ("upstream.base_url = 'https://api.cc.email/v3'", "upstream.base_url: must end after the host"),
        ("upstream.base_url = 'https://api.cc.email?x'", "upstream.base_url: must end after the host"),
        ("upstream.base_url = 'https://u:p@api.cc.email'", "upstream.base_url: must hold no user"),
        // What is out of range.
        ("cache.ttl = '0s'", "cache.ttl: must be longer than 0s"),
        ("cache.empty_ttl = 0", "cache.empty_ttl: must be longer than 0s"),
        ("cache.negative_ttl = '0s'", "cache.negative_ttl: must be longer than 0s"),
        ("cache.client_no_cache_interval = '0s'", "cache.client_no_cache_interval: must be longer than 0s"),
        ("server.request_timeout = '0s'", "server.request_timeout: must be longer than 0s"),
        ("server.header_timeout = '0s'", "server.header_timeout: must be longer than 0s"),
        ("server.idle_timeout = '0s'", "server.idle_timeout: must be longer than 0s"),
        ("upstream.connect_timeout = '0s'", "upstream.connect_timeout: must be longer than 0s"),
        ("upstream.attempt_timeout = '0s'", "upstream.attempt_timeout: must be longer than 0s"),
        ("circuit.open_min = '0s'", "circuit.open_min: must be longer than 0s"),
        ("circuit.open_max = '0s'", "circuit.open_max: must be longer than 0s"),
        ("cache.max_bytes = '1023KiB'", "cache.max_bytes: must be at least 1MiB"),
        ("upstream.max_body = 0", "upstream.max_body: must be larger than 0"),
        ("cache.ttl_jitter = 0.51", "cache.ttl_jitter: must be a fraction from 0 to 0.5"),
        ("quota.reserve = 0.91", "quota.reserve: must be a fraction from 0 to 0.9"),
        ("quota.reserve = -0.1", "quota.reserve: must be a fraction from 0 to 0.9"),
        ("cache.ttl_jitter = nan", "cache.ttl_jitter: must be a fraction from 0 to 0.5"),
        // What does not go together.
        (
            "upstream.connect_timeout = '11s'",
            "upstream.connect_timeout: 11s is longer than upstream.attempt_timeout",
        ),
        (
            "upstream.attempt_timeout = '16s'",
            "upstream.attempt_timeout: 16s is longer than server.request_timeout",
        ),
        ("circuit.open_min = '2m'", "circuit.open_min: 2m is longer than circuit.open_max"),
        ("upstream.base_url = 'http://api.cc.email'", "upstream.base_url: must be https"),
        ("upstream.base_url = 'http://127.0.0.1.example'", "upstream.base_url: must be https"),
        ("admin.listen = '127.0.0.1:8080'", "admin.listen: takes the port of server.listen"),
        (
            "telemetry.otlp_endpoint = 'collector:4317'",
            "telemetry.otlp_endpoint: must begin with http:// or https://",
        ),
        ("telemetry.trace_ratio = 1.1", "telemetry.trace_ratio: must be a fraction from 0 to 1"),
        ("telemetry.trace_ratio = nan", "telemetry.trace_ratio: must be a fraction from 0 to 1"),
        ("admin.listen = '0.0.0.0:8080'", "admin.listen: takes the port of server.listen"),
        ("server.listen = '0.0.0.0:8080'", "server.listen: is not loopback"),
        ("server.listen = '[::]:8080'", "server.listen: is not loopback"),
        (
            "token.access_token_file = '/dev/null'",
            "token.access_token_file: is set and so is token.access_token",
        ),
        ("token.source = 'file'", "token.access_token: is not used by token.source = \"file\""),
        // What cannot be read.
        ("admin.token_file = '/nowhere/x'", "admin.token_file: the file cannot be read"),
        ("admin.token_file = '/dev/null'", "admin.token_file: the file is empty"),
        ("clients.tokens_file = '/nowhere/x'", "clients.tokens_file: the file cannot be read"),
        ("clients.tokens_file = '/dev/null'", "clients.tokens_file: the file is empty"),
    ];
    for (toml, line) in table {
        let error = load(toml, &[]).expect_err(toml);
        assert!(error.starts_with(line), "{toml}: {error}");
        assert_eq!(error.lines().count(), 1, "{toml}: {error}");
    }
}

#[test]
fn a_token_source_needs_exactly_its_own_key() {
    let table = [
        ("", "token.access_token: is missing"),
        ("token.source = 'file'", "token.access_token_file: is missing"),
        ("token.access_token_file = '/dev/null'", "token.access_token_file: is not used"),
        (
            "token.source = 'file'\ntoken.access_token_file = '/dev/null'",
            "token.access_token_file: the file is empty",
        ),
        ("token.refresh_token = 'hush'", "token.refresh_token: is not used by token.source = \"static\""),
        ("[token]\nsource = 'refresh'\nrefresh_token = 'hush'", "token.client_id: is missing"),
        ("[token]\nsource = 'refresh'\nclient_id = 'x'", "token.refresh_token: is missing"),
        (
            "[token]\nsource = 'refresh'\nclient_id = 'x'\nrefresh_token = 'hush'\naccess_token = 'hush'",
            "token.access_token: is not used by token.source = \"refresh\"",
        ),
        (
            "[token]\nsource = 'refresh'\nclient_id = 'x'\nrefresh_token = 'hush'\nrefresh_token_file = '/x'",
            "token.refresh_token_file: is set and so is token.refresh_token",
        ),
        (
            "[token]\nsource = 'refresh'\nclient_id = 'x'\nrefresh_token_file = '/nowhere/x'",
            "token.refresh_token_file: the file cannot be read",
        ),
        ("token.token_url = 'http://authz.example/token'", "token.token_url: must be https"),
        (
            "token.device_authorization_url = 'https://hush:hush@authz.example'",
            "token.device_authorization_url: must hold no user",
        ),
        ("token.access_token = ''", "token.access_token: is empty"),
        ("token.access_token = 12345", "token.access_token: must be a string"),
        ("token.access_token = ['hush']", "token.access_token: must be a string"),
        ("token.access_token = \"hush\\u0007\"", "token.access_token: holds a space, a control character"),
        ("token.access_token = 'hush hush'", "token.access_token: holds a space"),
        ("token.access_token = \"hush\\n\"", "token.access_token: begins or ends with white space"),
    ];
    for (toml, line) in table {
        let error = load_bare(toml).expect_err(toml);
        assert!(error.starts_with(line), "{toml}: {error}");
        assert!(!error.contains("hush") && !error.contains("12345"), "{error}");
    }
    let dir = TempDir::new().unwrap();
    let path = secret_file(&dir, "from-file\n");
    let settings =
        load_bare(&format!("token = {{ source = 'file', access_token_file = {path:?} }}")).unwrap();
    assert_eq!(settings.token.source, TokenSourceKind::File);
    assert_eq!(settings.token.access_token_file.unwrap().read().unwrap().expose_secret(), "from-file");
}

#[test]
fn a_refresh_token_may_come_from_the_settings_or_from_a_login() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("state");
    let refresh = "[token]\nsource = 'refresh'\nclient_id = 'x'";
    let settings = load_bare(&format!("state.dir = {state:?}\n{refresh}")).unwrap();
    assert_eq!((settings.token.source, settings.state.dir), (TokenSourceKind::Refresh, Some(state.clone())));
    assert!(!state.exists(), "loading touches nothing");
    assert!(load_bare(&format!("{refresh}\nrefresh_token = 'hush'\nclient_secret = 'hush'")).is_ok());
    let loopback = "token_url = 'http://127.0.0.1:1/token'";
    assert!(load_bare(&format!("{refresh}\nrefresh_token = 'hush'\n{loopback}")).is_ok());
    fs::write(&state, "").unwrap();
    let error = load_bare(&format!("state.dir = {state:?}\n{refresh}")).unwrap_err();
    assert!(error.starts_with("state.dir: is not a directory"), "{error}");
}

#[test]
fn an_open_data_port_needs_tokens_or_an_explicit_word() {
    let dir = TempDir::new().unwrap();
    let tokens = format!("tokens_file = {:?}", secret_file(&dir, "one\ntwo\n"));
    let open = |clients: &str| load(&format!("server.listen = '0.0.0.0:80'\n[clients]\n{clients}"), &[]);
    assert!(open("").is_err());
    assert!(open(&tokens).is_ok());
    assert!(open("allow_anonymous = true").is_ok());
    let both = open(&format!("{tokens}\nallow_anonymous = true")).unwrap_err();
    assert!(both.starts_with("clients.allow_anonymous: contradicts clients.tokens_file"), "{both}");
}

#[test]
fn http_is_for_a_loopback_upstream_only() {
    for host in ["localhost:81", "LOCALHOST", "127.0.0.1", "127.9.9.9:81", "[::1]:81"] {
        assert!(load(&format!("upstream.base_url = 'http://{host}'"), &[]).is_ok(), "{host}");
    }
    for host in ["localhost.example", "10.0.0.1", "[::2]", "0.0.0.0"] {
        assert!(load(&format!("upstream.base_url = 'http://{host}'"), &[]).is_err(), "{host}");
    }
}

#[test]
fn every_problem_is_reported_in_one_run_and_a_variable_is_named() {
    let error =
        load("cache.ttl = 'x'\nlog.size = 3", &[("LINK_REPORT_PROXY__QUOTA__PER_DAY", "many")]).unwrap_err();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[0].starts_with("cache.ttl: "));
    assert!(lines[1].starts_with("quota.per_day: "));
    assert!(lines[1].ends_with("(set by LINK_REPORT_PROXY__QUOTA__PER_DAY)"));
    assert!(lines[2].starts_with("log.size: unknown key"));

    let checked = load("", &[("LINK_REPORT_PROXY__CACHE__TTL", "0s")]).unwrap_err();
    assert!(checked.ends_with("(set by LINK_REPORT_PROXY__CACHE__TTL)"), "{checked}");
    let unknown = load("", &[("LINK_REPORT_PROXY__CACHE__TLL", "5m")]).unwrap_err();
    assert!(unknown.starts_with("cache.tll: unknown key"), "{unknown}");
    let empty = load("", &[("LINK_REPORT_PROXY__CLIENTS__TOKENS_FILE", "")]).unwrap_err();
    assert!(empty.starts_with("clients.tokens_file: is empty"), "{empty}");
    let below = load("", &[("LINK_REPORT_PROXY__CACHE__TTL__X", "5m")]).unwrap_err();
    assert!(below.ends_with("(set by LINK_REPORT_PROXY__CACHE__TTL__X)"), "{below}");
    let twice = [("LINK_REPORT_PROXY__cache__ttl", "7m"), ("LINK_REPORT_PROXY__CACHE__TTL", "9m")];
    let twice = load("", &twice).unwrap_err();
    let both = "cache.ttl: is set by LINK_REPORT_PROXY__CACHE__TTL and by LINK_REPORT_PROXY__cache__ttl";
    assert!(twice.starts_with(both), "{twice}");
}

#[test]
fn a_file_that_is_no_toml_is_refused_without_quoting_it() {
    for toml in [
        "[token]\naccess_token = hush",
        "[token]\naccess_token = 'hush\n",
        "a = 1\nhush = 'hush' 'hush'",
        "hush = 1\nhush = 2",
    ] {
        let error = load(toml, &[]).unwrap_err();
        assert!(error.starts_with("--config: /"), "the file is named: {error}");
        assert!(error.contains(".toml: TOML parse error at line 2"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!error.contains("hush"), "{error}");
    }
    let missing = Settings::load(Some(Path::new("/nowhere/x.toml")), [TOKEN]).unwrap_err().to_string();
    assert!(missing.starts_with("--config: /nowhere/x.toml cannot be read"), "{missing}");
}

#[test]
fn the_file_goes_over_the_defaults_and_the_environment_over_the_file() {
    let toml = "[cache]\nttl = '7m'\nempty_ttl = '7s'";
    let settings = load(toml, &[("LINK_REPORT_PROXY__CACHE__TTL", "9m")]).unwrap();
    assert_eq!(settings.cache.ttl, Duration::from_secs(9 * 60));
    assert_eq!(settings.cache.empty_ttl, Duration::from_secs(7));
    assert_eq!(settings.cache.negative_ttl, Duration::from_secs(60));
}

#[test]
fn a_variable_is_read_by_the_type_of_its_key_and_never_guessed() {
    for token in ["0123", "1e5", "true", "0x1f", "a,b", "[1]"] {
        let settings = Settings::load(None, [(TOKEN.0, token)]).unwrap();
        assert_eq!(settings.token.access_token.unwrap().expose_secret(), token);
    }
    let settings = load(
        "cors.allowed_origins = ['https://file.example']",
        &[
            ("LINK_REPORT_PROXY__SERVER__LISTEN", "127.0.0.1:0"),
            ("LINK_REPORT_PROXY__ADMIN__LISTEN", "127.0.0.1:0"),
            ("LINK_REPORT_PROXY__SERVER__WORKERS", "2"),
            ("LINK_REPORT_PROXY__CORS__ALLOWED_ORIGINS", "https://a.example, http://localhost:3000"),
            ("LINK_REPORT_PROXY__CACHE__TTL_JITTER", "0"),
            ("LINK_REPORT_PROXY__CACHE__MAX_BYTES", "1048576"),
            ("LINK_REPORT_PROXY__CACHE__STALE_IF_ERROR", "0"),
            ("LINK_REPORT_PROXY__CACHE__CLIENT_NO_CACHE", "limited"),
            ("LINK_REPORT_PROXY__CLIENTS__ALLOW_ANONYMOUS", "true"),
            ("LINK_REPORT_PROXY__QUOTA__PER_SECOND", "0"),
            // Kubernetes sets these for a Service of the proxy's name.
            ("LINK_REPORT_PROXY_PORT", "tcp://10.0.0.1:8080"),
            ("LINK_REPORT_PROXY_SERVICE_HOST", "10.0.0.1"),
        ],
    )
    .unwrap();
    assert_eq!(settings.server.workers.map(usize::from), Some(2));
    let origins: Vec<_> =
        settings.cors.allowed_origins.iter().map(super::enums::CorsOrigin::header).collect();
    assert_eq!(origins, ["https://a.example", "http://localhost:3000"]);
    assert!(settings.cache.ttl_jitter.abs() < f64::EPSILON);
    assert_eq!(settings.cache.max_bytes.as_u64(), 1 << 20);
    assert_eq!(settings.cache.stale_if_error, Duration::ZERO);
    assert_eq!(settings.cache.client_no_cache, ClientNoCache::Limited);
    assert!(settings.clients.allow_anonymous);
    assert_eq!(settings.quota.per_second, 0);
    let none = load(
        "cors.allowed_origins = ['https://file.example']",
        &[("LINK_REPORT_PROXY__CORS__ALLOWED_ORIGINS", "")],
    );
    assert!(none.unwrap().cors.allowed_origins.is_empty());
}

#[test]
#[cfg(unix)]
fn a_variable_that_is_no_text_is_refused_if_it_is_ours_and_ignored_if_not() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let odd = || OsString::from_vec(vec![0xff]);
    let with =
        |name: &str| Settings::load(None, [(TOKEN.0.into(), TOKEN.1.into()), (OsString::from(name), odd())]);
    assert!(with("LS_COLORS").is_ok());
    let error = with("LINK_REPORT_PROXY__LOG__LEVEL").unwrap_err().to_string();
    assert!(error.starts_with("log.level: is not UTF-8"), "{error}");
}

#[test]
fn a_secret_shows_in_no_form_of_the_settings() {
    let settings = load("", &[]).unwrap();
    assert!(!format!("{settings:?}").contains("hush"));
    assert!(!settings.effective().to_string().contains("hush"));
    insta::assert_snapshot!(
        "effective_defaults",
        serde_json::to_string_pretty(&settings.effective()).unwrap()
    );
}

#[test]
fn the_example_loads_once_a_token_is_given() {
    assert!(load_bare(EXAMPLE).unwrap_err().starts_with("token.access_token: is missing"));
    load(EXAMPLE, &[]).unwrap();
}
