use std::io::{ErrorKind, Read as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::super::{BodyShape, Fault, Limit, Scope, options::Compression};
use super::*;

async fn spoiled(fault: Fault) -> Answer {
    let simulator = simulator();
    simulator.inject(fault, Scope::All);
    report(&simulator, SENT).await
}

#[tokio::test(start_paused = true)]
async fn latency_delays_and_a_hang_never_ends() {
    let simulator = simulator();
    simulator.inject(Fault::Latency(Duration::from_secs(300)), Scope::Next(2));
    let start = Instant::now();
    let (one, other) = tokio::join!(report(&simulator, SENT), report(&simulator, SENT));
    assert_eq!((one.status, other.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(start.elapsed().as_secs(), 300);

    simulator.inject(Fault::Hang, Scope::Next(1));
    let waited = tokio::time::timeout(Duration::from_secs(86_400), report(&simulator, SENT));
    assert!(waited.await.is_err());
    // Once the server has noticed that its caller left:
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!((simulator.calls(), simulator.in_flight(), simulator.peak_in_flight()), (3, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_status_comes_with_the_shape_that_was_asked_for() {
    let status = StatusCode::FORBIDDEN;
    let object = spoiled(Fault::Status { status, shape: BodyShape::Object }).await;
    assert_eq!((object.status, &object.json()["error_key"]), (status, &"access_denied".into()));
    let array = spoiled(Fault::Status { status, shape: BodyShape::Array }).await;
    assert_eq!(array.json()[0]["error_key"], "access_denied");
    let empty = spoiled(Fault::Status { status, shape: BodyShape::Empty }).await;
    assert_eq!((empty.status, empty.text()), (status, ""));
}

#[tokio::test(start_paused = true)]
async fn a_429_can_carry_a_retry_after_of_a_day() {
    let retry_after = Some(Duration::from_secs(86_400));
    let answer = spoiled(Fault::Throttle { limit: Limit::PerDay, retry_after }).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.header("retry-after"), "86400");
    assert_eq!(answer.json()["error_key"], "quota_exceeded");
}

#[tokio::test(start_paused = true)]
async fn a_reset_gives_no_answer_and_a_truncated_body_breaks_off() {
    let simulator = simulator();
    simulator.inject(Fault::Reset, Scope::Next(1));
    assert!(answered_report(&simulator, SENT).await.is_none());
    let whole = report(&simulator, SENT).await;
    simulator.inject(Fault::Truncate, Scope::Next(1));
    let cut = report(&simulator, SENT).await;
    assert_eq!(cut.header("content-length"), whole.header("content-length"));
    assert_eq!((cut.status, cut.body), (StatusCode::OK, None));
}

#[tokio::test(start_paused = true)]
async fn answers_of_200_that_are_no_report_of_this_activity() {
    let html = spoiled(Fault::Html).await;
    assert_eq!((html.status, html.header("content-type")), (StatusCode::OK, "text/html; charset=utf-8"));
    assert!(spoiled(Fault::NotAnObject).await.json().is_array());
    let wrong = spoiled(Fault::WrongActivity).await.json();
    assert!(wrong["campaign_activity_id"].is_string() && wrong["campaign_activity_id"] != SENT);
    assert!(spoiled(Fault::NoArray).await.json()["link_click_counts"].is_object());
    let bytes = Bytes::from_static("{ \"größe\" : 12345678901234567890123 }\r\n".as_bytes());
    assert_eq!(spoiled(Fault::Body(bytes.clone())).await.body, Some(bytes));
}

#[tokio::test(start_paused = true)]
async fn a_dripping_body_takes_its_time_and_is_whole() {
    let start = Instant::now();
    let answer = spoiled(Fault::Drip(Duration::from_secs(1))).await;
    assert_eq!(answer.json()["campaign_activity_id"], SENT);
    assert_eq!(start.elapsed().as_secs(), answer.text().len() as u64 - 1);
}

#[tokio::test(start_paused = true)]
async fn huge_and_compressed_bodies_are_valid_reports() {
    let unzip = |answer: &Answer| {
        assert_eq!(answer.header("content-encoding"), "gzip");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&answer.body.as_ref().unwrap()[..]).read_to_string(&mut text).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["campaign_activity_id"], SENT);
        text.len()
    };
    let huge = spoiled(Fault::Huge).await;
    assert_eq!(huge.json()["campaign_activity_id"], SENT);
    assert!(huge.text().len() > 8 << 20);
    unzip(&spoiled(Fault::Gzip).await);
    let bomb = spoiled(Fault::GzipBomb).await;
    assert!(unzip(&bomb) == 16 << 20 && bomb.body.unwrap().len() < 256 << 10);
}

#[tokio::test(start_paused = true)]
async fn gzip_is_spoken_to_those_who_accept_it_where_it_is_on() {
    let simulator = Simulator::new(Options { compression: Compression::WhenAccepted, ..options() });
    assert!(!report(&simulator, SENT).await.headers.contains_key("content-encoding"));
    let accepting = request(Method::GET, &format!("/v3/reports/email_reports/{SENT}/links"))
        .header(AUTHORIZATION, format!("Bearer {}", simulator.access_token()))
        .header("accept-encoding", "br, gzip");
    let answer = send(&simulator, accepting.body(String::new()).unwrap()).await.unwrap();
    assert_eq!(answer.header("content-encoding"), "gzip");
}

#[tokio::test(start_paused = true)]
async fn the_control_path_injects_and_clears() {
    let simulator = simulator();
    let put = |query: &'static str| {
        let simulator = simulator.clone();
        async move { control(&simulator, Method::PUT, &format!("/_simulator/fault?{query}")).await.status }
    };
    for nonsense in ["", "kind=fire", "kind=html&id=7", "kind=html&next=0", "kind=html&on=sundays"] {
        let target = format!("/_simulator/fault?{nonsense}");
        let answer = control(&simulator, Method::PUT, &target).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{nonsense}");
    }
    assert_eq!(put("kind=redirect&next=1").await, StatusCode::OK);
    let redirected = report(&simulator, SENT).await;
    assert_eq!((redirected.status, redirected.header("location")), (StatusCode::FOUND, "/v3/redirected"));
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
    assert_eq!(put("kind=status-503").await, StatusCode::OK);
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::SERVICE_UNAVAILABLE);
    control(&simulator, Method::DELETE, "/_simulator/fault").await;
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
    // All four were spent, the spoiled ones too.
    assert_eq!(simulator.spent_today(), 4);
}

#[tokio::test]
async fn on_a_socket_a_reset_is_a_reset_and_a_dropped_server_hangs_up() {
    let simulator = simulator();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(simulator.clone().serve(listener));
    let ask = format!("GET /v3/reports/email_reports/{SENT}/links HTTP/1.1\r\nHost: sim.example\r\n\r\n");

    simulator.inject(Fault::Reset, Scope::Next(1));
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(ask.as_bytes()).await.unwrap();
    let error = socket.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    simulator.inject(Fault::Hang, Scope::Next(1));
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(ask.as_bytes()).await.unwrap();
    simulator.called(2).await;
    server.abort();
    assert_eq!(socket.read_to_end(&mut Vec::new()).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
}
