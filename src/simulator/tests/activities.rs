use super::super::{Fault, Scope, campaigns::CampaignState, synthetic_id};
use super::*;

async fn activity(simulator: &Simulator, id: &str) -> Answer {
    let request = request(Method::GET, &format!("/v3/emails/activities/{id}"))
        .header(AUTHORIZATION, format!("Bearer {}", simulator.access_token()));
    send(simulator, request.body(String::new()).unwrap()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_activity_has_the_status_of_its_campaign_until_another_is_set() {
    let simulator = Simulator::new(Options { per_second: 0, ..options() });
    for campaign in simulator.campaigns() {
        let told = activity(&simulator, &campaign.id.to_string()).await.json();
        assert_eq!(told["current_status"], campaign.state.as_str());
        assert_eq!((&told["subject"], &told["role"]), (&campaign.name.into(), &"primary_email".into()));
    }
    let id = synthetic_id(3, 2);
    for state in CampaignState::ALL {
        let put = format!("/_simulator/status?id={id}&status={}", state.as_str());
        assert_eq!(control(&simulator, Method::PUT, &put).await.status, StatusCode::OK);
        assert_eq!(activity(&simulator, &id.to_string()).await.json()["current_status"], state.as_str());
    }
    let wrong = format!("/_simulator/status?id={id}&status=SENT");
    assert_eq!(control(&simulator, Method::PUT, &wrong).await.status, StatusCode::BAD_REQUEST);
    let unknown = uuid::Uuid::from_u128(7).to_string();
    assert_eq!(activity(&simulator, &unknown).await.status, StatusCode::NOT_FOUND);
    assert_eq!(activity(&simulator, "7").await.status, StatusCode::BAD_REQUEST);
    assert_eq!((simulator.activity_calls(), simulator.calls(), simulator.spent_today()), (16, 0, 16));
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_calls_for_activities_leaves_the_other_calls_alone() {
    let simulator = simulator();
    let put = "/_simulator/fault?kind=status-403&on=activities";
    assert_eq!(control(&simulator, Method::PUT, put).await.status, StatusCode::OK);
    let refused = activity(&simulator, SENT).await;
    assert_eq!(
        (refused.status, &refused.json()["error_key"]),
        (StatusCode::FORBIDDEN, &"access_denied".into())
    );
    assert_eq!(report(&simulator, SENT).await.status, StatusCode::OK);
    simulator.clear_faults();
    simulator.inject(Fault::Hang, Scope::All);
    assert_eq!(activity(&simulator, SENT).await.status, StatusCode::OK);
}
