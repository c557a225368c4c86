use std::num::NonZeroU32;

use super::super::{
    BodyShape, EmClicks, Fault, LinkListing, Recomputed, Scope, ScriptedCampaign, synthetic_id,
};
use super::*;

const ID: uuid::Uuid = uuid::Uuid::from_u128(0x0a11_c11c_0000_4000_9000_0000_0000_0001);
const MINUTE: Duration = Duration::from_mins(1);

/// A campaign that is sent a minute after the start, with a click each ten seconds from then on.
fn campaign(simulator: &Simulator) -> ScriptedCampaign {
    let sent = simulator.now() + MINUTE;
    ScriptedCampaign::new(sent, (1..=100).map(|click| sent + Duration::from_secs(click * 10)))
}

async fn statistics(simulator: &Simulator, ids: &str) -> Answer {
    let request = request(Method::GET, &format!("/v3/reports/stats/email_campaign_activities/{ids}"))
        .header(AUTHORIZATION, format!("Bearer {}", simulator.access_token()));
    send(simulator, request.body(String::new()).unwrap()).await.unwrap()
}

fn links(answer: &Answer) -> Vec<u64> {
    let report = answer.json();
    let links = report["link_click_counts"].as_array().unwrap().iter();
    links.map(|link| link["unique_clicks"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_report_shows_the_clicks_so_far_and_the_simulator_tells_how_many_these_are() {
    let simulator = simulator();
    assert_eq!(report(&simulator, &ID.to_string()).await.status, StatusCode::NOT_FOUND);
    simulator.play(ID, campaign(&simulator));
    let all = format!("{ID}?no_clicks=true");
    assert!(links(&report(&simulator, &all).await).is_empty(), "it is not sent yet");

    tokio::time::advance(MINUTE).await;
    assert_eq!(links(&report(&simulator, &all).await), [0; 8]);
    assert!(links(&report(&simulator, &ID.to_string()).await).is_empty(), "nobody has clicked");

    let mut before = 0;
    for _ in 0..20 {
        tokio::time::advance(Duration::from_secs(37)).await;
        let (clicked, all) =
            (links(&report(&simulator, &ID.to_string()).await), links(&report(&simulator, &all).await));
        let truth = simulator.clicks_shown(ID, LinkListing::Clicked, simulator.now()).map(u64::from);
        assert_eq!(
            (Some(clicked.iter().sum::<u64>()), Some(all.iter().sum())),
            (truth, truth),
            "{clicked:?} {all:?}"
        );
        assert!(all.len() == 8 && !clicked.contains(&0) && truth > Some(before), "{clicked:?} {all:?}");
        before += 3;
    }
    assert_eq!(simulator.clicks_shown(synthetic_id(1, 3), LinkListing::All, simulator.now()), None);
}

#[tokio::test(start_paused = true)]
async fn statistics_of_up_to_ten_activities_cost_one_call_of_the_same_quota() {
    let simulator = simulator();
    let period = 10 * MINUTE;
    let lagging = Recomputed::Every { period, phase: Duration::ZERO };
    let mut campaign = campaign(&simulator);
    campaign.statistics_recomputed = lagging;
    simulator.play(ID, campaign);
    tokio::time::advance(15 * MINUTE).await;
    let nine: Vec<_> = (0..9).map(|key| synthetic_id(key, 3).to_string()).collect();
    let ten = format!("{ID},{}", nine.join(","));
    let answer = statistics(&simulator, &ten).await;
    assert_eq!(answer.status, StatusCode::OK);
    let body = answer.json();
    let results = body["results"].as_array().unwrap();
    assert_eq!(results.len(), 10);
    // 54 clicks in the first ten minutes; the later ones are not yet in the statistics.
    assert_eq!(results[0]["campaign_activity_id"], ID.to_string());
    assert_eq!(results[0]["stats"]["em_clicks"], 54 + 54 / 4);
    assert_eq!(results[0]["last_refresh_time"], "2024-10-04T00:10:00.000Z");
    assert_eq!((simulator.spent_today(), simulator.statistics_calls(), simulator.calls()), (1, 1, 0));

    let escaped = statistics(&simulator, &ten.replace(',', "%2C")).await;
    assert_eq!(escaped.json(), body);
    let eleven = statistics(&simulator, &format!("{ten},{}", synthetic_id(10, 3))).await;
    assert_eq!(eleven.status, StatusCode::BAD_REQUEST);
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
    let fifth = statistics(&simulator, &ten).await;
    assert_eq!(
        (fifth.status, &fifth.json()["error_key"]),
        (StatusCode::TOO_MANY_REQUESTS, &"throttled".into())
    );

    simulator.revoke_access_tokens();
    assert_eq!(statistics(&simulator, &ten).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(simulator.spent_today(), 4);
}

#[tokio::test(start_paused = true)]
async fn one_id_that_is_unknown_malformed_or_not_sent_fails_the_whole_call() {
    let simulator = Simulator::new(Options { per_second: 0, ..options() });
    simulator.play(ID, campaign(&simulator));
    let unknown = uuid::Uuid::from_u128(7).to_string();
    for bad in [unknown.as_str(), "not-an-id", "", &ID.to_string(), &synthetic_id(5, 0).to_string()] {
        let answer = statistics(&simulator, &format!("{SENT},{bad}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{bad}");
    }
    assert_eq!(simulator.spent_today(), 5);
    tokio::time::advance(MINUTE).await;
    assert_eq!(statistics(&simulator, &format!("{SENT},{ID}")).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_token_without_the_scope_is_a_fault_of_the_statistics_endpoint_alone() {
    let simulator = simulator();
    let forbidden = Fault::Status { status: StatusCode::FORBIDDEN, shape: BodyShape::Object };
    simulator.inject(forbidden, Scope::StatisticsCalls);
    let answer = statistics(&simulator, SENT).await;
    assert_eq!(
        (answer.status, &answer.json()["error_key"]),
        (StatusCode::FORBIDDEN, &"access_denied".into())
    );
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
    simulator.clear_faults();
    let put = "/_simulator/fault?kind=status-503&on=stats";
    assert_eq!(control(&simulator, Method::PUT, put).await.status, StatusCode::OK);
    assert_eq!(statistics(&simulator, SENT).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn em_clicks_can_stand_still_while_the_report_moves() {
    let simulator = Simulator::new(Options { per_second: 0, ..options() });
    let mut campaign = campaign(&simulator);
    campaign.em_clicks = EmClicks::Nth(NonZeroU32::new(3).unwrap());
    simulator.play(ID, campaign);
    tokio::time::advance(MINUTE).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        tokio::time::advance(Duration::from_secs(10)).await;
        let statistics = statistics(&simulator, &ID.to_string()).await.json();
        let clicks: u64 = links(&report(&simulator, &ID.to_string()).await).iter().sum();
        seen.push((clicks, statistics["results"][0]["stats"]["em_clicks"].as_u64().unwrap()));
    }
    assert_eq!(seen, [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1), (6, 2)]);
}
