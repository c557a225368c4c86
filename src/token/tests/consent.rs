//! The device flow: a person decides, and is waited for politely.

use tokio::time::Instant;

use super::*;
use crate::simulator::{BodyShape, DEVICE_AUTHORIZE_PATH, Decision, Fault, Limit, Scope};

fn flow(vendor: &Simulator, secret: Option<&str>) -> DeviceFlow {
    let endpoint = |path: &str| {
        let form_client = FormClient::new(vendor::connector(vendor), Duration::from_secs(20));
        (format!("http://authz.example{path}").parse().unwrap(), form_client)
    };
    DeviceFlow {
        device: endpoint(DEVICE_AUTHORIZE_PATH),
        token: endpoint(TOKEN_PATH),
        client: Client { id: vendor.options().client_id.clone(), secret: secret.map(Into::into) },
    }
}

#[tokio::test(start_paused = true)]
async fn an_approval_brings_a_pair_that_works_with_and_without_a_client_secret() {
    for secret in [None, Some("simulated-client-secret")] {
        let place = Place::new(RefreshTokenPolicy::Rotating).watched();
        let flow = flow(&place.vendor, secret);
        let codes = flow.begin().await.unwrap();
        assert!(codes.complete_address.as_ref().unwrap().contains(&codes.user_code));
        let (waiting, deciding) = (flow.wait(&codes), async {
            pass(Duration::from_secs(60)).await;
            assert!(place.vendor.decide(&codes.user_code, Decision::Approve));
        });
        let (consent, ()) = tokio::join!(waiting, deciding);
        let record = consent.unwrap().record;
        assert_eq!(record.refresh_token.expose_secret(), place.vendor.refresh_token());
        assert!(record.access.is_some(), "which is used first");
        assert!(place.vendor.token_calls() <= 13, "each 5 s, and never too fast");
        place.inbox().leave(&record).await.unwrap();
        let process = place.start().await;
        assert_eq!(process.ask().await, Ok(StatusCode::OK));
        assert!(!format!("{flow:?} {codes:?} {record:?}").contains(&place.vendor.refresh_token()));
    }
}

#[tokio::test(start_paused = true)]
async fn each_way_to_no_consent_is_told_apart() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let flow = flow(&place.vendor, None);
    let codes = flow.begin().await.unwrap();
    place.vendor.decide(&codes.user_code, Decision::Deny);
    assert!(matches!(flow.wait(&codes).await, Err(DeviceError::Denied)));

    let codes = flow.begin().await.unwrap();
    assert!(matches!(flow.wait(&codes).await, Err(DeviceError::Expired)), "nobody came");

    let (mut codes, begun) = (flow.begin().await.unwrap(), Instant::now());
    let lifetime = codes.lifetime;
    codes.lifetime *= 2;
    assert!(matches!(flow.wait(&codes).await, Err(DeviceError::Expired)), "the server says so");
    assert!(begun.elapsed() < lifetime + Duration::from_secs(10), "{:?}", begun.elapsed());

    let codes = flow.begin().await.unwrap();
    let forbidden = Fault::Status { status: StatusCode::FORBIDDEN, shape: BodyShape::Gateway };
    place.vendor.inject(forbidden, Scope::TokenCalls);
    let error = flow.wait(&codes).await.unwrap_err().to_string();
    assert_eq!(error, "the token endpoint answered 403");
    place.vendor.clear_faults();

    let unknown = Client { id: "unknown".to_owned(), secret: None };
    let stranger = DeviceFlow { client: unknown, ..self::flow(&place.vendor, None) };
    assert!(matches!(stranger.begin().await, Err(DeviceError::Client(_))));

    for (body, refused) in [
        (r#"{"access_token":"a"}"#, "the answer holds no refresh token"),
        (r#"{"hush":1}"#, "the token endpoint's answer holds no usable token"),
    ] {
        let codes = flow.begin().await.unwrap();
        place.vendor.inject(Fault::Body(body.into()), Scope::TokenCalls);
        let error = flow.wait(&codes).await.unwrap_err().to_string();
        assert!(error.starts_with(refused), "{error}");
        place.vendor.clear_faults();
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_told_to_slow_down_does_and_gets_there() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let flow = flow(&place.vendor, None);
    let codes = flow.begin().await.unwrap();
    // A poll that was not ours makes our next one too fast.
    let other = async {
        pass(Duration::from_secs(4)).await;
        let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
        let fields = [grant, ("device_code", codes.device_code.expose_secret())];
        flow.token.1.post(flow.client.form(&flow.token.0, &fields)).await.unwrap();
        pass(Duration::from_secs(12)).await;
        place.vendor.inject(Fault::Reset, Scope::TokenCalls);
        pass(Duration::from_secs(60)).await;
        place.vendor.clear_faults();
        place.vendor.decide(&codes.user_code, Decision::Approve);
    };
    let (consent, ()) = tokio::join!(flow.wait(&codes), other);
    assert!(consent.is_ok(), "{consent:?}");
    assert!(place.vendor.token_calls() <= 8, "{}", place.vendor.token_calls());
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_waited_for_and_a_login_still_gets_there() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let flow = flow(&place.vendor, None);
    let codes = flow.begin().await.unwrap();
    let two_minutes = Duration::from_secs(120);
    let throttled = Fault::Throttle { limit: Limit::PerSecond, retry_after: Some(two_minutes) };
    place.vendor.inject(throttled, Scope::TokenCalls);
    let mending = async {
        pass(two_minutes).await;
        assert_eq!(place.vendor.token_calls(), 1);
        place.vendor.clear_faults();
        place.vendor.decide(&codes.user_code, Decision::Approve);
    };
    let (consent, ()) = tokio::join!(flow.wait(&codes), mending);
    assert!(consent.is_ok(), "{consent:?}");
    assert_eq!(place.vendor.token_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_authorization_server_that_is_down_for_a_while_is_waited_for() {
    let place = Place::new(RefreshTokenPolicy::Rotating);
    let flow = flow(&place.vendor, None);
    let codes = flow.begin().await.unwrap();
    let down = Fault::Status { status: StatusCode::INTERNAL_SERVER_ERROR, shape: BodyShape::Object };
    place.vendor.inject(down, Scope::TokenCalls);
    let mending = async {
        pass(Duration::from_secs(60)).await;
        place.vendor.clear_faults();
        place.vendor.decide(&codes.user_code, Decision::Approve);
    };
    let (consent, ()) = tokio::join!(flow.wait(&codes), mending);
    assert!(consent.is_ok(), "{consent:?}");
}
