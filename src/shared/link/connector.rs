//! Port `StoreConnector`: makes the streams to the store's servers. Tests pass pipes.

use std::{fmt, fmt::Debug, path::PathBuf};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{DownReason, failure::Redirect};
use crate::settings::{HostPort, StoreEncryption};

/// A connection's bytes.
pub(crate) trait StoreStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> StoreStream for T {}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreNode {
    /// Over TCP.
    Tcp(HostPort, StoreEncryption),
    /// Over a unix socket.
    Unix(PathBuf),
}

/// There is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreUnreachable {
    /// Why.
    pub(crate) why: DownReason,
    /// The system's message, or nothing. Contains no secret.
    pub(crate) detail: String,
}

/// Makes connections.
pub(crate) trait StoreConnector: Debug + Send + Sync + 'static {
    /// A new connection. The caller bounds the time.
    fn connect<'a>(
        &'a self,
        node: &'a StoreNode,
    ) -> BoxFuture<'a, Result<Box<dyn StoreStream>, StoreUnreachable>>;
}

// === impl StoreNode ===

impl StoreNode {
    /// Whether its connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        match self {
            Self::Tcp(_, encryption) => *encryption == StoreEncryption::Tls,
            Self::Unix(_) => false,
        }
    }

    /// Where a cluster's redirect from this node leads.
    pub(super) fn redirected(&self, redirect: Redirect) -> Option<Self> {
        match (self, redirect) {
            (Self::Tcp(_, encryption), Redirect::Node(node)) => Some(Self::Tcp(node, *encryption)),
            (Self::Tcp(here, encryption), Redirect::Port(port)) => {
                Some(Self::Tcp(HostPort { host: here.host.clone(), port }, *encryption))
            }
            (Self::Unix(_), _) => None,
        }
    }
}

impl fmt::Display for StoreNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(node, _) => write!(f, "{node}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

// === impl StoreUnreachable ===

impl From<DownReason> for StoreUnreachable {
    fn from(why: DownReason) -> Self {
        Self { why, detail: String::new() }
    }
}
