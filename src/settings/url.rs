//! The URLs of the settings, parsed once: code that calls them cannot meet one that is malformed.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;
use serde_json::Value as Json;

use super::section::Scalar;

/// `scheme://host[:port]` of an API whose paths are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Uri);

/// A URL that is called as it stands: the token endpoint and the device authorization endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Uri);

/// `scheme://host[:port][/path]` of a receiver of OTLP, below which `/v1/traces` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorUrl {
    base: Uri,
    traces: Uri,
}

/// Why a URL is refused. What was written is not repeated: people put passwords into URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// It does not parse (RFC 3986).
    #[error("is not a valid URL: write it like https://api.cc.email")]
    Malformed,
    /// Another scheme, or none.
    #[error("must begin with https:// (or http:// for a loopback host)")]
    Scheme,
    /// A user or a password, or no host.
    #[error("must hold no user or password: those are set under token.*")]
    Credentials,
    /// More than a base URL has.
    #[error("must end after the host and port: the path is always the report's")]
    Path,
    /// A query would be lost or doubled.
    #[error("must hold no query")]
    Query,
}

// === impl BaseUrl ===

impl BaseUrl {
    /// Scheme, host and port, with the path `/`.
    pub const fn uri(&self) -> &Uri {
        &self.0
    }

    /// The URL of one resource. `path_and_query` begins with `/`.
    ///
    /// # Errors
    /// If `path_and_query` cannot stand in a URL.
    pub fn join(&self, path_and_query: &str) -> Result<Uri, http::Error> {
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(path_and_query.parse()?);
        Ok(Uri::from_parts(parts)?)
    }
}

impl TryFrom<&str> for BaseUrl {
    type Error = InvalidUrl;

    fn try_from(text: &str) -> Result<Self, InvalidUrl> {
        let uri = web_url(text)?;
        if uri.path() == "/" && uri.query().is_none() { Ok(Self(uri)) } else { Err(InvalidUrl::Path) }
    }
}

impl Scalar for BaseUrl {
    fn parse(text: &str) -> Result<Self, String> {
        Self::try_from(text).map_err(|error| error.to_string())
    }

    fn show(&self) -> Json {
        self.0.to_string().trim_end_matches('/').into()
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// The whole URL.
    pub const fn uri(&self) -> &Uri {
        &self.0
    }
}

impl Scalar for Endpoint {
    fn parse(text: &str) -> Result<Self, String> {
        let uri = web_url(text).map_err(|error| error.to_string())?;
        if uri.query().is_none() { Ok(Self(uri)) } else { Err(InvalidUrl::Query.to_string()) }
    }

    fn show(&self) -> Json {
        self.0.to_string().into()
    }
}

// === impl CollectorUrl ===

impl CollectorUrl {
    /// Where traces are sent: the URL with `/v1/traces` after it, as OTLP says.
    pub const fn traces(&self) -> &Uri {
        &self.traces
    }
}

impl Scalar for CollectorUrl {
    fn parse(text: &str) -> Result<Self, String> {
        let base = web_url(text).map_err(|error| match error {
            InvalidUrl::Malformed => "is not a valid URL: write it like http://127.0.0.1:4318".to_owned(),
            // Spans hold no secrets, and receivers nearby have no certificate.
            InvalidUrl::Scheme => "must begin with http:// or https://".to_owned(),
            InvalidUrl::Credentials => "must hold no user or password".to_owned(),
            InvalidUrl::Path | InvalidUrl::Query => error.to_string(),
        })?;
        if base.query().is_some() {
            return Err(InvalidUrl::Query.to_string());
        }
        let path = base.path().trim_end_matches('/');
        if path.ends_with("/v1/traces") {
            return Err("must end before /v1/traces, which is added".to_owned());
        }
        let mut parts = base.clone().into_parts();
        parts.path_and_query = format!("{path}/v1/traces").parse().ok();
        let traces = Uri::from_parts(parts).map_err(|_| InvalidUrl::Malformed.to_string())?;
        Ok(Self { base, traces })
    }

    fn show(&self) -> Json {
        self.base.to_string().trim_end_matches('/').into()
    }
}

/// What all of them have in common.
fn web_url(text: &str) -> Result<Uri, InvalidUrl> {
    let uri: Uri = text.parse().map_err(|_| InvalidUrl::Malformed)?;
    if uri.scheme() != Some(&Scheme::HTTPS) && uri.scheme() != Some(&Scheme::HTTP) {
        return Err(InvalidUrl::Scheme);
    }
    if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
        return Err(InvalidUrl::Credentials);
    }
    Ok(uri)
}

/// Whether a secret sent there could be read on the way: it goes to another machine, and not over TLS.
pub(super) fn is_in_clear(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback());
    url.scheme() != Some(&Scheme::HTTPS) && !loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_a_scheme_and_a_host() {
        for good in ["https://api.cc.email", "https://api.cc.email/", "http://127.0.0.1:9", "http://[::1]:9"]
        {
            assert!(BaseUrl::try_from(good).is_ok(), "{good}");
        }
        for (bad, error) in [
            ("/v3", InvalidUrl::Scheme),
            ("api.cc.email", InvalidUrl::Scheme),
            ("ftp://a", InvalidUrl::Scheme),
            ("https://a b", InvalidUrl::Malformed),
            ("https://a@b", InvalidUrl::Credentials),
            ("https://a/v3", InvalidUrl::Path),
            ("https://a/?x", InvalidUrl::Path),
        ] {
            assert_eq!(BaseUrl::try_from(bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn a_base_url_s_resources_keep_its_host_and_port() {
        let base = BaseUrl::try_from("http://127.0.0.1:9/").unwrap();
        assert_eq!(base.join("/v3/x?y=true").unwrap(), "http://127.0.0.1:9/v3/x?y=true");
        assert!(base.join("/a b").is_err());
    }

    #[test]
    fn traces_are_sent_below_the_collector_s_url() {
        for (url, traces) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://otlp.example/otlp", "https://otlp.example/otlp/v1/traces"),
        ] {
            assert_eq!(CollectorUrl::parse(url).unwrap().traces(), traces);
        }
        for (bad, error) in [
            ("127.0.0.1:4318", "http:// or https://"),
            ("grpc://collector:4317", "http:// or https://"),
            ("http://a b", "valid URL"),
            ("http://me:secret@collector", "no user or password"),
            ("http://collector?x", "query"),
            ("http://collector/v1/traces", "is added"),
        ] {
            let said = CollectorUrl::parse(bad).unwrap_err();
            assert!(said.contains(error) && !said.contains("secret"), "{bad}: {said}");
        }
    }

    #[test]
    fn an_endpoint_keeps_its_path_and_has_no_query() {
        assert_eq!(Endpoint::parse("https://authz.example/token").unwrap().uri().path(), "/token");
        assert!(Endpoint::parse("https://authz.example/token?x").unwrap_err().contains("query"));
    }
}
