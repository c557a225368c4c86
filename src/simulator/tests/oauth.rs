use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;

use super::super::{
    BodyShape, DEVICE_AUTHORIZE_PATH as DEVICE, Decision, Fault, RefreshTokenPolicy, Scope,
    TOKEN_PATH as TOKEN,
};
use super::*;

const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Posts a form as the public client, a second after whatever came before.
async fn post(simulator: &Simulator, target: &str, form: &[(&str, &str)]) -> Answer {
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.append_pair("client_id", &simulator.options().client_id).extend_pairs(form);
    send(simulator, request(Method::POST, target).body(body.finish()).unwrap()).await.unwrap()
}

async fn refresh(simulator: &Simulator, token: &str) -> Answer {
    post(simulator, TOKEN, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
}

async fn poll(simulator: &Simulator, codes: &Value) -> Answer {
    let code = codes["device_code"].as_str().unwrap();
    post(simulator, TOKEN, &[("grant_type", DEVICE_GRANT), ("device_code", code)]).await
}

#[tokio::test(start_paused = true)]
async fn a_rotating_token_is_used_once_and_its_successor_is_in_the_answer() {
    let simulator = simulator();
    let seed = simulator.refresh_token();
    let answer = refresh(&simulator, &seed).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&"Bearer".into(), &86_400.into()));
    assert_eq!(body["access_token"], simulator.access_token());
    assert_eq!(body["refresh_token"], simulator.refresh_token());
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);

    let reuse = refresh(&simulator, &seed).await;
    assert_eq!((reuse.status, &reuse.json()["error"]), (StatusCode::BAD_REQUEST, &"invalid_grant".into()));
    assert_eq!(refresh(&simulator, &simulator.refresh_token()).await.status, StatusCode::OK);
    assert_eq!(simulator.token_calls(), 3);
    let stats = control(&simulator, Method::GET, "/_simulator/stats").await;
    assert_eq!(stats.json()["refused_refresh_tokens"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_lived_token_comes_back() {
    let simulator = Simulator::new(Options { rotation: RefreshTokenPolicy::LongLived, ..options() });
    let seed = simulator.refresh_token();
    for _ in 0..3 {
        assert_eq!(refresh(&simulator, &seed).await.json()["refresh_token"], seed);
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_is_known_by_basic_or_by_its_id_in_the_form() {
    let simulator = simulator();
    let options = simulator.options();
    for (secret, status) in
        [("wrong", StatusCode::UNAUTHORIZED), (options.client_secret.expose_secret(), StatusCode::OK)]
    {
        tokio::time::advance(Duration::from_secs(1)).await;
        let basic = STANDARD.encode(format!("{}:{secret}", options.client_id));
        let form = format!("grant_type=refresh_token&refresh_token={}", simulator.refresh_token());
        let request = request(Method::POST, TOKEN).header(AUTHORIZATION, format!("Basic {basic}"));
        assert_eq!(send(&simulator, request.body(form).unwrap()).await.unwrap().status, status);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    let nobody = request(Method::POST, TOKEN).body("grant_type=refresh_token".to_owned()).unwrap();
    assert_eq!(send(&simulator, nobody).await.unwrap().json()["error"], "invalid_client");
    let other = post(&simulator, TOKEN, &[("grant_type", "client_credentials")]).await;
    assert_eq!(other.json()["error"], "unsupported_grant_type");
}

#[tokio::test(start_paused = true)]
async fn a_second_token_call_within_a_second_is_refused_and_kills_no_token() {
    let simulator = simulator();
    refresh(&simulator, &simulator.refresh_token()).await;
    let form = format!("grant_type=refresh_token&refresh_token={}", simulator.refresh_token());
    let hasty = send(&simulator, request(Method::POST, TOKEN).body(form).unwrap()).await.unwrap();
    assert_eq!(hasty.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(hasty.json()["error"].is_null(), "not a verdict on the token");
    assert_eq!(refresh(&simulator, &simulator.refresh_token()).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_fault_on_token_calls_can_lose_the_answer_of_a_rotation() {
    let simulator = simulator();
    let seed = simulator.refresh_token();
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    simulator.inject(Fault::Status { status, shape: BodyShape::Okta }, Scope::TokenCalls);
    assert_eq!(refresh(&simulator, &seed).await.json()["errorCode"], "E0000021");
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
    simulator.clear_faults();
    assert_eq!(refresh(&simulator, &seed).await.json()["error"], "invalid_grant");
    let consented_again = simulator.issue_refresh_token();
    assert_eq!(refresh(&simulator, &consented_again).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn the_device_flow_ends_on_the_approval_page() {
    let simulator = simulator();
    let codes = post(&simulator, DEVICE, &[("scope", "campaign_data offline_access")]).await.json();
    assert_eq!(codes["verification_uri"], "http://sim.example/activate");
    assert_eq!(poll(&simulator, &codes).await.json()["error"], "authorization_pending");
    assert_eq!(poll(&simulator, &codes).await.json()["error"], "slow_down");

    let user_code = codes["user_code"].as_str().unwrap();
    let page = control(&simulator, Method::GET, &format!("/activate?user_code={user_code}")).await;
    assert!(page.text().contains(user_code));
    let stranger = control(&simulator, Method::GET, "/activate?user_code=%3Cscript%3E").await;
    assert!(!stranger.text().contains("script"));
    let approved = post(&simulator, "/activate", &[("user_code", user_code), ("decision", "approve")]).await;
    assert_eq!(approved.status, StatusCode::OK);

    tokio::time::advance(Duration::from_secs(10)).await;
    let tokens = poll(&simulator, &codes).await.json();
    assert_eq!(tokens["access_token"], simulator.access_token());
    assert_eq!(refresh(&simulator, tokens["refresh_token"].as_str().unwrap()).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn without_offline_access_there_is_no_refresh_token_and_no_error() {
    let simulator = simulator();
    let codes = post(&simulator, DEVICE, &[("scope", "campaign_data")]).await.json();
    assert!(simulator.decide(codes["user_code"].as_str().unwrap(), Decision::Approve));
    let tokens = poll(&simulator, &codes).await.json();
    assert_eq!(tokens["scope"], "campaign_data");
    assert!(tokens["refresh_token"].is_null());
}

#[tokio::test(start_paused = true)]
async fn a_device_is_told_of_denial_and_expiry() {
    let simulator = simulator();
    let denied = post(&simulator, DEVICE, &[]).await.json();
    let late = post(&simulator, DEVICE, &[]).await.json();
    assert!(simulator.decide(denied["user_code"].as_str().unwrap(), Decision::Deny));
    assert_eq!(poll(&simulator, &denied).await.json()["error"], "access_denied");
    tokio::time::advance(simulator.options().device_code_lifetime).await;
    assert_eq!(poll(&simulator, &late).await.json()["error"], "expired_token");
}
