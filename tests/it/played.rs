//! The whole proxy on a day whose clicks are known: what its answers show, held against what the vendor showed.

use std::time::Duration;

use link_report_proxy::{
    plan::Scenario,
    simulator::{LinkListing, Options},
};
use tokio::time::{Instant, sleep_until};

use crate::support::{
    in_process::InProcess,
    played::{clicks_of, play},
};

#[tokio::test(start_paused = true)]
async fn an_answer_shows_what_the_vendor_showed_as_long_ago_as_age_says() {
    let workload = Scenario::Small.workload(1);
    let proxy = InProcess::facing(Options::default(), &[], |_vendor| ());
    let ids = play(&proxy.vendor, &workload, proxy.vendor.now());
    let (start, hours) = (Instant::now(), Duration::from_hours(3));
    let (mut answers, mut old) = (0_u32, 0);
    for poll in workload.polls.iter().take_while(|poll| poll.at < hours) {
        sleep_until(start + poll.at).await;
        let id = ids[poll.campaign as usize];
        let answer = proxy.get(&format!("/v3/reports/email_reports/{id}/links")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        // In whole seconds, rounded down.
        let age = Duration::from_secs(answer.header("age").parse().expect("an age"));
        let shown = |ago| {
            let at = proxy.vendor.now() - ago;
            proxy.vendor.clicks_shown(id, LinkListing::Clicked, at).expect("a campaign that is played")
        };
        let clicks = clicks_of(&answer.json());
        let (earliest, latest) = (shown(age + Duration::from_secs(1)), shown(age));
        assert!((earliest..=latest).contains(&clicks), "{clicks}, not {earliest} to {latest}: {answer:?}");
        answers += 1;
        old += u32::from(clicks < shown(Duration::ZERO));
    }
    assert!(answers > 1_000 && old > 100, "{answers} answers, of which {old} lack clicks");
}

#[tokio::test(start_paused = true)]
async fn the_vendor_plays_a_workload_as_the_replay_of_a_day_counts_it() {
    let proxy = InProcess::new();
    let midnight = std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 20_000);
    for scenario in [Scenario::Small, Scenario::Lagged, Scenario::Resend] {
        let mut workload = scenario.workload(2);
        workload.more_in_all_links = 7;
        let ids = play(&proxy.vendor, &workload, midnight);
        let sent = workload.waves.iter().map(|waves| waves[0].sent);
        for (campaign, (id, sent)) in (0..).zip(ids.iter().zip(sent)) {
            for minutes in (0..2 * 24 * 60).step_by(47) {
                let at = Duration::from_mins(minutes);
                let vendor = |listing| proxy.vendor.clicks_shown(*id, listing, midnight + at);
                let clicks = workload.shown(campaign, at);
                let all = if at.as_secs_f64() < sent { 0 } else { clicks + 7 };
                assert_eq!(
                    (vendor(LinkListing::Clicked), vendor(LinkListing::All)),
                    (Some(clicks), Some(all)),
                    "{} {campaign} {at:?}",
                    scenario.as_str()
                );
            }
        }
    }
}
