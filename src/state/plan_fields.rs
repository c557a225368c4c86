//! The JSON forms of the parts of a plan record.
//!
//! A number that is not finite has no JSON form. It is written as null and read as NaN, which is refused when the plan is
//! restored: so one bad number costs one campaign, and not the file.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    refresh::{
        CampaignRecord, ClickHistoryRecord, HistoriesRecord, LastLook, PriceRecord, ReportForm, UtcTime,
    },
    report::ActivityId,
};

/// `[id, seconds of the last poll, last look, history]`, and the history of the other form if the forms are separate.
#[derive(Serialize, Deserialize)]
pub(super) struct CampaignFields(
    #[serde(deserialize_with = "id")] ActivityId,
    Option<u64>,
    LookFields,
    HistoryFields,
    Option<HistoryFields>,
);

/// `[milliseconds of the last look, clicks at it, seen clicks, seen seconds]`.
#[derive(Serialize, Deserialize)]
struct HistoryFields(u64, u32, Amount, Amount);

#[derive(Serialize, Deserialize)]
enum LookFields {
    #[serde(rename = "c")]
    Clicked,
    #[serde(rename = "a")]
    AllLinks,
    #[serde(rename = "p")]
    Probe,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PriceFields {
    at_unix_ms: u64,
    per_day: u32,
    u: Amount,
    calls: (Amount, Amount),
    recent: (Amount, Amount, Amount),
    unseen: Amount,
    days: Vec<[Option<Amount>; 24]>,
    today: [(Amount, Amount); 24],
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(from = "Option<f64>", into = "f64")]
struct Amount(f64);

// === impl CampaignFields ===

impl CampaignFields {
    pub(super) fn of(id: ActivityId, record: &CampaignRecord) -> Self {
        let CampaignRecord { histories, last_polled, last_look } = record;
        let last_polled = last_polled.map(|polled| polled.as_secs());
        let look = match last_look {
            LastLook::Report(ReportForm::Clicked) => LookFields::Clicked,
            LastLook::Report(ReportForm::AllLinks) => LookFields::AllLinks,
            LastLook::Probe => LookFields::Probe,
        };
        let (history, other) = match histories {
            HistoriesRecord::Paired(both) => (both, None),
            HistoriesRecord::Separate([clicked, all]) => (clicked, Some(HistoryFields::of(all))),
        };
        Self(id, last_polled, look, HistoryFields::of(history), other)
    }

    pub(super) fn into_record(self) -> (ActivityId, CampaignRecord) {
        let Self(id, last_polled, look, history, other) = self;
        let history = history.into_record();
        let record = CampaignRecord {
            histories: match other {
                None => HistoriesRecord::Paired(history),
                Some(other) => HistoriesRecord::Separate([history, other.into_record()]),
            },
            last_polled: last_polled.map(Duration::from_secs),
            last_look: match look {
                LookFields::Clicked => LastLook::Report(ReportForm::Clicked),
                LookFields::AllLinks => LastLook::Report(ReportForm::AllLinks),
                LookFields::Probe => LastLook::Probe,
            },
        };
        (id, record)
    }
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ActivityId, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    ActivityId::parse(text.as_bytes()).map_err(D::Error::custom)
}

// === impl HistoryFields ===

impl HistoryFields {
    fn of(record: &ClickHistoryRecord) -> Self {
        let ClickHistoryRecord { looked_at, clicks, seen_clicks, seen_seconds } = *record;
        Self(millis(looked_at), clicks, Amount(seen_clicks), Amount(seen_seconds))
    }

    fn into_record(self) -> ClickHistoryRecord {
        let Self(looked_at, clicks, Amount(seen_clicks), Amount(seen_seconds)) = self;
        ClickHistoryRecord { looked_at: Duration::from_millis(looked_at), clicks, seen_clicks, seen_seconds }
    }
}

// === impl PriceFields ===

impl PriceFields {
    pub(super) fn of(record: &PriceRecord) -> Self {
        let PriceRecord { at, per_day, u, calls, recent, unseen, days, today } = record;
        Self {
            at_unix_ms: millis(at.into_epoch()),
            per_day: *per_day,
            u: Amount(*u),
            calls: (Amount(calls.0), Amount(calls.1)),
            recent: (Amount(recent.0), Amount(recent.1), Amount(recent.2)),
            unseen: Amount(*unseen),
            days: days.iter().map(|day| day.map(|hour| hour.map(Amount))).collect(),
            today: today.map(|(demand, seconds)| (Amount(demand), Amount(seconds))),
        }
    }

    pub(super) fn into_record(self) -> PriceRecord {
        let Self { at_unix_ms, per_day, u, calls, recent, unseen, days, today } = self;
        PriceRecord {
            at: UtcTime::since_epoch(Duration::from_millis(at_unix_ms)),
            per_day,
            u: u.0,
            calls: (calls.0.0, calls.1.0),
            recent: (recent.0.0, recent.1.0, recent.2.0),
            unseen: unseen.0,
            days: days.into_iter().map(|day| day.map(|hour| hour.map(|Amount(demand)| demand))).collect(),
            today: today.map(|(Amount(demand), Amount(seconds))| (demand, seconds)),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

// === impl Amount ===

impl From<Option<f64>> for Amount {
    fn from(number: Option<f64>) -> Self {
        Self(number.unwrap_or(f64::NAN))
    }
}

impl From<Amount> for f64 {
    fn from(Amount(number): Amount) -> Self {
        number
    }
}
