use super::super::{
    campaigns::{Campaign, CampaignState},
    synthetic_id,
};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_report_is_given_for_a_good_token_with_the_gateways_headers() {
    let simulator = simulator();
    let answer = report(&simulator, SENT).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["campaign_activity_id"], SENT);
    assert_eq!(answer.header("cache-control"), "no-store");
    for name in ["x-amzn-requestid", "set-cookie", "date"] {
        assert!(answer.headers.contains_key(name), "{name}");
    }
    assert!(!answer.headers.contains_key("content-encoding"));
}

#[tokio::test(start_paused = true)]
async fn no_clicks_is_false_unless_asked_for() {
    let simulator = simulator();
    let absent = report(&simulator, SENT).await;
    let no = report(&simulator, &format!("{SENT}?no_clicks=false")).await;
    let yes = report(&simulator, &format!("{SENT}?no_clicks=true")).await;
    assert_eq!(absent.body, no.body);
    assert!(yes.json()["link_click_counts"].as_array().unwrap().len() > 5);
    assert!(yes.text().len() > no.text().len());
    assert_eq!(report(&simulator, &format!("{SENT}?no_clicks=maybe")).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn errors_come_in_three_shapes_and_an_id_keeps_its_own() {
    let simulator = Simulator::new(Options { per_second: 0, ..options() });
    let mut shapes = [0; 3];
    for number in 0..30_u128 {
        let unknown = uuid::Uuid::from_u128(number).to_string();
        let answer = report(&simulator, &unknown).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.body, report(&simulator, &unknown).await.body);
        let body = answer.json();
        shapes[if body.is_array() { 0 } else { 1 + usize::from(body["error_key"].is_null()) }] += 1;
    }
    assert!(shapes.iter().all(|count| *count > 0), "{shapes:?}");
    let malformed = report(&simulator, "not-an-id").await;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    assert_eq!(malformed.json()[0]["error_key"], "bad_request");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_refused_when_wrong_absent_revoked_or_a_day_old() {
    let simulator = simulator();
    let path = format!("/v3/reports/email_reports/{SENT}/links");
    let bare = control(&simulator, Method::GET, &path).await;
    assert_eq!(bare.status, StatusCode::UNAUTHORIZED);
    assert_eq!(bare.json()["error_key"], "unauthorized");
    assert_eq!(bare.header("www-authenticate"), "Bearer realm=api.cc.email");

    tokio::time::advance(24 * HOUR - Duration::from_secs(1)).await;
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::UNAUTHORIZED);

    simulator.issue_access_token();
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
    simulator.revoke_access_tokens();
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(simulator.spent_today(), 1, "a refused token spends nothing");
}

#[tokio::test(start_paused = true)]
async fn the_two_429s_differ_by_error_key_and_say_no_retry_after() {
    let simulator = Simulator::new(Options { per_day: 10, ..options() });
    for _ in 0..4 {
        assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
    }
    let fifth = report(&simulator, SENT).await;
    assert_eq!(fifth.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(fifth.text(), r#"{"error_key":"throttled","error_message":"Too Many Requests"}"#);
    assert!(!fifth.headers.contains_key("retry-after"));

    tokio::time::advance(HOUR).await;
    simulator.spend_elsewhere(6);
    tokio::time::advance(HOUR).await;
    let eleventh = report(&simulator, SENT).await;
    assert_eq!(eleventh.text(), r#"{"error_key":"quota_exceeded","error_message":"Limit Exceeded"}"#);
    let stats = control(&simulator, Method::GET, "/_simulator/stats").await.json();
    assert_eq!((&stats["over_the_second"], &stats["over_the_day"]), (&1.into(), &1.into()));

    tokio::time::advance(22 * HOUR).await;
    simulator.issue_access_token();
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn requests_are_seen_as_they_came() {
    let simulator = simulator();
    let id = synthetic_id(0xff, 3).to_string().to_uppercase();
    report(&simulator, &id).await;
    report(&simulator, SENT).await;
    let seen = simulator.seen();
    assert_eq!(seen[0].target, format!("/v3/reports/email_reports/{id}/links?"));
    assert_eq!((seen[0].connection, seen[1].connection), (1, 2));
    let authorization = &seen[0].headers[AUTHORIZATION];
    assert_eq!(authorization, &format!("Bearer {}", simulator.access_token()));
    assert!(!format!("{seen:?}").contains(&simulator.access_token()));
    assert_eq!((simulator.calls(), simulator.calls_for(synthetic_id(0xff, 3))), (2, 1));
    assert_eq!((simulator.in_flight(), simulator.peak_in_flight()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_campaign_is_sent_in_time() {
    let simulator = simulator();
    let scheduled = |campaign: &Campaign| campaign.state == CampaignState::Scheduled;
    let campaign = simulator.campaigns().into_iter().find(scheduled).unwrap();
    let id = format!("{}?no_clicks=true", campaign.id);
    assert_eq!(report(&simulator, &id).await.json()["link_click_counts"], serde_json::json!([]));
    tokio::time::advance(3 * HOUR).await;
    assert!(!simulator.campaigns().iter().any(scheduled));
    assert_ne!(report(&simulator, &id).await.json()["link_click_counts"], serde_json::json!([]));
}

#[tokio::test(start_paused = true)]
async fn the_control_path_shows_no_secret_and_is_not_counted() {
    let simulator = simulator();
    report(&simulator, SENT).await;
    let stats = control(&simulator, Method::GET, "/_simulator/stats").await;
    assert_eq!(stats.json()["calls"], 1);
    assert_eq!(stats.json()["calls_by_activity"][SENT], 1);
    assert!(stats.text().contains("authorization") && !stats.text().contains(&simulator.access_token()));
    let campaigns = control(&simulator, Method::GET, "/_simulator/campaigns").await;
    assert_eq!(campaigns.json()[0]["campaign_activity_id"], SENT);
    assert!(control(&simulator, Method::GET, "/_simulator/").await.text().contains("gzip-bomb"));
    assert_eq!(control(&simulator, Method::POST, "/_simulator/spend?calls=41").await.status, StatusCode::OK);
    assert_eq!((simulator.seen().len(), simulator.spent_today()), (1, 42));
}

#[tokio::test(start_paused = true)]
async fn other_paths_and_methods_are_forbidden_as_the_gateway_says_it() {
    let simulator = simulator();
    for (method, path) in
        [(Method::GET, "/v3/contacts"), (Method::DELETE, "/v3/reports/email_reports/x/links")]
    {
        let answer = control(&simulator, method, path).await;
        assert_eq!((answer.status, answer.text()), (StatusCode::FORBIDDEN, r#"{"message":"Forbidden"}"#));
    }
}
