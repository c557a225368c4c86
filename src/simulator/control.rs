//! The control path `/_simulator/`, for people who try `demo` and for tests of the real binary.
//! Its requests are neither recorded nor counted.

use std::fmt::Write as _;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::campaigns::{self, CampaignState, parse_id};
use super::faults::{Fault, KINDS, Scope};
use super::gateway::ReportCall;
use super::handle::Shared;
use super::oauth::FormFields;
use super::reply::VendorReply;

const PREFIX: &str = "/_simulator/";

/// The answer, if the call is for the control path.
pub(super) fn answer(world: &Shared, call: &ReportCall) -> Option<VendorReply> {
    let command = call.head.uri.path().strip_prefix(PREFIX)?;
    let query = FormFields::parse(call.head.uri.query().unwrap_or_default().as_bytes());
    Some(match (&call.head.method, command) {
        (&Method::GET, "") => text(StatusCode::OK, help()),
        (&Method::GET, "stats") => VendorReply::json(StatusCode::OK, stats(world).to_string()),
        (&Method::GET, "campaigns") => VendorReply::json(StatusCode::OK, campaigns(world).to_string()),
        (&Method::PUT, "fault") => put_fault(world, &query),
        (&Method::DELETE, "fault") => {
            world.state().faults.clear();
            text(StatusCode::OK, "no fault is left\n".to_owned())
        }
        (&Method::PUT, "status") => put_status(world, &query),
        (&Method::POST, "spend") => match query.get("calls").parse() {
            Ok(calls) => {
                world.state().quota.spend(world.clock.now(), calls);
                text(StatusCode::OK, "spent\n".to_owned())
            }
            Err(_) => text(StatusCode::BAD_REQUEST, "calls: how many?\n".to_owned()),
        },
        _ => text(StatusCode::NOT_FOUND, help()),
    })
}

fn put_fault(world: &Shared, query: &FormFields) -> VendorReply {
    let Ok(fault) = query.get("kind").parse::<Fault>() else {
        return text(StatusCode::BAD_REQUEST, help());
    };
    let scope = match (query.get("id"), query.get("next"), query.get("on")) {
        ("", "", "") => Some(Scope::All),
        ("", "", "token") => Some(Scope::TokenCalls),
        ("", "", "stats") => Some(Scope::StatisticsCalls),
        ("", "", "activities") => Some(Scope::ActivityCalls),
        (id, "", "") => parse_id(id).map(Scope::Activity),
        ("", next, "") => next.parse().ok().filter(|next| *next > 0).map(Scope::Next),
        _ => None,
    };
    let Some(scope) = scope else {
        return text(StatusCode::BAD_REQUEST, help());
    };
    let said = format!("{fault:?} on {scope:?}\n");
    world.state().faults.inject(fault, scope);
    text(StatusCode::OK, said)
}

fn put_status(world: &Shared, query: &FormFields) -> VendorReply {
    let status = CampaignState::ALL.into_iter().find(|state| state.as_str() == query.get("status"));
    match parse_id(query.get("id")).zip(status) {
        Some((id, status)) => {
            world.state().statuses.insert(id, status);
            text(StatusCode::OK, format!("{id} is {}\n", status.as_str()))
        }
        None => text(StatusCode::BAD_REQUEST, help()),
    }
}

fn stats(world: &Shared) -> Value {
    let now = world.clock.now();
    let mut state = world.state();
    let spent_today = state.quota.spent_today(now);
    let refused = state.quota.refused();
    let record = &state.record;
    let by_activity: Map<_, _> =
        record.by_activity().iter().map(|(id, calls)| (id.to_string(), json!(calls))).collect();
    let faults: Vec<_> =
        state.faults.injected().iter().map(|(fault, scope)| format!("{fault:?} on {scope:?}")).collect();
    json!({
        "calls": record.report_calls(),
        "statistics_calls": record.statistics_calls(),
        "activity_calls": record.activity_calls(),
        "token_calls": record.token_calls(),
        "refused_refresh_tokens": record.refused_refresh_tokens(),
        "calls_by_activity": by_activity,
        "in_flight": record.in_flight(),
        "peak_in_flight": record.peak_in_flight(),
        "connections": state.connections,
        "spent_today": spent_today,
        "over_the_second": refused.per_second,
        "over_the_day": refused.per_day,
        "faults": faults,
        // API calls only: requests for the approval page are of no interest here.
        "last_request": record.seen().rfind(|request| request.target.starts_with("/v3/")).map(|request| json!({
            "method": request.method.as_str(),
            "target": request.target,
            "connection": request.connection,
            "headers": without_secrets(&request.headers),
        })),
    })
}

/// As pairs: an object would hide a header that came twice.
fn without_secrets(headers: &HeaderMap) -> Value {
    let shown = |(name, value): (&http::HeaderName, &http::HeaderValue)| match *name {
        AUTHORIZATION | COOKIE => json!([name.as_str(), "(not shown)"]),
        _ => json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())]),
    };
    headers.iter().map(shown).collect()
}

fn campaigns(world: &Shared) -> Value {
    let list = campaigns::list(world.clock.start(), world.clock.now());
    let shown = |campaign: campaigns::Campaign| {
        json!({
            "campaign_activity_id": campaign.id,
            "name": campaign.name,
            "current_status": campaign.state.as_str(),
        })
    };
    list.into_iter().map(shown).collect()
}

fn help() -> String {
    let mut help = String::from(
        "A simulated Constant Contact.\n\n\
         GET    /_simulator/campaigns\n\
         GET    /_simulator/stats\n\
         POST   /_simulator/spend?calls=N            another program on the same key\n\
         DELETE /_simulator/fault                    ends all faults\n\
         PUT    /_simulator/fault?kind=KIND          on every report call\n\
         PUT    /_simulator/fault?kind=KIND&id=ID    on one activity's\n\
         PUT    /_simulator/fault?kind=KIND&next=N   on the next N\n\
         PUT    /_simulator/fault?kind=KIND&on=token on token calls\n\
         PUT    /_simulator/fault?kind=KIND&on=stats on calls of the statistics endpoint\n\
         PUT    /_simulator/fault?kind=KIND&on=activities on calls for an activity's status\n\
         PUT    /_simulator/status?id=ID&status=DONE or DRAFT, SCHEDULED, EXECUTING, ERROR, REMOVED\n\n\
         KIND, where numbers are yours to choose:\n",
    );
    for (kind, meaning) in KINDS {
        let _ = writeln!(help, "  {kind:<20} {meaning}");
    }
    help.push_str(
        "\nBesides the listed campaigns, every KKKKKKKK-0000-4000-8000-LLLLLLLLLLLL exists:\n\
         K any key in hexadecimal, L its number of links in decimal.\n",
    );
    help
}

fn text(status: StatusCode, body: String) -> VendorReply {
    VendorReply::new(status, "text/plain; charset=utf-8", body)
}
