use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::refresh::{CampaignStats, ClickHistoryRecord, HistoriesRecord, LastLook, ReportForm, UtcTime};

/// The numbers are eighths, which are the same in JSON, and the times whole milliseconds.
fn eighths() -> impl Strategy<Value = f64> {
    (0..1_000_000_u32).prop_map(|eighths| f64::from(eighths) / 8.0)
}

fn history() -> impl Strategy<Value = ClickHistoryRecord> {
    (0..u64::MAX / 2, any::<u32>(), eighths(), eighths()).prop_map(
        |(millis, clicks, seen_clicks, seen_seconds)| {
            let looked_at = Duration::from_millis(millis);
            ClickHistoryRecord { looked_at, clicks, seen_clicks, seen_seconds }
        },
    )
}

fn campaign() -> impl Strategy<Value = CampaignRecord> {
    let histories = prop_oneof![
        history().prop_map(HistoriesRecord::Paired),
        [history(), history()].prop_map(HistoriesRecord::Separate),
    ];
    let last_polled =
        proptest::option::of(any::<u32>().prop_map(|seconds| Duration::from_secs(seconds.into())));
    let last_look = prop_oneof![
        Just(LastLook::Probe),
        Just(LastLook::Report(ReportForm::Clicked)),
        Just(LastLook::Report(ReportForm::AllLinks)),
    ];
    (histories, last_polled, last_look).prop_map(|(histories, last_polled, last_look)| CampaignRecord {
        histories,
        last_polled,
        last_look,
    })
}

fn price() -> impl Strategy<Value = PriceRecord> {
    let days = prop::collection::vec(prop::array::uniform24(proptest::option::of(eighths())), 0..=7);
    let recent = (eighths(), eighths(), eighths());
    let today = prop::array::uniform24((eighths(), eighths()));
    (any::<u32>(), any::<u32>(), eighths(), (eighths(), eighths()), recent, eighths(), days, today).prop_map(
        |(millis, per_day, u, calls, recent, unseen, days, today)| {
            let at = UtcTime::since_epoch(Duration::from_millis(millis.into()));
            PriceRecord { at, per_day, u, calls, recent, unseen, days, today }
        },
    )
}

fn plan() -> impl Strategy<Value = PlanRecord> {
    let id = any::<[u8; 16]>().prop_map(|bytes| ActivityId::from(Uuid::from_bytes(bytes)));
    (price(), prop::collection::vec((id, campaign()), 0..20))
        .prop_map(|(price, campaigns)| PlanRecord { price, campaigns })
}

proptest! {
    #[test]
    fn a_plan_comes_back_as_it_was_written(plan in plan()) {
        let bytes = plan.to_bytes().unwrap();
        prop_assert_eq!(PlanRecord::from_bytes(&bytes), Ok(plan));
    }
}

fn empty() -> PlanRecord {
    PlanRecord { price: price_of_nothing(), campaigns: Vec::new() }
}

fn price_of_nothing() -> PriceRecord {
    PriceRecord {
        at: UtcTime::since_epoch(Duration::ZERO),
        per_day: 10_000,
        u: 3.0,
        calls: (0.0, 0.0),
        recent: (0.0, 0.0, 0.0),
        unseen: 0.0,
        days: Vec::new(),
        today: [(0.0, 0.0); 24],
    }
}

/// Statistics whose JSON is as long as any can be.
fn longest() -> CampaignRecord {
    let longest = -1.234_567_890_123_456_7e-300;
    let history = ClickHistoryRecord {
        looked_at: Duration::from_millis(u64::MAX),
        clicks: u32::MAX,
        seen_clicks: longest,
        seen_seconds: longest,
    };
    CampaignRecord {
        histories: HistoriesRecord::Separate([history; 2]),
        last_polled: Some(Duration::from_secs(u32::MAX.into())),
        last_look: LastLook::Probe,
    }
}

fn with_campaigns(record: CampaignRecord, count: usize) -> PlanRecord {
    let id = |number: usize| ActivityId::from(Uuid::from_u128(u128::try_from(number).unwrap()));
    PlanRecord { campaigns: (0..count).map(|number| (id(number), record)).collect(), ..empty() }
}

#[test]
fn the_form_of_a_stored_plan_is_this() {
    let clicked = ClickHistoryRecord {
        looked_at: Duration::from_millis(1_795_666_951_250),
        clicks: 12,
        seen_clicks: 7.5,
        seen_seconds: 360.25,
    };
    let all = ClickHistoryRecord { clicks: 17, ..clicked };
    let paired = CampaignRecord {
        histories: HistoriesRecord::Paired(clicked),
        last_polled: Some(Duration::from_secs(1_795_666_960)),
        last_look: LastLook::Report(ReportForm::AllLinks),
    };
    let separate = CampaignRecord {
        histories: HistoriesRecord::Separate([clicked, all]),
        last_polled: None,
        last_look: LastLook::Probe,
    };
    let id = |text: &str| ActivityId::parse(text.as_bytes()).unwrap();
    let campaigns = vec![
        (id("8892baf9-970a-4de6-8400-fa4ec461986d"), paired),
        (id("9992baf9-970a-4de6-8400-fa4ec461986d"), separate),
    ];
    let bytes = PlanRecord { campaigns, ..empty() }.to_bytes().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let start = r#"{"format":1,"price":{"at_unix_ms":0,"per_day":10000,"u":3.0,"calls":[0.0,0.0],"#;
    assert!(text.starts_with(start), "{text}");
    let end = concat!(
        r#""campaigns":["#,
        r#"["8892baf9-970a-4de6-8400-fa4ec461986d",1795666960,"a",[1795666951250,12,7.5,360.25],null],"#,
        r#"["9992baf9-970a-4de6-8400-fa4ec461986d",null,"p",[1795666951250,12,7.5,360.25],"#,
        r#"[1795666951250,17,7.5,360.25]]]}"#,
    );
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn as_many_campaigns_as_are_allowed_fit_whatever_their_numbers_are_and_one_more_is_refused() {
    let mut plan = with_campaigns(longest(), PlanRecord::MAX_CAMPAIGNS);
    plan.price.days = vec![[Some(-1.234_567_890_123_456_7e-300); 24]; 7];
    let bytes = plan.to_bytes().unwrap();
    assert_eq!(PlanRecord::from_bytes(&bytes).unwrap().campaigns.len(), PlanRecord::MAX_CAMPAIGNS);
    let many = PlanRecord::MAX_CAMPAIGNS + 1;
    assert_eq!(with_campaigns(longest(), many).to_bytes(), Err(InvalidPlan::TooManyCampaigns(many)));
    let text = String::from_utf8(with_campaigns(longest(), 1).to_bytes().unwrap()).unwrap();
    let (before, campaign) = text.strip_suffix("]}").unwrap().split_once(r#""campaigns":["#).unwrap();
    // Shorter than ours, so that a million would be the only reason.
    let short = campaign.split(",[").next().unwrap().to_owned() + ",[0,0,0,0],null]";
    let of = |count: usize| format!(r#"{before}"campaigns":[{}]}}"#, vec![short.as_str(); count].join(","));
    assert!(PlanRecord::from_bytes(of(PlanRecord::MAX_CAMPAIGNS).as_bytes()).is_ok());
    assert_eq!(PlanRecord::from_bytes(of(many).as_bytes()), Err(InvalidPlan::TooManyCampaigns(many)));
    assert_eq!(PlanRecord::from_bytes(of(1_000_000).as_bytes()), Err(InvalidPlan::TooLarge));
}

#[test]
fn a_number_that_is_none_costs_its_campaign_and_not_the_file() {
    let now = Duration::from_secs(1_000);
    let good = ClickHistoryRecord {
        looked_at: Duration::from_secs(900),
        clicks: 7,
        seen_clicks: 2.0,
        seen_seconds: 30.0,
    };
    let campaign = |seen_seconds: f64| CampaignRecord {
        histories: HistoriesRecord::Paired(ClickHistoryRecord { seen_seconds, ..good }),
        last_polled: None,
        last_look: LastLook::Probe,
    };
    for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut plan = with_campaigns(campaign(30.0), 3);
        plan.campaigns[1].1 = campaign(wrong);
        plan.price.u = wrong;
        let read = PlanRecord::from_bytes(&plan.to_bytes().unwrap()).unwrap();
        assert!(read.price.u.is_nan(), "the price controller refuses it");
        let restored = read.campaigns.iter().map(|(_, record)| CampaignStats::restore(record, now).is_some());
        assert_eq!(restored.collect::<Vec<_>>(), [true, false, true], "{wrong}");
    }
}

#[test]
fn what_we_did_not_write_is_refused() {
    let good = String::from_utf8(with_campaigns(longest(), 2).to_bytes().unwrap()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let deep = "[".repeat(1_000_000);
    for text in [
        "",
        "{}",
        "null",
        "[1]",
        "{\"format\":1}",
        &good[..good.len() / 2],
        &good[..good.len() - 1],
        &changed("}", "}}"),
        &changed("\"u\":3.0", "\"u\":NaN"),
        &changed("\"u\":3.0", "\"u\":1e999"),
        &changed("\"u\":3.0", "\"u\":\"3\""),
        &changed("\"per_day\":10000,", ""),
        &changed("\"per_day\":10000", "\"per_day\":-1"),
        &changed("\"per_day\":10000", "\"per_day\":4294967296"),
        &changed("\"at_unix_ms\":0", "\"at_unix_ms\":0.5"),
        &changed("\"at_unix_ms\":0", "\"at_unix_ms\":18446744073709551616"),
        &changed("[0.0,0.0]", "[0.0]"),
        &changed("\"00000000-0000-0000-0000-000000000001\"", "\"1\""),
        &changed("\"00000000-0000-0000-0000-000000000001\"", "1"),
        &changed(",\"p\"", ",\"x\""),
        &changed(",\"p\"", ""),
        &deep,
        &deep.replace('[', "{\"a\":"),
    ] {
        let refused = PlanRecord::from_bytes(text.as_bytes()).unwrap_err();
        let shown = refused.to_string();
        assert!(matches!(refused, InvalidPlan::Damaged { .. } | InvalidPlan::TooLarge), "{shown}");
        assert!(shown.len() < 100, "{shown}");
    }
    PlanRecord::from_bytes(&[0xff; 99]).unwrap_err();
    let huge = changed("\"format\"", &format!("{}\"format\"", " ".repeat(PlanRecord::MAX_BYTES)));
    assert_eq!(PlanRecord::from_bytes(huge.as_bytes()), Err(InvalidPlan::TooLarge));
    for text in [changed("\"format\":1", "\"format\":2"), r#"{"format":2,"new":{}}"#.to_owned()] {
        assert_eq!(PlanRecord::from_bytes(text.as_bytes()), Err(InvalidPlan::OtherFormat(2)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn a_plan_with_other_bytes_in_it_is_refused_or_read_but_never_panics(
        plan in plan(), at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut text = plan.to_bytes().unwrap();
        let at = at.index(text.len());
        let end = text.len().min(at + bytes.len());
        text.splice(at..end, bytes);
        if let Ok(read) = PlanRecord::from_bytes(&text) {
            let now = Duration::from_secs(1_800_000_000);
            for (_, campaign) in &read.campaigns {
                if let Some(stats) = CampaignStats::restore(campaign, now) {
                    prop_assert!(stats.history(ReportForm::Clicked).rate().per_second().is_finite());
                }
            }
            prop_assert!(read.to_bytes().is_ok());
        }
    }
}
