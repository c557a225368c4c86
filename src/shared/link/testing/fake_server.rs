//! How a fake server is, and what goes wrong with it.

use std::time::Duration;

/// What happens to one EVALSHA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shared) enum StoreFault {
    /// It does not arrive, nor does anything later on this connection.
    LostRequest,
    /// It is executed; its reply does not arrive, nor does anything later on this connection.
    LostReply,
    /// It is executed, and the reply is sent so much later.
    LateReply(Duration),
    /// It is executed twice, as if it had been sent again.
    Doubled,
    /// The connection is closed before it is executed.
    CutBefore,
    /// The connection is closed after it was executed.
    CutAfter,
    /// It is answered with this error; `HTTP…`: with this line, which is no RESP.
    Error(&'static str),
}

/// How the server is.
#[derive(Debug, Clone)]
pub(in crate::shared) struct FakeServer {
    pub(in crate::shared) replid: String,
    pub(in crate::shared) role: &'static str,
    pub(in crate::shared) rewriting: bool,
    pub(in crate::shared) eviction: &'static str,
    /// Its replicas, and how many of them confirm writes.
    pub(in crate::shared) replicas: (u64, i64),
    /// It needs this password.
    pub(in crate::shared) password: Option<&'static str>,
    /// Each command but AUTH is answered with this error; `HTTP…`: with this line, which is no RESP.
    pub(in crate::shared) error: Option<&'static str>,
    /// Nothing is answered.
    pub(in crate::shared) hangs: bool,
    /// No connection is accepted.
    pub(in crate::shared) refuses: bool,
    /// Each reply takes so long.
    pub(in crate::shared) latency: Duration,
    /// For SENTINEL GET-MASTER-ADDR-BY-NAME.
    pub(in crate::shared) primary: Option<(&'static str, u16)>,
}

// === impl FakeServer ===

impl Default for FakeServer {
    fn default() -> Self {
        Self {
            replid: "one".to_owned(),
            role: "master",
            rewriting: false,
            eviction: "noeviction",
            replicas: (0, 0),
            password: None,
            error: None,
            hangs: false,
            refuses: false,
            latency: Duration::ZERO,
            primary: None,
        }
    }
}

impl FakeServer {
    pub(super) fn info(&self, section: &str) -> String {
        let rewriting = u8::from(self.rewriting);
        match section {
            "replication" => {
                format!(
                    "role:{}\r\nmaster_replid:{}\r\nconnected_slaves:{}\r\n",
                    self.role, self.replid, self.replicas.0
                )
            }
            "persistence" => format!("loading:0\r\naof_enabled:1\r\naof_rewrite_in_progress:{rewriting}\r\n"),
            "memory" => format!("maxmemory_policy:{}\r\n", self.eviction),
            _ => "redis_version:7.0.15\r\n".to_owned(),
        }
    }
}
