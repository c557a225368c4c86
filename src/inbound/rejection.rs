//! Why a request gets no report.

use crate::{
    report::{FetchError, KeyError},
    server::BrowserRefusal,
};

/// Why a request gets no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// A web page may have sent it that has no business here.
    #[error(transparent)]
    Browser(#[from] BrowserRefusal),
    /// It names no report.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It carries a body.
    #[error("a body on a GET or HEAD")]
    UnexpectedBody,
    /// It wants to do something other than read.
    #[error("a method other than GET or HEAD")]
    Method {
        /// What may be done instead.
        allow: &'static str,
    },
    /// It shows no client token, and one is asked for.
    #[error("no client token")]
    Unauthenticated,
    /// It is a good request, but the report cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}
