//! How far a connection to the upstream got.

use super::FailureStage;

/// Why the upstream could not be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The name did not resolve.
    #[error("its name does not resolve")]
    Dns,
    /// No name server answered in time.
    #[error("its name was not resolved in time")]
    DnsTimeout,
    /// Nothing accepted the connection.
    #[error("connecting failed")]
    Connect,
    /// No connection, TLS included, within `upstream.connect_timeout`.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The handshake failed.
    #[error("TLS failed")]
    Tls,
    /// Its certificate is not trusted, or is another host's.
    #[error("its certificate is not trusted")]
    Certificate,
    /// The connection was closed by the other side before the request was written to it.
    #[error("the connection was closed before it was used")]
    Closed,
    /// The connection broke before an answer began.
    #[error("the connection broke")]
    Broken,
    /// What came back is not HTTP.
    #[error("its answer is not HTTP")]
    NotHttp,
}

// === impl Unreachable ===

impl Unreachable {
    pub(super) const fn stage(self) -> FailureStage {
        match self {
            Self::Dns
            | Self::DnsTimeout
            | Self::Connect
            | Self::ConnectTimeout
            | Self::Tls
            | Self::Certificate
            | Self::Closed => FailureStage::Connecting,
            Self::Broken | Self::NotHttp => FailureStage::Sent,
        }
    }

    /// The error type of RFC 9209 §2.3.
    pub(super) const fn proxy_error(self) -> &'static str {
        match self {
            Self::Dns => "dns_error",
            Self::DnsTimeout => "dns_timeout",
            Self::Connect => "connection_refused",
            Self::ConnectTimeout => "connection_timeout",
            Self::Tls => "tls_protocol_error",
            Self::Certificate => "tls_certificate_error",
            Self::Closed | Self::Broken => "connection_terminated",
            Self::NotHttp => "http_protocol_error",
        }
    }
}
