//! What the vendor says of a campaign activity itself: its status, its subject and its role. Of its many fields only these
//! three are read.

use std::{borrow::Cow, fmt, time::Duration};

use serde::Deserialize;

use super::{ActivityId, ClientNumber, Exchange, Exchanged, InvalidReport, KeyError, json_object::object};

/// The vendor's path.
const BEFORE_ID: &str = "/v3/emails/activities/";
/// Ours, on the data port.
const OWN_PATH: &str = "/v1/activities/";
/// The longest subject and role that are kept, in characters.
const LONGEST_TEXT: usize = 200;

/// The vendor's `current_status` of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivityStatus {
    /// It is being written.
    Draft,
    /// It will be sent at a time that is set.
    Scheduled,
    /// It is being sent.
    Executing,
    /// It was sent. It can be sent again, to others.
    Done,
    /// Sending it failed.
    Error,
    /// It was deleted.
    Removed,
    /// The upstream has no such activity: 400 or 404.
    NotFound,
    /// A word that the vendor does not document.
    Other,
}

/// What the vendor says of an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityDetails {
    /// Its status.
    pub status: ActivityStatus,
    /// The subject of the mail.
    pub subject: Option<Box<str>>,
    /// `primary_email`, `resend` or another word.
    pub role: Option<Box<str>>,
}

/// A call for the details of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusCall {
    /// The activity.
    pub id: ActivityId,
    /// Whose request is the reason.
    pub client: ClientNumber,
}

/// An answer of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedStatus {
    /// What it says.
    pub details: ActivityDetails,
    /// The exchange that brought it.
    pub exchange: Exchange,
}

#[derive(Deserialize)]
struct StatusFields<'a> {
    #[serde(borrow)]
    campaign_activity_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    current_status: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    role: Option<Cow<'a, str>>,
}

// === impl ActivityStatus ===

impl ActivityStatus {
    /// The vendor's word; ours for what is none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Scheduled => "SCHEDULED",
            Self::Executing => "EXECUTING",
            Self::Done => "DONE",
            Self::Error => "ERROR",
            Self::Removed => "REMOVED",
            Self::NotFound => "NOT_FOUND",
            Self::Other => "OTHER",
        }
    }

    /// For how long it is believed. None is final: what was sent can be sent again.
    pub const fn kept_for(self) -> Duration {
        match self {
            Self::Draft => Duration::from_mins(15),
            Self::Scheduled => Duration::from_mins(5),
            Self::Executing => Duration::from_mins(1),
            Self::Done => Duration::from_hours(24),
            Self::Error | Self::Removed | Self::NotFound | Self::Other => Duration::from_hours(1),
        }
    }

    fn of_word(word: &str) -> Self {
        match word {
            "DRAFT" => Self::Draft,
            "SCHEDULED" => Self::Scheduled,
            "EXECUTING" => Self::Executing,
            "DONE" => Self::Done,
            "ERROR" => Self::Error,
            "REMOVED" => Self::Removed,
            _ => Self::Other,
        }
    }
}

// === impl ActivityDetails ===

impl ActivityDetails {
    /// Parses the raw path of a request for what is known of an activity: `/v1/activities/{id}`, compared byte by byte as
    /// that of a report.
    ///
    /// # Errors
    /// [`KeyError`] for another path, or an invalid id.
    pub fn parse_path(path: &str) -> Result<ActivityId, KeyError> {
        let id =
            path.strip_prefix(OWN_PATH).filter(|id| !id.contains('/')).ok_or(KeyError::NoSuchResource)?;
        Ok(ActivityId::parse(id.as_bytes())?)
    }

    /// The path of every one of them, as a URI template.
    pub const TEMPLATE: &'static str = "/v1/activities/{campaign_activity_id}";

    /// Of an activity that the upstream does not know.
    pub const NOT_FOUND: Self = Self { status: ActivityStatus::NotFound, subject: None, role: None };

    /// Reads the body of a 200.
    ///
    /// # Errors
    /// [`InvalidReport::Missing`] if it has no `current_status`, [`InvalidReport::OtherActivity`] if it is about another
    /// activity.
    pub fn parse(id: ActivityId, body: &[u8]) -> Result<Self, InvalidReport> {
        let missing = InvalidReport::Missing("current_status");
        let fields: Option<StatusFields<'_>> = std::str::from_utf8(body).ok().and_then(object);
        let Some(StatusFields { campaign_activity_id, current_status: Some(status), subject, role }) = fields
        else {
            return Err(missing);
        };
        if campaign_activity_id.is_some_and(|told| ActivityId::parse(told.as_bytes()) != Ok(id)) {
            return Err(InvalidReport::OtherActivity);
        }
        let (subject, role) = (subject.and_then(printed), role.and_then(printed));
        Ok(Self { status: ActivityStatus::of_word(&status), subject, role })
    }
}

/// The text on one line, not longer than is kept; `None` if nothing is left.
fn printed(text: Cow<'_, str>) -> Option<Box<str>> {
    let kept: String = text.chars().filter(|char| !char.is_control()).take(LONGEST_TEXT).collect();
    let kept = kept.trim();
    (!kept.is_empty()).then(|| kept.into())
}

// === impl StatusCall ===

impl StatusCall {
    /// The canonical path of the upstream request.
    pub fn path(&self) -> String {
        format!("{BEFORE_ID}{}", self.id)
    }
}

/// For logs.
impl fmt::Display for StatusCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status of {}", self.id)
    }
}

// === impl FetchedStatus ===

impl Exchanged for FetchedStatus {
    fn exchange(&self) -> &Exchange {
        &self.exchange
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";

    fn parse(body: &str) -> Result<ActivityDetails, InvalidReport> {
        ActivityDetails::parse(ActivityId::parse(ID.as_bytes()).unwrap(), body.as_bytes())
    }

    #[test]
    fn status_subject_and_role_are_read_and_the_rest_is_skipped() {
        let body = format!(
            r#"{{"campaign_activity_id":"{}","contact_list_ids":[1],"current_status":"DONE","role":"primary_email","subject":" Spr\u00fcng\u0007\n lamps "}}"#,
            ID.to_uppercase()
        );
        let details = parse(&body).unwrap();
        assert_eq!(details.status, ActivityStatus::Done);
        assert_eq!(
            (details.subject.as_deref(), details.role.as_deref()),
            (Some("Sprüng lamps"), Some("primary_email"))
        );
        let least = parse(r#"{"current_status":"PAUSED","subject":"","role":null}"#).unwrap();
        assert_eq!(least, ActivityDetails { status: ActivityStatus::Other, subject: None, role: None });
        let long =
            parse(&format!(r#"{{"current_status":"DRAFT","subject":"{}"}}"#, "ü".repeat(1_000))).unwrap();
        assert_eq!(long.subject.unwrap().chars().count(), LONGEST_TEXT);
    }

    #[test]
    fn an_activity_is_asked_for_by_its_path_here_and_at_the_vendor() {
        let id = ActivityId::parse(ID.as_bytes()).unwrap();
        assert_eq!(ActivityDetails::parse_path(&format!("/v1/activities/{ID}")), Ok(id));
        for other in ["/v1/activities", "/v1/activity/7", &format!("/v1/activities/{ID}/links")] {
            assert_eq!(ActivityDetails::parse_path(other), Err(KeyError::NoSuchResource), "{other}");
        }
        let call = StatusCall { id, client: ClientNumber::ANONYMOUS };
        assert_eq!(call.path(), format!("/v3/emails/activities/{ID}"));
        assert_eq!(call.to_string(), format!("status of {ID}"));
        let exchange = Exchange { status: Some(200), ..Exchange::default() };
        let fetched = FetchedStatus { details: ActivityDetails::NOT_FOUND, exchange };
        assert_eq!(fetched.exchange().status, Some(200));
    }

    #[test]
    fn each_status_has_the_vendor_s_word() {
        use ActivityStatus as S;
        for status in [S::Draft, S::Scheduled, S::Executing, S::Done, S::Error, S::Removed] {
            let body = format!(r#"{{"current_status":"{}"}}"#, status.as_str());
            assert_eq!(parse(&body).unwrap().status, status);
        }
    }

    #[test]
    fn a_body_without_a_status_or_of_another_activity_is_invalid() {
        let missing = Err(InvalidReport::Missing("current_status"));
        for body in
            ["", "<html>", "[]", "{}", r#"{"current_status":null}"#, r#"{"current_status":7}"#, "\u{fffd}"]
        {
            assert_eq!(parse(body), missing, "{body}");
        }
        for id in ["1ead98be-dfa0-4e04-81f7-5f1534d42e9c", "7"] {
            let body = format!(r#"{{"campaign_activity_id":"{id}","current_status":"DONE"}}"#);
            assert_eq!(parse(&body), Err(InvalidReport::OtherActivity));
        }
    }
}
