//! The endpoint of an activity itself: its status, its subject and its role, without `include`.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use uuid::Uuid;

use super::bodies::{BAD_REQUEST, BodyShape, NOT_FOUND};
use super::campaigns::{self, CampaignState};
use super::clock::Moment;
use super::handle::State;
use super::reply::VendorReply;

/// Answers a call for this activity.
pub(super) fn answer(state: &State, started: Moment, now: Moment, activity: Option<Uuid>) -> VendorReply {
    let Some(id) = activity else {
        return VendorReply::json(StatusCode::BAD_REQUEST, BodyShape::Array.render(BAD_REQUEST));
    };
    let plan = campaigns::find(id);
    let scripted = state.scripted.get(&id).map(|campaign| campaign.state(now.since_epoch));
    let own = scripted.or_else(|| plan.map(|plan| plan.state(started, now)));
    let Some(status) = state.statuses.get(&id).copied().or(own) else {
        return VendorReply::json(StatusCode::NOT_FOUND, BodyShape::Array.render(NOT_FOUND));
    };
    let subject = plan.map_or("Scripted", |plan| plan.name());
    let body = json!({
        "campaign_activity_id": id,
        "campaign_id": Uuid::from_u128(!id.as_u128()),
        "role": "primary_email",
        "contact_list_ids": [Uuid::from_u128(id.as_u128().rotate_left(8))],
        "segment_ids": [],
        "current_status": status.as_str(),
        "format_type": 5,
        "from_email": "lamps@harbourlight.example",
        "from_name": "Harbour Light",
        "reply_to_email": "lamps@harbourlight.example",
        "subject": subject,
        "preheader": "",
    });
    VendorReply::json(StatusCode::OK, body.to_string())
}

// === impl CampaignState ===

impl CampaignState {
    /// Of a campaign that is sent at this time.
    pub(super) fn of_time(sent: Duration, now: Duration) -> Self {
        if sent > now { Self::Scheduled } else { Self::Done }
    }
}
