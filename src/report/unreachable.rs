//! The reasons why the upstream is unreachable: DNS, TCP, TLS, or a broken connection.

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
    /// The TCP connection, or the proxy's tunnel, was refused or failed.
    #[error("connecting failed")]
    Connect,
    /// No connection, TLS included, within `upstream.connect_timeout`.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The TLS handshake failed.
    #[error("TLS failed")]
    Tls,
    /// The upstream's certificate is not trusted, or is for another host name.
    #[error("its certificate is not trusted")]
    Certificate,
    /// The other side closed the connection before the request was written.
    #[error("the connection was closed before it was used")]
    Closed,
    /// The connection broke before the response began.
    #[error("the connection broke")]
    Broken,
    /// The response is not valid HTTP.
    #[error("its response is not valid HTTP")]
    NotHttp,
}

// === impl Unreachable ===

impl Unreachable {
    /// How far the call got: could any of the request have been sent?
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

    /// The error type for `Proxy-Status` (RFC 9209 §2.3).
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
