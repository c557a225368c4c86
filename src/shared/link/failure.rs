//! Why a command failed: the errors of the crate `redis` and of the server, as the link treats them.

use redis::{ErrorKind, RedisResult, ServerError, Value};

use super::DownReason;
use crate::settings::HostPort;

/// The longest word of an error reply that is shown.
const LONGEST_WORD: usize = 32;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CommandFailure {
    /// The connection ended before the reply: the command may or may not have been executed.
    Lost,
    /// What arrived is no reply: the connection cannot be used any more.
    Malformed,
    /// The server refused it, and would refuse others.
    Down(DownReason, Box<str>),
    /// The server does not know the script.
    NoScript,
    /// The keys are on another node of the cluster.
    Moved(Redirect),
    /// The server refused this command: its word.
    Refused(Box<str>),
}

/// Where a cluster sends its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Redirect {
    /// To this node.
    Node(HostPort),
    /// To this port of the same host.
    Port(u16),
}

// === impl CommandFailure ===

impl CommandFailure {
    /// The reply, unless it is an error.
    pub(super) fn check(result: RedisResult<Value>) -> Result<Value, Self> {
        match result {
            Ok(Value::ServerError(error)) => Err(Self::of_server(&error)),
            Ok(value) => Ok(value),
            Err(error) => Err(match error.kind() {
                ErrorKind::Server(_) | ErrorKind::Extension => {
                    Self::of_reply(error.code().unwrap_or_default(), error.detail().unwrap_or_default())
                }
                ErrorKind::Parse => Self::Malformed,
                // Everything else is of the connection; the enum is open.
                _ => Self::Lost,
            }),
        }
    }

    pub(super) fn of_server(error: &ServerError) -> Self {
        Self::of_reply(error.code(), error.details().unwrap_or_default())
    }

    fn of_reply(word: &str, detail: &str) -> Self {
        let shown = word.chars().filter(char::is_ascii_graphic).take(LONGEST_WORD);
        let shown: Box<str> = shown.collect::<String>().into();
        match word {
            "NOSCRIPT" => Self::NoScript,
            "MOVED" => Redirect::parse(detail).map_or(Self::Refused(shown), Self::Moved),
            word => match DownReason::of_error(word, detail) {
                Some(reason) => Self::Down(reason, shown),
                None => Self::Refused(shown),
            },
        }
    }
}

// === impl Redirect ===

impl Redirect {
    /// Of `3999 127.0.0.1:6381`: the slot, and the node; without a host if it is the same one.
    fn parse(detail: &str) -> Option<Self> {
        let (host, port) = detail.split_ascii_whitespace().nth(1)?.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        Some(match host {
            "" | "?" => Self::Port(port),
            host => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Self::Node(HostPort { host, port })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moved_names_a_node_or_a_port_of_the_same_host() {
        let node = |host: &str, port| Redirect::Node(HostPort { host: host.to_owned(), port });
        for (detail, redirect) in [
            ("3999 127.0.0.1:6381", Some(node("127.0.0.1", 6381))),
            ("3999 2001:db8::1:6381", Some(node("2001:db8::1", 6381))),
            ("3999 node.example:1", Some(node("node.example", 1))),
            ("3999 :6381", Some(Redirect::Port(6381))),
            ("3999 ?:6381", Some(Redirect::Port(6381))),
            ("3999 host", None),
            ("3999 host:0", None),
            ("", None),
        ] {
            assert_eq!(Redirect::parse(detail), redirect, "{detail}");
        }
    }

    #[test]
    fn an_error_of_one_command_shows_its_word_and_nothing_else() {
        let failure = CommandFailure::of_reply("WRONGTYPE", "hush");
        assert_eq!(failure, CommandFailure::Refused("WRONGTYPE".into()));
        let odd = CommandFailure::of_reply("E\u{1b}[1mRR\u{7}", "");
        assert_eq!(odd, CommandFailure::Refused("E[1mRR".into()));
        let long = CommandFailure::of_reply(&"X".repeat(500), "");
        assert_eq!(long, CommandFailure::Refused("X".repeat(LONGEST_WORD).into()));
    }
}
