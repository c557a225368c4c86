//! `shared.*`, through [`Settings::load`](super::Settings::load).

use std::fs;

use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::{StoreEncryption, StoreNamespace, tests::load};

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn shared(toml: &str) -> Result<super::Settings, String> {
    load(&format!("[shared]\n{toml}"), &[])
}

#[test]
fn a_wrong_setting_of_the_store_is_refused_in_one_line_that_begins_with_its_key() {
    let named = "namespace = 'x'\nurl = 'redis://h'";
    let long = "x".repeat(65);
    let dir = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (short_key, no_url, clear_url) =
        (file("key", &KEY[..32]), file("url", "http://hush"), file("clear", "redis://:hush@h\n"));
    for (toml, line) in [
        ("url = 'http://u:hush@h'".to_owned(), "shared.url: must begin with redis://"),
        ("url = 'redis://u:hush@h:x'".to_owned(), "shared.url: holds no valid host and port"),
        (
            "url = 'redis://h'".to_owned(),
            "shared.namespace: is missing: its default is made of token.client_id",
        ),
        ("url = 'redis://h'\nurl_file = '/x'".to_owned(), "shared.url_file: is set and so is shared.url"),
        ("namespace = 'x'\nurl_file = '/nowhere/x'".to_owned(), "shared.url_file: the file cannot be read"),
        (
            format!("namespace = 'x'\nurl_file = '{no_url}'"),
            "shared.url_file: the file's URL must begin with",
        ),
        ("url = 'redis://h'\nnamespace = 'a{b'".to_owned(), "shared.namespace: must be 1 to 64 letters"),
        (format!("url = 'redis://h'\nnamespace = '{long}'"), "shared.namespace: must be 1 to 64 letters"),
        (format!("{named}\nkey_file = '/nowhere/x'"), "shared.key_file: the file cannot be read"),
        (format!("{named}\nkey_file = '{short_key}'"), "shared.key_file: the file's key is not 32 bytes"),
        (format!("{named}\nca_file = '/x'"), "shared.ca_file: is not used without TLS"),
        (
            format!("namespace = 'x'\nurl_file = '{clear_url}'\nca_file = '/x'"),
            "shared.ca_file: is not used without",
        ),
        (format!("{named}\nreplicas = 0"), "shared.replicas: \"0\" is not a valid whole number from 1"),
        (format!("{named}\ntimeout = '0s'"), "shared.timeout: must be a time from 1ms to 5s"),
        (format!("{named}\ntimeout = '6s'"), "shared.timeout: must be a time from 1ms to 5s"),
        (format!("{named}\nmargin = -1"), "shared.margin: \"-1\" is not a valid whole number"),
        ("namespace = 'x'".to_owned(), "shared.namespace: is not used without shared.url"),
        ("key_file = '/x'".to_owned(), "shared.key_file: is not used without shared.url"),
        ("ca_file = '/x'".to_owned(), "shared.ca_file: is not used without shared.url"),
    ] {
        let error = shared(&toml).expect_err(&toml);
        assert!(error.starts_with(line), "{toml}: {error}");
        assert_eq!(error.lines().count(), 1, "{toml}: {error}");
        assert!(!error.contains("hush") && !error.contains(&KEY[..8]), "{error}");
    }
}

#[test]
fn a_renewed_token_needs_a_key_since_it_is_shared() {
    let refresh = |more: &str| {
        let env = [("LINK_REPORT_PROXY__TOKEN__SOURCE", "refresh")];
        let toml =
            format!("shared.url = 'redis://h'\ntoken.client_id = 'x'\ntoken.refresh_token = 'y'\n{more}");
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("settings.toml");
        fs::write(&path, toml).unwrap();
        super::Settings::load(Some(&path), env)
    };
    let error = refresh("").unwrap_err().to_string();
    assert!(error.contains("shared.key_file: is missing: with token.source"), "{error}");
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, KEY).unwrap();
    let keys =
        refresh(&format!("shared.key_file = {path:?}")).unwrap().shared.key_file.unwrap().read().unwrap();
    assert_eq!(keys.first.expose_secret()[1], 1);
}

#[test]
fn the_password_of_the_store_is_never_shown() {
    let settings = shared("namespace = 'x'\nurl = 'rediss://lrp:hush@valkey.example'").unwrap();
    let effective = settings.effective();
    assert_eq!(effective["shared"]["url"], "rediss://lrp:[redacted]@valkey.example:6379");
    assert!(!effective.to_string().contains("hush") && !format!("{settings:?}").contains("hush"));
    let url = settings.shared.location().unwrap().read().unwrap();
    assert_eq!((url.encryption(), url.user.as_deref()), (StoreEncryption::Tls, Some("lrp")));
    assert_eq!(url.password.unwrap().expose_secret(), "hush");
}

#[test]
fn the_default_namespace_is_that_of_the_application_and_the_api() {
    let of = |client_id: &str, base_url: &str| {
        let toml = format!(
            "shared.url = 'redis://h'\ntoken.client_id = '{client_id}'\nupstream.base_url = '{base_url}'"
        );
        load(&toml, &[]).unwrap().namespace().unwrap()
    };
    let one = of("one", "https://api.cc.email");
    assert_eq!(one.as_str().len(), 12);
    assert_eq!(one, of("one", "https://api.cc.email/"));
    assert_ne!(one, of("two", "https://api.cc.email"));
    assert_ne!(one, of("one", "https://api.example"));
    let named: StoreNamespace = shared("namespace = 'main'\nurl = 'redis://h'").unwrap().namespace().unwrap();
    assert_eq!(named.as_str(), "main");
}
