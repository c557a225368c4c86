//! A URL that is called as it stands: the token endpoint and the device endpoint.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;
use serde_json::Value as Json;

use super::section::Scalar;

/// An absolute URL with a path, without user, password and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

// === impl Endpoint ===

impl Endpoint {
    /// The URL.
    pub const fn uri(&self) -> &Uri {
        &self.0
    }
}

impl Scalar for Endpoint {
    /// What was written is not repeated: people put passwords into URLs.
    fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| "is not a valid URL".to_owned())?;
        if uri.scheme() != Some(&Scheme::HTTPS) && uri.scheme() != Some(&Scheme::HTTP) {
            return Err("must begin with https:// (or http:// for a loopback host)".to_owned());
        }
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err("must hold no user or password: they are set under token.*".to_owned());
        }
        if uri.query().is_some() {
            return Err("must hold no query".to_owned());
        }
        Ok(Self(uri))
    }

    fn show(&self) -> Json {
        self.0.to_string().into()
    }
}

/// Whether what is sent there can be read on the way: not over TLS, and to another machine.
pub(super) fn is_in_clear(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback());
    url.scheme() != Some(&Scheme::HTTPS) && !loopback
}
