//! DNS rebinding and cross-site request protection: rejects requests that a web page made a browser send to this port.
//!
//! A browser on this machine reaches loopback ports, whatever page it shows. With DNS rebinding a page can even read the
//! responses, but its browser sends the page's host name in `Host`. Without, a page reads nothing, but each image in it
//! can cause an upstream call; its browser then sends `Sec-Fetch-Site: cross-site` (Fetch Metadata).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{HOST, ORIGIN},
};

use super::AllowedOrigins;

/// The header in which a browser says whether the page that sends a request is of this site or of another one. A static,
/// since a constant would be built again for each comparison.
pub(crate) static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Rejects requests that a page of another site may have sent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BrowserGuard {
    reach: Reach,
    allowed_hosts: Arc<[Box<str>]>,
    allowed_origins: AllowedOrigins,
}

/// From where a listener can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// From this machine only, whose names are known: `Host` is checked.
    Loopback,
    /// From other machines too, under names that are not known here: `Host` is not checked.
    Network,
}

/// Why a request is rejected (403).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrowserRefusal {
    /// Its `Host` is not a name of this machine (`server.allowed_hosts`).
    #[error("Host is not a name of this machine")]
    HostNotAllowed,
    /// A page of another site sent it, and its origin is not allowed (`cors.allowed_origins`).
    #[error("sent by a page of another site")]
    CrossSite,
}

// === impl BrowserGuard ===

impl BrowserGuard {
    /// For a listener at this address. `allowed_hosts` are further names of this machine, without ports, besides IP
    /// addresses and `localhost`. Pages of `allowed_origins` may send requests although they are of another site.
    pub fn new(listen: IpAddr, allowed_hosts: &[&str], allowed_origins: AllowedOrigins) -> Self {
        let reach = if listen.to_canonical().is_loopback() { Reach::Loopback } else { Reach::Network };
        let allowed_hosts = allowed_hosts.iter().map(|host| Box::from(*host)).collect();
        Self { reach, allowed_hosts, allowed_origins }
    }

    /// Both checks: [`check_host`](Self::check_host) and [`check_site`](Self::check_site).
    ///
    /// # Errors
    /// If a page of another site may have sent the request.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), BrowserRefusal> {
        self.check_host(request)?;
        self.check_site(request.headers())
    }

    /// Checks `Host` against DNS rebinding: on a loopback listener it must name this machine.
    ///
    /// # Errors
    /// [`BrowserRefusal::HostNotAllowed`].
    pub fn check_host<B>(&self, request: &Request<B>) -> Result<(), BrowserRefusal> {
        match self.reach {
            Reach::Network => Ok(()),
            Reach::Loopback if self.names_this_machine(request) => Ok(()),
            Reach::Loopback => Err(BrowserRefusal::HostNotAllowed),
        }
    }

    /// Checks [`SEC_FETCH_SITE`]: a page of another site must be of an allowed origin. May be skipped if the header is
    /// absent.
    ///
    /// # Errors
    /// [`BrowserRefusal::CrossSite`].
    pub fn check_site(&self, headers: &HeaderMap) -> Result<(), BrowserRefusal> {
        let is_of_another_site = |site: &HeaderValue| matches!(site.as_bytes(), b"cross-site" | b"same-site");
        if headers.get_all(&SEC_FETCH_SITE).iter().any(is_of_another_site) && !self.allows_origin(headers) {
            return Err(BrowserRefusal::CrossSite);
        }
        Ok(())
    }

    /// Does the request name this machine, also on a listener that is not loopback? For what only clients on this machine
    /// may do.
    pub fn names_this_machine<B>(&self, request: &Request<B>) -> bool {
        let authority = request.uri().authority();
        let host = host(request.headers()).map(HeaderValue::as_bytes);
        authority.is_none_or(|authority| self.is_this_machine(authority.host().as_bytes()))
            && host.is_none_or(|host| is_usual(host) || self.is_this_machine(without_port(host)))
    }

    /// IP addresses are always allowed: DNS rebinding works with names only.
    fn is_this_machine(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        host.eq_ignore_ascii_case(b"localhost")
            || is_address(host)
            || self.allowed_hosts.iter().any(|allowed| host.eq_ignore_ascii_case(allowed.as_bytes()))
    }

    fn allows_origin(&self, headers: &HeaderMap) -> bool {
        headers.get(ORIGIN).is_some_and(|origin| self.allowed_origins.allows(origin))
    }
}

/// The `Host` header. Usually it is the first header; a request with two was rejected before (see `connection.rs`).
fn host(headers: &HeaderMap) -> Option<&HeaderValue> {
    match headers.keys().next() {
        Some(first) if *first == HOST => headers.values().next(),
        Some(_) | None => headers.get(HOST),
    }
}

/// Is it what nearly every client sends? A fast check, with a comparison of fixed length.
fn is_usual(host: &[u8]) -> bool {
    let Some((name, port)) = host.split_first_chunk() else { return false };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        [_, ..] => false,
    };
    (name == b"127.0.0.1" || name == b"localhost") && is_port
}

/// The value of a `Host` header without its port. If it does not end like a port it is returned whole, and fails the check
/// of the host.
fn without_port(host: &[u8]) -> &[u8] {
    let digits = host.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    host[..host.len() - digits].strip_suffix(b":").unwrap_or(host)
}

fn is_address(host: &[u8]) -> bool {
    match host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")) {
        Some(v6) => str::from_utf8(v6).is_ok_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => str::from_utf8(host).is_ok_and(|v4| v4.parse::<Ipv4Addr>().is_ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_the_digits_after_the_last_colon() {
        for (host, name) in [
            ("127.0.0.1:8080", "127.0.0.1"),
            ("127.0.0.1", "127.0.0.1"),
            ("localhost:", "localhost"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("a:b", "a:b"),
            ("", ""),
            ("8080", "8080"),
            (":8080", ""),
        ] {
            assert_eq!(without_port(host.as_bytes()), name.as_bytes(), "{host}");
        }
    }

    #[test]
    fn a_usual_host_names_this_machine_by_the_full_rule_too() {
        let guard = BrowserGuard::new(IpAddr::from([127, 0, 0, 1]), &[], AllowedOrigins::default());
        for (host, usual) in [
            ("127.0.0.1", true),
            ("127.0.0.1:8080", true),
            ("localhost:3000", true),
            ("localhost:", true),
            ("localhost:x", false),
            ("localhost.", false),
            ("localhosts", false),
            ("127.0.0.10", false),
            ("127.0.0.1.rebound.example", false),
            ("[::1]:8080", false),
            ("", false),
        ] {
            assert_eq!(is_usual(host.as_bytes()), usual, "{host}");
            assert!(!usual || guard.is_this_machine(without_port(host.as_bytes())), "{host}");
        }
    }

    #[test]
    fn a_loopback_address_written_as_ipv6_is_one_too() {
        for (listen, checked) in
            [("127.0.0.1", true), ("127.8.8.8", true), ("::1", true), ("::ffff:127.0.0.1", true)]
                .into_iter()
                .chain([("0.0.0.0", false), ("::", false), ("10.0.0.7", false)])
        {
            let guard = BrowserGuard::new(listen.parse().unwrap(), &[], AllowedOrigins::default());
            let request = Request::get("/").header(HOST, "rebound.example").body(()).unwrap();
            assert_eq!(guard.check(&request).is_err(), checked, "{listen}");
            assert!(!guard.names_this_machine(&request));
        }
    }
}
