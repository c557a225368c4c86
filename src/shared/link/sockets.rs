//! Connections over TCP, TLS and unix sockets, with what finds out soon that the other side has vanished.

use std::{fmt, fs, io, path::Path, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt as _};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{DownReason, StoreConnector, StoreNode, StoreStream, StoreUnreachable};
use crate::settings::{HostPort, StoreEncryption};

/// A server that vanished without closing its connections is noticed on an idle connection after 5 + 3 × 2 seconds.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_PROBES: u32 = 3;
/// Bytes that the other side does not acknowledge for so long end the connection.
const USER_TIMEOUT: Duration = Duration::from_secs(3);
/// One address of several that does not answer must leave the others time.
const ADDRESS_TIMEOUT: Duration = Duration::from_millis(400);

/// Connects over real sockets.
#[derive(Clone)]
pub(crate) struct SocketConnector {
    tls: Arc<ClientConfig>,
}

/// TLS cannot be set up. Each message begins with the setting to check.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreTlsError {
    /// The CA file cannot be read.
    #[error("shared.ca_file: cannot be read: {0}")]
    CaUnreadable(#[source] io::Error),
    /// The CA file is not valid PEM, or has no certificate.
    #[error("shared.ca_file: contains no certificate in PEM format")]
    CaMissing,
    /// rustls rejects a certificate in the CA file.
    #[error("shared.ca_file: contains an invalid certificate: {0}")]
    CaUnusable(#[source] rustls::Error),
    /// rustls supports no common protocol version and cipher suite (a bug in the build).
    #[error("tls: {0}")]
    Unsupported(#[source] rustls::Error),
}

// === impl SocketConnector ===

impl SocketConnector {
    /// Trusts the compiled-in roots, and the certificates in `ca_file` besides.
    ///
    /// # Errors
    /// [`StoreTlsError`] for a CA file that cannot be used.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Self, StoreTlsError> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = ca_file {
            let pem = fs::read(path).map_err(StoreTlsError::CaUnreadable)?;
            let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
                .collect::<Result<_, _>>()
                .map_err(|_error| StoreTlsError::CaMissing)?;
            if certificates.is_empty() {
                return Err(StoreTlsError::CaMissing);
            }
            for certificate in certificates {
                roots.add(certificate).map_err(StoreTlsError::CaUnusable)?;
            }
        }
        // The crypto provider is explicit: rustls has no default once a second provider is among the dependencies.
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(StoreTlsError::Unsupported)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls) })
    }

    async fn encrypted(
        &self,
        node: &HostPort,
        tcp: TcpStream,
    ) -> Result<Box<dyn StoreStream>, StoreUnreachable> {
        let name =
            ServerName::try_from(node.host.clone()).map_err(|error| unreachable(DownReason::Tls, error))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await;
        Ok(Box::new(stream.map_err(|error| unreachable(DownReason::Tls, error))?))
    }
}

impl StoreConnector for SocketConnector {
    fn connect<'a>(
        &'a self,
        node: &'a StoreNode,
    ) -> BoxFuture<'a, Result<Box<dyn StoreStream>, StoreUnreachable>> {
        async move {
            match node {
                StoreNode::Unix(path) => {
                    let stream = UnixStream::connect(path).await;
                    let stream = stream.map_err(|error| unreachable(DownReason::Unreachable, error))?;
                    Ok(Box::new(stream) as Box<dyn StoreStream>)
                }
                StoreNode::Tcp(node, StoreEncryption::None) => Ok(Box::new(tcp(node).await?) as _),
                StoreNode::Tcp(node, StoreEncryption::Tls) => self.encrypted(node, tcp(node).await?).await,
            }
        }
        .boxed()
    }
}

impl fmt::Debug for SocketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketConnector").finish_non_exhaustive()
    }
}

async fn tcp(node: &HostPort) -> Result<TcpStream, StoreUnreachable> {
    let addresses = lookup_host((node.host.as_str(), node.port)).await;
    let addresses = addresses.map_err(|error| unreachable(DownReason::UnknownHost, error))?;
    let mut last = StoreUnreachable::from(DownReason::UnknownHost);
    for address in addresses {
        match timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                tune(&stream).map_err(|error| unreachable(DownReason::Unreachable, error))?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = unreachable(DownReason::Unreachable, error),
            Err(_elapsed) => {
                last = unreachable(DownReason::Unreachable, format_args!("{address} does not answer"));
            }
        }
    }
    Err(last)
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_PROBES))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

fn unreachable(why: DownReason, error: impl fmt::Display) -> StoreUnreachable {
    StoreUnreachable { why, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_vanished_server_is_noticed_within_seconds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = tcp(&HostPort { host: "localhost".to_owned(), port }).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
    }

    #[tokio::test]
    async fn what_cannot_be_connected_to_says_why() {
        let connector = SocketConnector::new(None).unwrap();
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let tcp = |host: &str| {
            StoreNode::Tcp(HostPort { host: host.to_owned(), port: nobody }, StoreEncryption::None)
        };
        for (node, why) in [
            (tcp("127.0.0.1"), DownReason::Unreachable),
            (StoreNode::Unix("/nowhere/x".into()), DownReason::Unreachable),
        ] {
            let Err(error) = connector.connect(&node).await else { panic!("connected to {node}") };
            assert_eq!(error.why, why, "{node}");
            assert!(!error.detail.is_empty());
        }
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused() {
        let missing = SocketConnector::new(Some(Path::new("/nowhere/x"))).unwrap_err();
        assert!(missing.to_string().starts_with("shared.ca_file: cannot be read"), "{missing}");
        let none = SocketConnector::new(Some(Path::new("/dev/null"))).unwrap_err();
        assert!(none.to_string().contains("no certificate"), "{none}");
    }
}
