//! No byte of a caller or of the vendor begins a log line, ends one, or reaches a terminal as a command.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use crate::support::{Proxy, Run, Upstream, Wire, path, synthetic};

/// Would be a line of its own, were it not for its escapes.
const FORGED: &str = "forged-5b1d";
/// The longest line: what is not ours in one is short.
const LONGEST: usize = 2_048;

/// A vendor that answers each call with the next of these, whatever it is asked.
async fn vendor(answers: Vec<Vec<u8>>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serving = tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a call");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
            {
            }
            drop(stream.write_all(&answer).await);
        }
    });
    (url, serving)
}

/// An answer of the vendor's with every kind of byte that a log could stumble on, where HTTP and JSON allow it.
fn answer(status: &str) -> Vec<u8> {
    let escaped = format!(
        r#"\u001b[31m\n{FORGED} {{\"level\":\"ERROR\"}}\r\u0000\u202e\u2028\u009b31m{}"#,
        "x".repeat(5_000)
    );
    let body = format!(r#"{{"error_key":"{escaped}","error_message":"{escaped}"}}"#);
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
    let mut bytes = format!("{head}content-length: {}\r\n", body.len()).into_bytes();
    for name in ["x-request-id", "apigw-requestid", "location", "retry-after"] {
        bytes.extend(format!("{name}: \"\\{FORGED}\t").into_bytes());
        bytes.extend(b"\x9b31m\xe2\x80\xae\r\n");
    }
    bytes.extend(format!("\r\n{body}").into_bytes());
    bytes
}

/// Requests with the same.
fn requests() -> Vec<Vec<u8>> {
    let cold = |key| path(&synthetic(key, 1));
    let with = |target: &str, line: &[u8]| {
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n").into_bytes();
        [&head[..], line, b"\r\n\r\n"].concat()
    };
    let long = FORGED.repeat(1_000);
    vec![
        with(&cold(1), b"User-Agent: \"\\forged-5b1d\t\x9b31m\xe2\x80\xae"),
        with(&cold(2), b"X-Request-Id: a\"\\forged-5b1d\x9b31m"),
        with(&cold(3), format!("X-Request-Id: {long}").as_bytes()),
        with(&cold(4), b"User-Agent: \x1b[31mforged-5b1d"),
        with(&cold(5), b"traceparent: \"forged-5b1d\""),
        with(&cold(6), b"Origin: \"forged-5b1d\x9b31m"),
        with(&cold(7), b"Accept: \"forged-5b1d\x9b31m"),
        with(&cold(8), b"If-None-Match: \"forged-5b1d\x9b31m\""),
        with("/v3/%0a%1b[31mforged-5b1d{}|^`\\", b"Referer: \"forged-5b1d"),
        with(&format!("/v3/reports/email_reports/%0aforged-5b1d/links?{long}"), b"X: y"),
        with("/v3/\u{202e}forged-5b1d", b"X: y"),
        b"GET /v3/\x1b[31mforged-5b1d HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"FORGED-5b1d /v3 HTTP/1.1\r\nHost: \"forged-5b1d\r\nConnection: close\r\n\r\n".to_vec(),
    ]
}

/// What a terminal or a reader of lines would act on.
fn is_harmful(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_caller_or_of_the_vendor_breaks_a_log_line() {
    let upstream = Upstream::start().await;
    let statuses =
        ["404 Not Found", "400 Bad Request", "500 Oops", "302 Found", "403 No", "200 OK", "429 Too Many"];
    for format in ["json", "text"] {
        let (url, serving) = vendor(statuses.iter().map(|status| answer(status)).collect()).await;
        let mut settings = Proxy::environment(
            &upstream,
            &[("log.format", format), ("log.level", "trace"), ("upstream.base_url", &url)],
        );
        settings.push(("NO_COLOR".to_owned(), "1".to_owned()));
        let proxy = Proxy::listening(Run::start(&["serve"], &settings)).await;
        for request in requests() {
            let mut wire = Wire::connect(proxy.data).await;
            wire.send(&request).await;
            assert!(!wire.answers_until_closed().await.is_empty());
        }
        proxy.sigterm();
        let lines = proxy.finished().await.stderr;
        serving.abort();
        let of_requests = lines.iter().filter(|line| line.contains("request_id")).count();
        assert!(of_requests >= 8, "{lines:#?}");
        for line in lines {
            assert!(!line.contains(is_harmful) && line.len() < LONGEST, "{line:?}");
            let begins_as_ours = match format {
                "json" => serde_json::from_str::<serde_json::Value>(&line)
                    .is_ok_and(|line| line["level"].is_string()),
                _ => line.starts_with("20") && line.as_bytes().get(10) == Some(&b'T'),
            };
            assert!(begins_as_ours, "{line:?}");
        }
    }
}
