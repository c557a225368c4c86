//! A bare HTTP/1.1 client: sends the bytes it is given and reads what comes back, without mending either.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
    ended: bool,
}

/// One answer, as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Whether an answer brings the body its head announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announced {
    Sent,
    Withheld,
}

/// The path of a report.
pub(crate) fn path(id: &str) -> String {
    format!("/v3/reports/email_reports/{id}/links")
}

/// A well-formed request.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// One GET on a connection of its own.
pub(crate) async fn get(address: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut wire = Wire::connect(address).await;
    wire.send(&request("GET", target, headers)).await;
    wire.answer().await.unwrap_or_else(|| panic!("{target}: closed without an answer"))
}

// === impl Wire ===

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = soon("a connection", TcpStream::connect(address)).await.expect("the port is open");
        stream.set_nodelay(true).expect("a socket option");
        Self { stream, read: Vec::new(), ended: false }
    }

    /// Sends as much as the peer takes: one that refuses early may close before the last byte.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        drop(soon("the peer to take the bytes", self.stream.write_all(bytes)).await);
    }

    /// The next answer to a GET; `None` if the peer closed before its first byte.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        self.next(Announced::Sent).await
    }

    /// The next answer to a HEAD.
    pub(crate) async fn answer_to_head(&mut self) -> Option<Answer> {
        self.next(Announced::Withheld).await
    }

    /// All answers until the peer closes.
    pub(crate) async fn answers_until_closed(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await {
            answers.push(answer);
        }
        answers
    }

    /// All answers to a HEAD and what hides behind it, until the peer closes.
    pub(crate) async fn answers_to_head_until_closed(&mut self) -> Vec<Answer> {
        let first = self.answer_to_head().await;
        first.into_iter().chain(self.answers_until_closed().await).collect()
    }

    /// Sends one more byte at each interval, until the peer has enough of it.
    pub(crate) async fn drip_until_closed(&mut self, every: Duration) -> Vec<Answer> {
        let mut pulse = tokio::time::interval(every);
        loop {
            tokio::select! {
                _ = pulse.tick() => self.send(b"x").await,
                more = self.more() => if !more { break },
            }
        }
        self.answers_until_closed().await
    }

    /// Waits for the peer to close; a byte before that is a failure.
    pub(crate) async fn expect_closed(&mut self) {
        while self.more().await {}
        assert!(self.read.is_empty(), "unasked bytes: {:?}", String::from_utf8_lossy(&self.read));
    }

    async fn more(&mut self) -> bool {
        if self.ended {
            return false;
        }
        let got = soon("an answer or the end of the connection", self.stream.read_buf(&mut self.read)).await;
        // A reset is an end too: the kernel hands over what came before it first.
        self.ended = !got.is_ok_and(|length| length > 0);
        !self.ended
    }

    async fn next(&mut self, announced: Announced) -> Option<Answer> {
        let head = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more().await {
                assert!(self.read.is_empty(), "half a head: {:?}", String::from_utf8_lossy(&self.read));
                return None;
            }
        };
        let text = String::from_utf8(self.read[..head].to_vec()).expect("an ASCII head");
        let (status, headers) = parse(&text);
        let mut answer = Answer { status, headers, body: Vec::new() };
        assert!(answer.header("transfer-encoding").is_none(), "all our bodies have a known length: {text}");
        let bodiless = announced == Announced::Withheld || matches!(status, 100..200 | 204 | 304);
        let length = match answer.header("content-length") {
            Some(digits) if !bodiless => digits.parse().expect("a length"),
            Some(_) | None => 0,
        };
        while self.read.len() < head + length {
            assert!(self.more().await, "the body ends early: {text}");
        }
        answer.body = self.read[head..head + length].to_vec();
        self.read.drain(..head + length);
        Some(answer)
    }
}

fn parse(head: &str) -> (u16, Vec<(String, String)>) {
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
    let status = status.and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':').expect("a header line");
        (name.to_ascii_lowercase(), value.trim().to_owned())
    });
    (status.unwrap_or_else(|| panic!("no status line: {head:?}")), headers.collect())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

// === impl Answer ===

impl Answer {
    /// The first header of that (lower-case) name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `error_key` of a problem.
    pub(crate) fn error_key(&self) -> String {
        self.json()["error_key"].as_str().unwrap_or_default().to_owned()
    }
}
