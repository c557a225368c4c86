//! Keeps web pages out: a browser on this machine reaches loopback ports on behalf of whatever page it shows.
//!
//! By DNS rebinding a page reads answers as if they came from its own site; its browser names that site in `Host`. Without,
//! it reads nothing, but each image it shows may be a call; its browser says so in `Sec-Fetch-Site` (Fetch Metadata).

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{HOST, ORIGIN},
};

/// The header in which a browser says whether a page of this site or of another one sends a request. Not a constant, which
/// would be made anew for each header that it is compared with.
pub(crate) static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Tells requests that another site's page may have sent from all others. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BrowserGuard {
    reach: Reach,
    allowed_hosts: Arc<[Box<str>]>,
    allowed_origins: Arc<[HeaderValue]>,
}

/// From where a listener is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// From this machine alone, which has few names.
    Loopback,
    /// From others too, under whatever name they know it by.
    Network,
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrowserRefusal {
    /// It names a host that is not this machine (`server.allowed_hosts`).
    #[error("a host that is not this machine")]
    HostNotAllowed,
    /// A page of another site sent it, and its origin is not allowed (`cors.allowed_origins`).
    #[error("a request of another site's page")]
    CrossSite,
}

// === impl BrowserGuard ===

impl BrowserGuard {
    /// For a listener at this address. `allowed_hosts` are names of this machine besides its addresses and `localhost`,
    /// without ports; pages of `allowed_origins` may send requests from other sites.
    pub fn new(listen: IpAddr, allowed_hosts: &[&str], allowed_origins: &[HeaderValue]) -> Self {
        let reach = if listen.to_canonical().is_loopback() { Reach::Loopback } else { Reach::Network };
        let allowed_hosts = allowed_hosts.iter().map(|host| Box::from(*host)).collect();
        Self { reach, allowed_hosts, allowed_origins: allowed_origins.into() }
    }

    /// May a request be answered?
    ///
    /// # Errors
    /// If a page may have sent it that has no business here.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), BrowserRefusal> {
        self.check_host(request)?;
        self.check_site(request.headers())
    }

    /// The first half: does it name this machine, where it has to?
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

    /// The other half, for who has seen a [`SEC_FETCH_SITE`] among the headers, or has not looked: did another site's page
    /// send it?
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

    /// Does a request name this machine, whatever the listener? For what even an open listener grants only its own machine.
    pub fn names_this_machine<B>(&self, request: &Request<B>) -> bool {
        let authority = request.uri().authority();
        let host = host(request.headers()).map(HeaderValue::as_bytes);
        authority.is_none_or(|authority| self.is_this_machine(authority.host().as_bytes()))
            && host.is_none_or(|host| is_usual(host) || self.is_this_machine(without_port(host)))
    }

    /// A page may have its own name mean this machine, but never an address.
    fn is_this_machine(&self, host: &[u8]) -> bool {
        let host = host.strip_suffix(b".").unwrap_or(host);
        host.eq_ignore_ascii_case(b"localhost")
            || is_address(host)
            || self.allowed_hosts.iter().any(|allowed| host.eq_ignore_ascii_case(allowed.as_bytes()))
    }

    fn allows_origin(&self, headers: &HeaderMap) -> bool {
        headers.get(ORIGIN).is_some_and(|origin| self.allowed_origins.contains(origin))
    }
}

/// The `Host` header. It is the first one as a rule; a second one has been refused before.
fn host(headers: &HeaderMap) -> Option<&HeaderValue> {
    match headers.keys().next() {
        Some(first) if *first == HOST => headers.values().next(),
        Some(_) | None => headers.get(HOST),
    }
}

/// What nearly every client sends, seen with a comparison of a fixed length.
fn is_usual(host: &[u8]) -> bool {
    let Some((name, port)) = host.split_first_chunk() else { return false };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        [_, ..] => false,
    };
    (name == b"127.0.0.1" || name == b"localhost") && is_port
}

/// The host of a `Host` header. What does not end like a port is left for the host's own rules to refuse.
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
    fn a_port_is_digits_behind_the_last_colon() {
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
    fn what_is_usual_is_this_machine_by_every_other_rule_too() {
        let guard = BrowserGuard::new(IpAddr::from([127, 0, 0, 1]), &[], &[]);
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
            let guard = BrowserGuard::new(listen.parse().unwrap(), &[], &[]);
            let request = Request::get("/").header(HOST, "rebound.example").body(()).unwrap();
            assert_eq!(guard.check(&request).is_err(), checked, "{listen}");
            assert!(!guard.names_this_machine(&request));
        }
    }
}
