//! Who may change anything, or spend a call, by the admin port.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, Request};

use super::{AdminState, reply::Refused};
use crate::server::{BrowserRefusal, SEC_FETCH_SITE};

/// A header that no form and no image can send; a script of another origin cannot either, since this port allows none.
static X_REQUESTED_BY: HeaderName = HeaderName::from_static("x-requested-by");

/// Whether the client at this address may change anything: with the admin token where there is one, otherwise from this
/// machine only.
///
/// # Errors
/// Why not.
pub(super) fn may_change<B>(
    state: &AdminState,
    peer: SocketAddr,
    request: &Request<B>,
) -> Result<(), Refused> {
    match &state.purge_auth {
        Some(purge_auth) if purge_auth.admit(request.headers()).is_none() => Err(Refused::Unauthenticated),
        None if !peer.ip().to_canonical().is_loopback() => Err(Refused::NotLoopback),
        // A browser on this machine connects from loopback too, also to a listener that does not check `Host`.
        None if !state.browser_guard.names_this_machine(request) => {
            Err(BrowserRefusal::HostNotAllowed.into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether the request is of the page of this port, or of no browser: one that another page can make a browser send has
/// neither of these headers.
///
/// # Errors
/// If it may be of another page.
pub(super) fn is_of_no_other_page(headers: &HeaderMap) -> Result<(), Refused> {
    let same_origin = headers.get(&SEC_FETCH_SITE).is_some_and(|site| site == "same-origin");
    let shown = same_origin || headers.contains_key(&X_REQUESTED_BY);
    shown.then_some(()).ok_or(Refused::OfAnotherPage)
}
