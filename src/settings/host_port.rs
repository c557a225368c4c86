//! A host and a port.

use std::fmt;

/// Of a DNS name.
const LONGEST_NAME: usize = 253;

/// A host's name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// An IPv6 address has no brackets here.
    pub host: String,
    /// The port.
    pub port: u16,
}

// === impl HostPort ===

impl HostPort {
    /// `host`, `host:port`, `[::1]` or `[::1]:port`.
    pub(super) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']')?;
                address.parse::<std::net::Ipv6Addr>().ok()?;
                (address, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => {
                let (host, port) =
                    text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
                let part = |byte: u8| byte.is_ascii_alphanumeric() || [b'.', b'-', b'_'].contains(&byte);
                let named = (1..=LONGEST_NAME).contains(&host.len()) && host.bytes().all(part);
                named.then_some((host, port))?
            }
        };
        let port = port.map_or(Some(default_port), |port| port.parse().ok().filter(|port| *port > 0))?;
        Some(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
