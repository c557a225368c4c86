//! Tests of the connector and the client over real sockets: TLS, ALPN, a proxy, and unreachable peers.

use std::{io::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response, Uri, Version};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::{
    client::proxy::matcher::Matcher,
    rt::{TokioExecutor, TokioIo},
};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::{ConnectOptions, ConnectSetupError, Connector, HttpClient};
use crate::report::{Cause, Unreachable, UpstreamFailure};

const NAME: &str = "upstream.test";

/// An HTTPS server that responds 200 to every request, over the HTTP version that ALPN selects.
struct TlsServer {
    port: u16,
    pem: tempfile::NamedTempFile,
    task: JoinHandle<()>,
}

impl TlsServer {
    async fn start(alpn: &[&str]) -> Self {
        Self::certified_until(4096, alpn).await
    }

    async fn certified_until(year: i32, alpn: &[&str]) -> Self {
        let mut certificate = CertificateParams::new(["localhost".to_owned(), NAME.to_owned()]).unwrap();
        certificate.not_after = rcgen::date_time_ymd(year, 1, 1);
        let signing_key = KeyPair::generate().unwrap();
        let cert = certificate.self_signed(&signing_key).unwrap();
        let mut pem = tempfile::NamedTempFile::new().unwrap();
        pem.write_all(cert.pem().as_bytes()).unwrap();
        let acceptor = TlsAcceptor::from(server_config(cert.der().clone(), &signing_key, alpn));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream));
            }
        });
        Self { port, pem, task }
    }

    fn options(&self) -> ConnectOptions {
        ConnectOptions { extra_ca_file: Some(self.pem.path().to_owned()), ..options() }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn server_config(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    alpn: &[&str],
) -> Arc<rustls::ServerConfig> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let hello = service_fn(|_request: Request<Incoming>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
    });
    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let io = TokioIo::new(stream);
    let _ended = if h2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, hello).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, hello).await
    };
}

fn options() -> ConnectOptions {
    ConnectOptions {
        timeout: Duration::from_secs(3),
        extra_ca_file: None,
        proxy: Arc::new(Matcher::builder().build()),
    }
}

async fn get(origin: &str, options: &ConnectOptions) -> Result<Version, Cause> {
    let origin: Uri = origin.parse().unwrap();
    let client = HttpClient::new(Connector::new(&origin, options).unwrap());
    let request = Request::get(origin).body(Empty::new()).unwrap();
    client.oneshot(request).await.map(|response| response.version())
}

#[tokio::test]
async fn http_2_is_used_if_alpn_selects_it_and_http_1_otherwise() {
    for (alpn, version) in [
        (&["h2", "http/1.1"] as &[_], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let server = TlsServer::start(alpn).await;
        let origin = format!("https://localhost:{}", server.port);
        assert_eq!(get(&origin, &server.options()).await, Ok(version));
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_of_another_name_is_refused() {
    let server = TlsServer::start(&[]).await;
    let refused = Err(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Certificate)));
    assert_eq!(get(&format!("https://localhost:{}", server.port), &options()).await, refused);
    let other_name = format!("https://127.0.0.1:{}", server.port);
    assert_eq!(get(&other_name, &server.options()).await, refused);
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused() {
    for (year, accepted) in [(2024, false), (4096, true)] {
        let server = TlsServer::certified_until(year, &[]).await;
        let got = get(&format!("https://localhost:{}", server.port), &server.options()).await;
        let refused = Err(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Certificate)));
        assert_eq!(got, if accepted { Ok(Version::HTTP_11) } else { refused });
    }
}

#[tokio::test]
async fn an_unreachable_upstream_says_which_step_failed() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(
        get(&format!("http://{free}"), &options()).await,
        Err(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Connect)))
    );
    // A label longer than DNS allows (RFC 1035 §2.3.4): it fails without a DNS query.
    let nameless = format!("http://{}.invalid", "a".repeat(64));
    assert_eq!(
        get(&nameless, &options()).await,
        Err(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Dns)))
    );
}

#[tokio::test]
async fn the_connect_timeout_covers_the_tls_handshake() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ConnectOptions { timeout: Duration::from_millis(50), ..options() };
    assert_eq!(
        get(&format!("https://{}", mute.local_addr().unwrap()), &options).await,
        Err(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::ConnectTimeout)))
    );
}

/// A server that accepts one connection, sends `bytes` after the first byte it reads, and closes it.
async fn sending(bytes: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
        stream.write_all(bytes).await.unwrap();
    });
    address
}

#[tokio::test]
async fn invalid_tls_and_invalid_http_are_their_own_errors() {
    let banner = b"220 mail.example ESMTP\r\n";
    assert_eq!(
        get(&format!("https://{}", sending(banner).await), &options()).await,
        Err(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Tls)))
    );
    assert_eq!(
        get(&format!("http://{}", sending(banner).await), &options()).await,
        Err(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::NotHttp)))
    );
}

#[tokio::test]
async fn a_pooled_connection_that_closed_while_idle_is_an_error_before_anything_was_sent() {
    let (answered, mut connections) = mpsc::unbounded_channel();
    let connector = tower::service_fn(move |_origin: Uri| {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let answered = answered.clone();
        tokio::spawn(async move {
            while !theirs.read_u8().await.unwrap().is_ascii_control() {}
            theirs.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            answered.send(theirs).unwrap();
        });
        std::future::ready(Ok::<_, super::ConnectFailed>(crate::simulator::Pipe::new(ours)))
    });
    let client = HttpClient::new(connector);
    let send = || client.clone().oneshot(Request::get("http://upstream.test/").body(Empty::new()).unwrap());
    assert_eq!(send().await.unwrap().status(), 204);
    // Closed, and the pool has not noticed yet.
    drop(connections.try_recv().unwrap());
    assert_eq!(send().await.unwrap_err(), Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Closed)));
    assert_eq!(send().await.unwrap().status(), 204);
}

/// A proxy that tunnels every connection to `port`, or refuses all if that is `None`. Its requests are sent to the
/// channel.
async fn proxy(port: Option<u16>) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            seen.send(String::from_utf8(head).unwrap()).unwrap();
            let Some(port) = port else {
                client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
                continue;
            };
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    (address.port(), requests)
}

#[tokio::test]
async fn https_proxy_is_honoured_with_its_credentials() {
    let server = TlsServer::start(&["h2"]).await;
    let (port, mut requests) = proxy(Some(server.port)).await;
    let matcher = Matcher::builder().https(format!("http://user:pass@127.0.0.1:{port}")).build();
    let options = ConnectOptions { proxy: Arc::new(matcher), ..server.options() };
    // The proxy resolves the name; it does not exist in DNS.
    assert_eq!(get(&format!("https://{NAME}:{}", server.port), &options).await, Ok(Version::HTTP_2));
    let asked = requests.recv().await.unwrap();
    assert!(asked.starts_with(&format!("CONNECT {NAME}:{} HTTP/1.1\r\n", server.port)), "{asked}");
    assert!(asked.contains("Proxy-Authorization: Basic dXNlcjpwYXNz\r\n"), "{asked}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_a_connect_error() {
    let (port, _requests) = proxy(None).await;
    let matcher = Matcher::builder().https(format!("http://127.0.0.1:{port}")).build();
    let options = ConnectOptions { proxy: Arc::new(matcher), ..options() };
    assert_eq!(
        get(&format!("https://{NAME}"), &options).await,
        Err(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Connect)))
    );
}

#[tokio::test]
async fn no_proxy_connects_directly() {
    let server = TlsServer::start(&[]).await;
    let (port, mut requests) = proxy(None).await;
    let matcher = Matcher::builder().https(format!("http://127.0.0.1:{port}")).no("localhost").build();
    let options = ConnectOptions { proxy: Arc::new(matcher), ..server.options() };
    assert_eq!(get(&format!("https://localhost:{}", server.port), &options).await, Ok(Version::HTTP_11));
    assert!(requests.try_recv().is_err());
}

#[test]
fn a_setup_error_names_its_setting() {
    let origin = Uri::from_static("https://api.cc.email");
    let socks = Matcher::builder().https("socks5://127.0.0.1:1080").build();
    let setup = |options: ConnectOptions| Connector::new(&origin, &options).err().unwrap();
    let error = setup(ConnectOptions { proxy: Arc::new(socks), ..options() });
    assert!(matches!(error, ConnectSetupError::ProxyKind));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let error = setup(ConnectOptions { extra_ca_file: Some(file.path().to_owned()), ..options() });
    assert!(matches!(error, ConnectSetupError::CaMissing));
    file.write_all(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let error = setup(ConnectOptions { extra_ca_file: Some(file.path().to_owned()), ..options() });
    assert!(matches!(error, ConnectSetupError::CaUnusable(_)));
    let error = setup(ConnectOptions { extra_ca_file: Some("/nonexistent".into()), ..options() });
    assert!(error.to_string().starts_with("upstream.extra_ca_file: cannot be read"), "{error}");
}

#[tokio::test]
async fn a_connection_that_dies_in_silence_is_found_within_a_minute() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let connected = Connector::new(&origin, &options()).unwrap().oneshot(origin).await.unwrap();
    let MaybeHttpsStream::Http(MaybeHttpsStream::Http(stream)) = connected else { panic!("plain HTTP") };
    let socket = SockRef::from(stream.inner());
    let probed = socket.tcp_keepalive_interval().unwrap() * socket.tcp_keepalive_retries().unwrap();
    assert_eq!(socket.tcp_keepalive_time().unwrap() + probed, Duration::from_secs(60));
}

#[tokio::test]
async fn a_connection_that_closes_without_a_response_is_broken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let closing = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap();
    });
    assert_eq!(
        get(&origin, &options()).await,
        Err(Cause::Upstream(UpstreamFailure::Unreachable(Unreachable::Broken)))
    );
    closing.await.unwrap();
}

#[tokio::test]
async fn a_warm_connection_is_used_again_and_a_redirect_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let redirect = service_fn(|_request: Request<Incoming>| async {
            Response::builder().status(302).header("location", "/elsewhere").body(Full::new(Bytes::new()))
        });
        // The listener is dropped with this task, so a second connection would be refused.
        drop(listener);
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), redirect).await
    });
    let client = HttpClient::new(Connector::new(&origin, &options()).unwrap());
    for _ in 0..3 {
        let response =
            client.clone().oneshot(Request::get(&origin).body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 302);
        response.into_body().collect().await.unwrap();
    }
    serving.abort();
}
