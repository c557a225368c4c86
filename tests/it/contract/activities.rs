//! `status.enabled`: whether the vendor says that an activity was sent, and what an empty report tells then.

use std::time::{Duration, SystemTime};

use http::Method;
use link_report_proxy::{
    report::ActivityId,
    simulator::{CampaignState, Fault, LinkListing, Options, Scope, ScriptedCampaign},
};

use crate::support::{
    in_process::{InProcess, failure, key, path, request, start},
    log::Log,
};

/// Never sent.
const DRAFT: &str = "6cc0d637-cf3d-4ac6-aad7-21567698eb38";
/// Sent, and clicked by nobody.
const SILENT: &str = "3c4fcf09-8815-4ff7-8a2c-6d5e4b3a2910";
const ON: (&str, &str) = ("STATUS__ENABLED", "true");

fn report(id: &str) -> String {
    format!("/v3/reports/email_reports/{id}/links")
}

fn activity(id: &str) -> String {
    format!("/v1/activities/{id}")
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_status_of_an_activity_is_told_and_kept_for_its_time() {
    let vendor = Options { access_token_lifetime: Duration::from_hours(24 * 30), ..Options::default() };
    let proxy = InProcess::facing(vendor, &[ON], |_vendor| ());
    let told = proxy.get(&activity(&DRAFT.to_uppercase())).await;
    assert_eq!((told.status, told.header("content-type")), (200, "application/json"));
    assert_eq!(
        told.text(),
        format!(
            "{{\"campaign_activity_id\":\"{DRAFT}\",\"status\":\"DRAFT\",\"sent\":\"no\",\"subject\":\"Summer catalogue\",\
             \"role\":\"primary_email\",\"checked_at\":\"2023-11-14T22:13:20Z\",\"age\":0,\"error_key\":null}}\n"
        )
    );
    let unknown = "1ead98be-0000-0000-0000-000000000000";
    for (id, status, state, sent, kept) in [
        (DRAFT, "DRAFT", CampaignState::Draft, "no", 15 * 60),
        (SILENT, "SCHEDULED", CampaignState::Scheduled, "no", 5 * 60),
        (SILENT, "EXECUTING", CampaignState::Executing, "yes", 60),
        // Just sent, and then not any more.
        (SILENT, "DONE", CampaignState::Done, "yes", 60),
        (SILENT, "DONE", CampaignState::Done, "yes", 24 * 3_600),
        (SILENT, "ERROR", CampaignState::Error, "unknown", 3_600),
        (SILENT, "REMOVED", CampaignState::Removed, "unknown", 3_600),
        (unknown, "NOT_FOUND", CampaignState::Draft, "unknown", 3_600),
    ] {
        if status != "NOT_FOUND" {
            proxy.vendor.set_status(id.parse().unwrap(), state);
        }
        pass(25 * 3_600).await;
        let before = proxy.vendor.activity_calls();
        for (wait, age, calls) in [(0, 0, 1), (kept - 1, kept - 1, 1), (1, 0, 2)] {
            pass(wait).await;
            let told = proxy.get(&activity(id)).await;
            assert_eq!(
                (&told.json()["status"], &told.json()["sent"]),
                (&status.into(), &sent.into()),
                "{id}"
            );
            assert_eq!((told.json()["age"].as_u64(), told.header("age")), (Some(age), &*age.to_string()));
            assert_eq!(proxy.vendor.activity_calls() - before, calls, "{status}");
        }
    }
    assert_eq!(proxy.vendor.calls(), 0);
    let series = "link_report_proxy_upstream_requests_total{code=\"200\",reason=\"status\"}";
    assert_eq!(proxy.metric(series).await, 15.0);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_such_resource_unless_it_is_enabled_and_the_vendor_s_path_never_is_one() {
    let (off, on) = (InProcess::new(), InProcess::with(&[ON]));
    let vendor_s = format!("/v3/emails/activities/{DRAFT}");
    assert_eq!(off.get(&activity(DRAFT)).await.status, 404);
    for proxy in [&off, &on] {
        assert_eq!(proxy.get(&vendor_s).await.status, 404);
        assert_eq!(proxy.get(&format!("{}/", activity(DRAFT))).await.status, 404);
    }
    let bad = on.get(&activity("7")).await;
    assert_eq!((bad.status, bad.json()["error_key"].as_str()), (400, Some("invalid_activity_id")));
    assert_eq!(on.send(request(Method::POST, &activity(DRAFT), &[])).await.status, 405);
    let foreign = on.get_with(&activity(DRAFT), &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(foreign.status, 403);
    assert_eq!((off.vendor.spent_today(), on.vendor.spent_today()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_callers_of_one_status_share_a_call_which_goes_on_without_them() {
    let proxy = InProcess::with(&[ON]);
    let asked = [(); 5].map(|()| proxy.get_meanwhile(&activity(DRAFT)));
    for asked in asked {
        assert_eq!(asked.await.unwrap().json()["sent"], "no");
    }
    let leaver = proxy.get_meanwhile(&activity(SILENT));
    while proxy.vendor.activity_calls() < 2 {
        tokio::task::yield_now().await;
    }
    leaver.abort();
    pass(1).await;
    assert_eq!(proxy.get(&activity(SILENT)).await.json()["sent"], "yes");
    assert_eq!(proxy.vendor.activity_calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_empty_report_says_why_and_only_while_it_is_empty_and_asked_for_does_that_cost_calls() {
    let proxy = InProcess::with(&[ON]);
    assert_eq!(proxy.get(&path(1)).await.cache_status(), "fwd=uri-miss; stored");
    assert_eq!(proxy.get(&path(1)).await.cache_status(), "hit; ttl=300");
    pass(60).await;
    assert_eq!(proxy.vendor.activity_calls(), 0, "the report has links");

    assert_eq!(proxy.get(&report(DRAFT)).await.cache_status(), "fwd=uri-miss; stored; detail=unknown");
    assert_eq!(proxy.get(&report(SILENT)).await.cache_status(), "fwd=uri-miss; stored; detail=unknown");
    // The first is asked about at once, the second half a minute later.
    pass(45).await;
    assert_eq!(proxy.get(&report(DRAFT)).await.cache_status(), "hit; ttl=15; detail=not_sent");
    assert_eq!(proxy.get(&report(SILENT)).await.cache_status(), "hit; ttl=15; detail=nobody_clicked");
    assert_eq!(proxy.vendor.activity_calls(), 2);

    let told = proxy.admin(&format!("/cache/{DRAFT}")).await.json();
    assert_eq!((&told["sent"]["answer"], &told["name"]), (&"no".into(), &"Summer catalogue".into()));
    assert_eq!(told["status"]["status"], "DRAFT");
    let planned = &told["reports"][0];
    assert_eq!(planned["next"], "served from the cache; refreshed once the mail is no longer a draft");
    assert_eq!((&planned["cost_calls"], planned["next_refresh_at"].is_null()), (&0.into(), true));

    // Nobody asks for the draft any more: it is asked about once more, as it was answered since.
    pass(6 * 3_600).await;
    assert_eq!(proxy.vendor.activity_calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn without_status_calls_a_report_of_all_links_tells_that_nobody_clicked() {
    let proxy = InProcess::new();
    for (id, expected) in [(DRAFT, "unknown"), (SILENT, "nobody_clicked")] {
        proxy.get(&format!("{}?no_clicks=true", report(id))).await;
        let told = proxy.get(&report(id)).await;
        assert_eq!(told.cache_status(), format!("fwd=uri-miss; stored; detail={expected}"));
        let told = proxy.get(&report(id)).await;
        assert_eq!(told.cache_status(), format!("hit; ttl=60; detail={expected}"));
    }
    pass(90).await;
    let stale = proxy.get(&report(SILENT)).await;
    assert_eq!(stale.cache_status(), "hit; ttl=-30; detail=nobody_clicked");
}

#[tokio::test(start_paused = true)]
async fn a_403_switches_status_calls_off_with_one_line_and_changes_nothing_else() {
    let (log, _guard) = Log::start();
    let proxy = InProcess::with(&[ON, ("CIRCUIT__CONSECUTIVE_FAILURES", "1")]);
    proxy.vendor.inject(failure(403), Scope::ActivityCalls);
    for id in [DRAFT, SILENT] {
        proxy.get(&report(id)).await;
    }
    for _ in 0..100 {
        pass(60).await;
        for id in [DRAFT, SILENT] {
            assert!(proxy.get(&report(id)).await.cache_status().ends_with("; detail=unknown"));
        }
    }
    let told = proxy.get(&activity(DRAFT)).await;
    assert_eq!((told.status, told.json()["sent"].as_str()), (200, Some("unknown")));
    assert_eq!(told.json()["error_key"], "upstream_forbidden");
    assert_eq!(proxy.vendor.activity_calls(), 1);
    assert_eq!(proxy.get(&path(1)).await.status, 200, "the circuit is closed");
    for series in ["circuit_state{state=\"closed\"}", "token_state{state=\"valid\"}"] {
        assert_eq!(proxy.metric(&format!("link_report_proxy_{series}")).await, 1.0, "{series}");
    }
    assert_eq!(log.text().matches("may not ask whether activities were sent").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn failed_status_calls_are_bounded_and_what_was_known_is_told() {
    let proxy = InProcess::with(&[ON]);
    proxy.get(&report(DRAFT)).await;
    pass(10).await;
    proxy.vendor.inject(failure(503), Scope::ActivityCalls);
    for _ in 0..4 * 60 {
        pass(60).await;
        assert_eq!(proxy.get(&report(DRAFT)).await.status, 200);
    }
    // After 1, 2, 4, 8 and then each 15 minutes.
    let calls = proxy.vendor.activity_calls();
    assert!((10..=20).contains(&calls), "{calls}");
    let told = proxy.get(&activity(DRAFT)).await.json();
    assert_eq!((&told["sent"], &told["error_key"]), (&"no".into(), &"upstream_error".into()));
}

#[tokio::test(start_paused = true)]
async fn callers_cause_no_loop_of_status_calls_whatever_fails() {
    for fault in [failure(500), failure(429), Fault::Hang, Fault::Html] {
        for (activities, pause, most) in [(1, 5, 25), (50, 60, 125)] {
            let proxy = InProcess::with(&[ON, ("QUOTA__PER_DAY", "10000")]);
            proxy.vendor.inject(fault.clone(), Scope::ActivityCalls);
            let mut asked = tokio::task::JoinSet::new();
            for _ in 0..3_600 / pause {
                for number in 0..activities {
                    asked.spawn(proxy.get_meanwhile(&activity(&key(number).id.to_string())));
                }
                pass(pause).await;
            }
            for told in asked.join_all().await {
                let told = told.unwrap();
                assert_eq!((told.status, told.json()["sent"].as_str()), (200, Some("unknown")));
                assert!(told.json()["error_key"].is_string() && told.json()["status"].is_null());
            }
            let calls = proxy.vendor.activity_calls();
            assert!(calls <= most, "{fault:?}, {activities} activities: {calls}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_callers_of_one_status_that_fails_share_the_failure() {
    let proxy = InProcess::with(&[ON]);
    proxy.vendor.inject(failure(503), Scope::ActivityCalls);
    let asked: Vec<_> = (0..20).map(|_| proxy.get_meanwhile(&activity(DRAFT))).collect();
    for asked in asked {
        assert_eq!(asked.await.unwrap().json()["error_key"], "upstream_error");
    }
    assert_eq!(proxy.vendor.activity_calls(), 1);
    proxy.vendor.clear_faults();
    pass(5).await;
    assert_eq!(proxy.get(&activity(DRAFT)).await.json()["sent"], "no", "the pause is over");
}

#[tokio::test(start_paused = true)]
async fn status_calls_keep_to_the_hour_s_share_of_refreshes() {
    let planned = [ON, ("CACHE__REFRESH", "planned"), ("QUOTA__PER_DAY", "1000")];
    let proxy = InProcess::with(&planned);
    for number in 0..200 {
        let told = proxy.get(&activity(&key(number).id.to_string())).await;
        let denied = (number >= 150).then_some("quota_exhausted");
        assert_eq!((told.status, told.json()["error_key"].as_str()), (200, denied), "{number}");
    }
    assert_eq!(proxy.vendor.activity_calls(), 150);
    assert_eq!(proxy.get(&path(1)).await.status, 200, "an uncached report");
}

#[tokio::test(start_paused = true)]
async fn status_calls_stop_before_the_calls_for_uncached_reports_do() {
    let proxy = InProcess::with(&[ON, ("QUOTA__PER_DAY", "20"), ("QUOTA__RESERVE", "0.9")]);
    for number in 1..=19 {
        assert_eq!(proxy.get(&path(number)).await.status, 200);
    }
    let told = proxy.get(&activity(DRAFT)).await;
    assert_eq!((told.status, told.json()["error_key"].as_str()), (200, Some("quota_exhausted")));
    assert_eq!(proxy.get(&report(DRAFT)).await.status, 200, "an uncached report");
    pass(60).await;
    assert_eq!(proxy.vendor.activity_calls(), 0);
}

/// How many calls for the report of this activity a dashboard causes that asks each half minute.
async fn calls_of_a_poller(settings: &[(&str, &str)], hours: u64) -> u64 {
    let proxy = InProcess::with(settings);
    for _ in 0..hours * 120 {
        proxy.get(&report(DRAFT)).await;
        pass(30).await;
    }
    proxy.vendor.calls_for(DRAFT.parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn with_the_plan_a_draft_s_report_is_not_fetched_while_its_status_tells_that_it_is_empty() {
    let planned = [("CACHE__REFRESH", "planned"), ("QUOTA__PER_DAY", "10000"), ("QUOTA__PER_SECOND", "4")];
    let without = calls_of_a_poller(&planned, 12).await;
    let with = calls_of_a_poller(&[planned.as_slice(), &[ON]].concat(), 12).await;
    assert!(with * 4 < without, "{with} of {without}");
}

/// How long after the first click of a mail it is shown, if the vendor says this of the mail from when it was sent.
async fn first_click_shown_after(state: CampaignState) -> Duration {
    let proxy = InProcess::with(&[ON]);
    let (id, begun) = (key(7).id, tokio::time::Instant::now());
    let uuid = ActivityId::to_string(&id).parse().unwrap();
    let sent = start() + Duration::from_mins(10);
    let clicks: Vec<SystemTime> = (1..=50).map(|minutes| sent + Duration::from_mins(minutes)).collect();
    proxy.vendor.play(uuid, ScriptedCampaign::new(sent, clicks));
    let target = report(&id.to_string());
    assert_eq!(proxy.get(&target).await.cache_status(), "fwd=uri-miss; stored; detail=unknown");
    // The empty report's lifetime has grown to 15 minutes by then.
    while proxy.vendor.now() < sent {
        pass(20).await;
        proxy.get(&target).await;
    }
    proxy.vendor.set_status(uuid, state);
    let shown_at = async || loop {
        pass(20).await;
        if proxy.get(&target).await.text().contains("unique_clicks") {
            break proxy.vendor.now().duration_since(sent).unwrap();
        }
    };
    let late = shown_at().await;
    let seen: Vec<_> = proxy.vendor.seen().into_iter().map(|seen| (seen.target, seen.at - begun)).collect();
    eprintln!("{state:?}: {seen:#?}");
    assert!(proxy.vendor.clicks_shown(uuid, LinkListing::Clicked, proxy.vendor.now()) > Some(0));
    late - Duration::from_mins(1)
}

#[tokio::test(start_paused = true)]
async fn a_report_is_refreshed_while_its_mail_is_being_sent_and_in_the_minutes_after() {
    for state in [CampaignState::Executing, CampaignState::Done] {
        let late = first_click_shown_after(state).await;
        // That it is sent is seen after five minutes at most.
        assert!(late < Duration::from_mins(5), "{state:?}: {late:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_causes_no_refresh_of_a_report_that_has_just_come() {
    let proxy = InProcess::with(&[ON, ("CACHE__REFRESH", "planned"), ("QUOTA__PER_DAY", "10000")]);
    let id = SILENT.parse().unwrap();
    proxy.vendor.set_status(id, CampaignState::Executing);
    proxy.get(&report(SILENT)).await;
    let mut calls = Vec::new();
    for wait in [3, 60] {
        pass(wait).await;
        assert_eq!(proxy.get(&activity(SILENT)).await.json()["status"], "EXECUTING");
        pass(1).await;
        calls.push(proxy.vendor.calls_for(id));
    }
    assert_eq!(calls, [1, 2], "a minute later it is refreshed");
}
