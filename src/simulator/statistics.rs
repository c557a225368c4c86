//! The statistics endpoint: `em_clicks` and other totals of up to ten activities for one call. It knows sent activities
//! only, and one id that it does not know makes the whole call a 404.

use std::time::SystemTime;

use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::bodies::{BAD_REQUEST, BodyShape, NOT_FOUND};
use super::campaigns::{self, parse_id};
use super::clicks::ClickCounts;
use super::clock::Moment;
use super::handle::State;
use super::options::Options;
use super::reply::VendorReply;
use super::scripted::{EmClicks, EmailStatistics};

/// The most ids of one call.
const MOST_IDS: usize = 10;

/// Answers a call for these ids, separated by commas.
pub(super) fn answer(
    state: &State,
    options: &Options,
    started: Moment,
    now: Moment,
    ids: &str,
) -> VendorReply {
    // A client may escape the commas of a path.
    let ids = ids.replace("%2C", ",").replace("%2c", ",");
    if ids.split(',').count() > MOST_IDS {
        return VendorReply::json(StatusCode::BAD_REQUEST, BodyShape::Array.render(BAD_REQUEST));
    }
    let look = |id: &str| {
        let id = parse_id(id)?;
        Some(result(id, totals(state, options, started, now, id)?))
    };
    match ids.split(',').map(look).collect::<Option<Vec<_>>>() {
        Some(results) => {
            VendorReply::json(StatusCode::OK, json!({ "errors": [], "results": results }).to_string())
        }
        None => VendorReply::json(StatusCode::NOT_FOUND, BodyShape::Array.render(NOT_FOUND)),
    }
}

/// `None` for an id that does not exist or is not sent.
fn totals(
    state: &State,
    options: &Options,
    started: Moment,
    now: Moment,
    id: Uuid,
) -> Option<EmailStatistics> {
    if let Some(campaign) = state.scripted.get(&id) {
        return campaign.statistics(now.since_epoch);
    }
    let counts = ClickCounts::of(&campaigns::find(id)?, options.seed, started, now)?;
    Some(EmailStatistics::of(counts.sum(), [EmClicks::Every; 2], counts.computed_at))
}

/// One activity's part, with the field names of the vendor's page.
fn result(id: Uuid, totals: EmailStatistics) -> Value {
    let EmailStatistics { em_clicks, all_clicks, computed_at } = totals;
    let opens = all_clicks.saturating_mul(5);
    let sends = opens.saturating_mul(4);
    json!({
        "campaign_id": Uuid::from_u128(!id.as_u128()),
        "campaign_activity_id": id,
        "stats": {
            "em_sends": sends,
            "em_opens": opens,
            "em_clicks": em_clicks,
            "em_clicks.all": all_clicks,
            "em_not_opened": sends - opens,
            "em_bounces": 0,
            "em_optouts": 0,
            "em_abuse": 0,
            "em_forwards": 0,
        },
        "last_refresh_time":
            humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + computed_at).to_string(),
    })
}
