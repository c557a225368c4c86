//! Connects to the upstream: DNS, TCP, the tunnel of an `HTTPS_PROXY` if set, TLS; an error says which step failed.

use std::{
    cell::Cell,
    error::Error as StdError,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt as _};
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::connect::{
            HttpConnector,
            dns::{GaiAddrs, GaiResolver, Name},
            proxy::Tunnel,
        },
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tower::Service;

use crate::report::Unreachable;

tokio::task_local! {
    /// The error for the connect in progress if it times out now: DNS or later.
    static WAITING: Cell<Unreachable>;
}

/// A connection that is idle for this long gets TCP keep-alive probes, so that a NAT or a load balancer does not drop it.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// Of so many probes in a row, this long apart, one has to be answered: a dead connection is closed after a minute, not
/// after eleven as by the system's own settings.
const KEEPALIVE_PROBES: u32 = 3;
const BETWEEN_PROBES: Duration = Duration::from_secs(10);

/// The settings of a [`Connector`].
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// For DNS, TCP, the proxy's tunnel and TLS together (`upstream.connect_timeout`).
    pub timeout: Duration,
    /// A PEM file of CA certificates that are trusted in addition to the public roots.
    pub extra_ca_file: Option<PathBuf>,
    /// `HTTPS_PROXY` and `NO_PROXY`, as curl reads them.
    pub proxy: Arc<Matcher>,
}

/// The connector cannot be set up. Each message begins with the setting to check.
#[derive(Debug, thiserror::Error)]
pub enum ConnectSetupError {
    /// The CA file cannot be read.
    #[error("upstream.extra_ca_file: cannot be read: {0}")]
    CaUnreadable(#[source] io::Error),
    /// The CA file is not valid PEM, or has no certificate.
    #[error("upstream.extra_ca_file: contains no certificate in PEM format")]
    CaMissing,
    /// rustls rejects a certificate in the CA file.
    #[error("upstream.extra_ca_file: contains an invalid certificate: {0}")]
    CaUnusable(#[source] rustls::Error),
    /// The proxy in `HTTPS_PROXY` is neither http nor https, e.g. SOCKS.
    #[error("HTTPS_PROXY: only http:// and https:// proxies are supported")]
    ProxyKind,
    /// rustls supports no common protocol version and cipher suite (a bug in the build).
    #[error("tls: {0}")]
    Tls(#[source] rustls::Error),
}

/// Connecting failed. Says which step failed, and contains nothing that the other side sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectFailed(pub Unreachable);

/// Makes a new connection when the pool needs one.
#[derive(Clone)]
pub struct Connector {
    https: HttpsConnector<Route>,
    timeout: Duration,
}

type BoxError = Box<dyn StdError + Send + Sync>;
type Tcp = HttpConnector<Resolver>;
type RouteStream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The system's DNS resolver; sets `WAITING` while it resolves a name.
#[derive(Clone)]
struct Resolver(GaiResolver);

/// How to reach the origin's port: directly, or through a proxy's `CONNECT` tunnel.
#[derive(Clone)]
enum Route {
    Direct(Tcp),
    Tunnel(Box<Tunnel<HttpsConnector<Tcp>>>),
}

// === impl Connector ===

impl Connector {
    /// A connector for `origin`, the only host it connects to.
    ///
    /// # Errors
    /// [`ConnectSetupError`] for an extra CA file or a proxy that cannot be used.
    pub fn new(origin: &Uri, options: &ConnectOptions) -> Result<Self, ConnectSetupError> {
        let tls = tls_config(options.extra_ca_file.as_deref())?;
        let route = Route::new(origin, options, &tls)?;
        // Plain HTTP too: the settings accept it only for an upstream on loopback.
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(route);
        Ok(Self { https, timeout: options.timeout })
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<RouteStream>;
    type Error = ConnectFailed;
    type Future = BoxFuture<'static, Result<Self::Response, ConnectFailed>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectFailed>> {
        self.https.poll_ready(cx).map_err(|error| to_connect_failed(&*error))
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        in_time(self.timeout, self.https.call(origin)).boxed()
    }
}

async fn in_time<T>(
    deadline: Duration,
    connecting: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, ConnectFailed> {
    let connected = async {
        match tokio::time::timeout(deadline, connecting).await {
            Ok(connected) => connected.map_err(|error| to_connect_failed(&*error)),
            Err(_elapsed) => Err(ConnectFailed(WAITING.with(Cell::get))),
        }
    };
    WAITING.scope(Cell::new(Unreachable::ConnectTimeout), connected).await
}

// === impl Resolver ===

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = ConnectFailed;
    type Future = BoxFuture<'static, Result<GaiAddrs, ConnectFailed>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectFailed>> {
        self.0.poll_ready(cx).map_err(|_error| ConnectFailed(Unreachable::Dns))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        resolved(self.0.call(name)).boxed()
    }
}

async fn resolved<T>(resolving: impl Future<Output = io::Result<T>>) -> Result<T, ConnectFailed> {
    WAITING.with(|waiting| waiting.set(Unreachable::DnsTimeout));
    let addresses = resolving.await;
    WAITING.with(|waiting| waiting.set(Unreachable::ConnectTimeout));
    addresses.map_err(|_error| ConnectFailed(Unreachable::Dns))
}

// === impl Route ===

impl Route {
    fn new(origin: &Uri, options: &ConnectOptions, tls: &ClientConfig) -> Result<Self, ConnectSetupError> {
        // HTTP_PROXY is not used: an origin with plain HTTP is on loopback, which needs no proxy.
        let intercept = match origin.scheme_str() {
            Some("https") => options.proxy.intercept(origin),
            Some(_) | None => None,
        };
        let timeout = options.timeout;
        let Some(intercept) = intercept else { return Ok(Self::Direct(tcp(timeout))) };
        if !matches!(intercept.uri().scheme_str(), Some("http" | "https")) {
            return Err(ConnectSetupError::ProxyKind);
        }
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp(timeout));
        let tunnel = Tunnel::new(intercept.uri().clone(), to_proxy);
        Ok(Self::Tunnel(Box::new(match intercept.basic_auth() {
            Some(credentials) => tunnel.with_auth(credentials.clone()),
            None => tunnel,
        })))
    }
}

impl Service<Uri> for Route {
    type Response = RouteStream;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<RouteStream, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(tcp) => tcp.poll_ready(cx).map_err(unconnected),
            Self::Tunnel(tunnel) => tunnel.poll_ready(cx).map_err(unconnected),
        }
    }

    fn call(&mut self, origin: Uri) -> Self::Future {
        match self {
            Self::Direct(tcp) => {
                let connecting = tcp.call(origin);
                async move { connecting.await.map(MaybeHttpsStream::Http).map_err(unconnected) }.boxed()
            }
            Self::Tunnel(tunnel) => {
                let connecting = tunnel.call(origin);
                async move { connecting.await.map_err(unconnected) }.boxed()
            }
        }
    }
}

fn tcp(timeout: Duration) -> Tcp {
    let mut tcp = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(TCP_KEEPALIVE));
    tcp.set_keepalive_interval(Some(BETWEEN_PROBES));
    tcp.set_keepalive_retries(Some(KEEPALIVE_PROBES));
    // hyper divides the timeout among the addresses of a name: if the first one does not respond, the others still get
    // a try.
    tcp.set_connect_timeout(Some(timeout));
    tcp
}

/// Maps an error below TLS. DNS errors are a [`ConnectFailed`] already.
fn unconnected<E: StdError + Send + Sync + 'static>(error: E) -> BoxError {
    Box::new(find(&error).unwrap_or_else(|| {
        // One of several addresses used its part of the timeout.
        let timed_out =
            in_chain::<io::Error>(&error).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        ConnectFailed(if timed_out { Unreachable::ConnectTimeout } else { Unreachable::Connect })
    }))
}

/// Maps an error of the whole connect. Errors below TLS are a [`ConnectFailed`] already; any other is from TLS.
fn to_connect_failed(error: &(dyn StdError + Send + Sync + 'static)) -> ConnectFailed {
    find(error).unwrap_or_else(|| match in_chain::<rustls::Error>(error) {
        Some(rustls::Error::InvalidCertificate(_)) => ConnectFailed(Unreachable::Certificate),
        Some(_) | None => ConnectFailed(Unreachable::Tls),
    })
}

/// The [`ConnectFailed`] in an error's chain of sources.
pub(super) fn find(error: &(dyn StdError + 'static)) -> Option<ConnectFailed> {
    in_chain(error).copied()
}

/// The first `E` in an error's chain of sources.
fn in_chain<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    // `io::Error::source` skips the error that it wraps and returns that error's source, so look at the wrapped one
    // first.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(wrapped) => in_chain(wrapped),
        None => error.source().and_then(in_chain),
    }
}

fn tls_config(extra_ca_file: Option<&Path>) -> Result<ClientConfig, ConnectSetupError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = extra_ca_file {
        add_certificates(&mut roots, path)?;
    }
    // The crypto provider is explicit: rustls has no default once a second provider is among the dependencies.
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(ConnectSetupError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn add_certificates(roots: &mut RootCertStore, path: &Path) -> Result<(), ConnectSetupError> {
    let pem = fs::read(path).map_err(ConnectSetupError::CaUnreadable)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_error| ConnectSetupError::CaMissing)?;
    if certificates.is_empty() {
        return Err(ConnectSetupError::CaMissing);
    }
    for certificate in certificates {
        roots.add(certificate).map_err(ConnectSetupError::CaUnusable)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timeout_says_whether_dns_or_the_connection_was_slow() {
        let deadline = Duration::from_secs(3);
        let nameless = in_time(deadline, async {
            resolved(pending::<io::Result<()>>()).await?;
            Ok(())
        });
        assert_eq!(nameless.await, Err(ConnectFailed(Unreachable::DnsTimeout)));
        let unconnected = in_time(deadline, async {
            resolved(ready(Ok(()))).await?;
            pending::<Result<(), BoxError>>().await
        });
        assert_eq!(unconnected.await, Err(ConnectFailed(Unreachable::ConnectTimeout)));
    }

    #[test]
    fn an_address_that_used_up_its_share_of_the_time_is_a_timeout() {
        for (kind, how_far) in [
            (io::ErrorKind::TimedOut, Unreachable::ConnectTimeout),
            (io::ErrorKind::ConnectionRefused, Unreachable::Connect),
        ] {
            let error = unconnected(io::Error::from(kind));
            assert_eq!(find(&*error), Some(ConnectFailed(how_far)));
        }
    }
}
