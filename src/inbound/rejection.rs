//! Rejections: every reason why a request gets no report. `problem.rs` maps each to its status.

use crate::{
    report::{FetchError, KeyError},
    server::BrowserRefusal,
};

/// Why a request gets no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejection {
    /// A page of another web site may have sent it.
    #[error(transparent)]
    Browser(#[from] BrowserRefusal),
    /// Its path or its parameters are not those of a report.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It has a body.
    #[error("a body on a GET or HEAD")]
    UnexpectedBody,
    /// Its method is not GET or HEAD.
    #[error("a method other than GET or HEAD")]
    Method {
        /// The value of the response's `Allow`.
        allow: &'static str,
    },
    /// A client token is required (`clients.tokens_file`), and it has none that is valid.
    #[error("no valid client token")]
    Unauthenticated,
    /// The request is valid, but fetching the report failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}
