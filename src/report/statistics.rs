//! Statistics of campaign activities, of the vendor's endpoint that answers for up to ten in one call. Of its statistics
//! only the clicks are read: whether their count has risen tells whether a report is worth a call.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use tokio::time::Instant;

use super::{ActivityId, Exchange, Exchanged, InvalidReport, json_object::object};

const BEFORE_IDS: &str = "/v3/reports/stats/email_campaign_activities/";

/// A call for the statistics of some campaign activities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatisticsCall {
    /// 1 to [`Self::MAX_IDS`], each once.
    ids: Vec<ActivityId>,
}

/// What the upstream answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatisticsAnswer {
    /// The statistics of all or some of the activities. It has none of an activity that was not sent, or was deleted.
    Statistics(Vec<ActivityClicks>),
    /// 400 or 404: the upstream rejected the whole call, for at least one of its activities.
    Rejected,
}

/// The statistics of an activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityClicks {
    /// The activity.
    pub id: ActivityId,
    /// Its clicks. They are not the sum of `unique_clicks` in the activity's report: compare them only with themselves.
    pub clicks: u32,
    /// Which of the vendor's counts this is.
    pub counted: CountedClicks,
    /// `last_refresh_time`: when the upstream computed them, by its own clock.
    pub last_refresh_time: SystemTime,
}

/// What a count of clicks in the statistics is of. Two of different kinds cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountedClicks {
    /// All clicks: `em_clicks.all`, in other descriptions of the API `em_clicks_all`. Read where there is one.
    All,
    /// `em_clicks`. It may be the contacts who clicked any link, and would not move with a contact's second link.
    EmClicks,
}

/// An answer of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedStatistics {
    /// The statistics, or the rejection.
    pub answer: StatisticsAnswer,
    /// When its head arrived.
    pub answered_at: Instant,
    /// The upstream's clock then; ours, if it did not tell the time.
    pub clock: SystemTime,
    /// The exchange that brought it.
    pub exchange: Exchange,
}

#[derive(Deserialize)]
struct StatisticsResponse<'a> {
    #[serde(borrow)]
    results: Vec<ActivityResult<'a>>,
}

/// The vendor requires no field. A result without one of these tells nothing.
#[derive(Deserialize)]
struct ActivityResult<'a> {
    #[serde(borrow)]
    campaign_activity_id: Option<Cow<'a, str>>,
    stats: Option<StatisticsCounts>,
    #[serde(borrow)]
    last_refresh_time: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct StatisticsCounts {
    em_clicks: Option<u32>,
    #[serde(rename = "em_clicks.all")]
    all: Option<u32>,
    em_clicks_all: Option<u32>,
}

// === impl StatisticsCall ===

impl StatisticsCall {
    /// How many activities one call can ask for.
    pub const MAX_IDS: usize = 10;

    /// A call for these activities. `None` if there are none, too many, or one twice.
    pub fn new(ids: Vec<ActivityId>) -> Option<Self> {
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        ((1..=Self::MAX_IDS).contains(&ids.len()) && distinct.len() == ids.len()).then_some(Self { ids })
    }

    /// The activities.
    pub fn ids(&self) -> &[ActivityId] {
        &self.ids
    }

    /// The canonical path of the upstream request.
    pub fn path(&self) -> String {
        let ids: Vec<String> = self.ids.iter().map(ActivityId::to_string).collect();
        format!("{BEFORE_IDS}{}", ids.join(","))
    }
}

/// For logs.
impl fmt::Display for StatisticsCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "statistics of {}", self.ids[0])?;
        match self.ids.len() - 1 {
            0 => Ok(()),
            others => write!(f, " and {others} more"),
        }
    }
}

// === impl FetchedStatistics ===

impl FetchedStatistics {
    /// How old statistics of this answer were at [`answered_at`](Self::answered_at).
    pub fn age_of(&self, statistics: &ActivityClicks) -> Duration {
        self.clock.duration_since(statistics.last_refresh_time).unwrap_or_default()
    }
}

impl Exchanged for FetchedStatistics {
    fn exchange(&self) -> &Exchange {
        &self.exchange
    }
}

/// Reads the body of a 200. Results of activities that were not asked for are skipped.
///
/// # Errors
/// [`InvalidReport::NoStatistics`] if it is not JSON of the vendor's form, has an activity twice or more results than
/// activities can be asked for, or a time that cannot be read.
pub fn parse_statistics(call: &StatisticsCall, body: &[u8]) -> Result<Vec<ActivityClicks>, InvalidReport> {
    let text = std::str::from_utf8(body).map_err(|_| InvalidReport::NoStatistics)?;
    let StatisticsResponse { results } = object(text).ok_or(InvalidReport::NoStatistics)?;
    if results.len() > StatisticsCall::MAX_IDS {
        return Err(InvalidReport::NoStatistics);
    }
    let mut found: Vec<ActivityClicks> = Vec::with_capacity(results.len());
    for result in results {
        let Some(statistics) = result.read()? else { continue };
        if found.iter().any(|other| other.id == statistics.id) {
            return Err(InvalidReport::NoStatistics);
        }
        if call.ids.contains(&statistics.id) {
            found.push(statistics);
        }
    }
    Ok(found)
}

// === impl ActivityResult ===

impl ActivityResult<'_> {
    fn read(&self) -> Result<Option<ActivityClicks>, InvalidReport> {
        let counted = self.stats.as_ref().and_then(StatisticsCounts::read);
        let (Some(id), Some((counted, clicks)), Some(time)) =
            (&self.campaign_activity_id, counted, &self.last_refresh_time)
        else {
            return Ok(None);
        };
        let id = ActivityId::parse(id.as_bytes()).map_err(|_| InvalidReport::NoStatistics)?;
        let last_refresh_time = humantime::parse_rfc3339(time).map_err(|_| InvalidReport::NoStatistics)?;
        Ok(Some(ActivityClicks { id, clicks, counted, last_refresh_time }))
    }
}

// === impl StatisticsCounts ===

impl StatisticsCounts {
    fn read(&self) -> Option<(CountedClicks, u32)> {
        let all = self.all.or(self.em_clicks_all).map(|clicks| (CountedClicks::All, clicks));
        all.or_else(|| Some((CountedClicks::EmClicks, self.em_clicks?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 2] = ["8892baf9-970a-4de6-8400-fa4ec461986d", "1ead98be-dfa0-4e04-81f7-5f1534d42e9c"];
    const TIME: &str = "2020-09-24T16:26:56.000Z";

    fn ids(count: u128) -> Vec<ActivityId> {
        (0..count).map(|number| uuid::Uuid::from_u128(number).into()).collect()
    }

    fn parse(body: &str) -> Result<Vec<(usize, u32)>, InvalidReport> {
        let ids = IDS.map(|id| ActivityId::parse(id.as_bytes()).unwrap());
        let found = parse_statistics(&StatisticsCall::new(ids.to_vec()).unwrap(), body.as_bytes())?;
        Ok(found
            .iter()
            .map(|found| (ids.iter().position(|id| *id == found.id).unwrap(), found.clicks))
            .collect())
    }

    fn result(id: &str, clicks: &str, time: &str) -> String {
        format!(
            r#"{{"campaign_activity_id":"{id}","stats":{{"em_clicks":{clicks}}},"last_refresh_time":"{time}"}}"#
        )
    }

    fn results(results: &[String]) -> String {
        format!(r#"{{"errors":[],"results":[{}]}}"#, results.join(","))
    }

    #[test]
    fn a_call_is_for_one_to_ten_activities_each_once() {
        for (count, valid) in [(0, false), (1, true), (10, true), (11, false)] {
            assert_eq!(StatisticsCall::new(ids(count)).is_some(), valid, "{count}");
        }
        assert_eq!(StatisticsCall::new([ids(2), ids(1)].concat()), None);
        let call = StatisticsCall::new(ids(2)).unwrap();
        assert_eq!(call.ids(), ids(2));
        let zeros = "00000000-0000-0000-0000-00000000000";
        assert_eq!(call.path(), format!("/v3/reports/stats/email_campaign_activities/{zeros}0,{zeros}1"));
        assert_eq!(call.to_string(), format!("statistics of {zeros}0 and 1 more"));
        assert_eq!(StatisticsCall::new(ids(1)).unwrap().to_string(), format!("statistics of {zeros}0"));
    }

    #[test]
    fn each_activity_has_its_own_result_and_what_tells_nothing_is_skipped() {
        let (first, second) = (result(IDS[0], "7", TIME), result(&IDS[1].to_uppercase(), "0", TIME));
        assert_eq!(parse(&results(&[second.clone(), first.clone()])), Ok(vec![(1, 0), (0, 7)]));
        assert_eq!(parse(&results(&[])), Ok(vec![]));
        assert_eq!(parse(&results(&vec!["{}".to_owned(); 10])), Ok(vec![]), "as many as can be asked for");
        let other = result("6cc0d637-cf3d-4ac6-aad7-21567698eb38", "3", TIME);
        assert_eq!(parse(&results(&[other, first])), Ok(vec![(0, 7)]), "not asked for");
        for nothing in [
            "{}".to_owned(),
            format!(r#"{{"campaign_activity_id":"{}","stats":{{}},"last_refresh_time":"{TIME}"}}"#, IDS[0]),
            format!(r#"{{"campaign_activity_id":"{}","stats":null,"last_refresh_time":"{TIME}"}}"#, IDS[0]),
            format!(r#"{{"campaign_activity_id":"{}","stats":{{"em_clicks":1}}}}"#, IDS[0]),
            format!(r#"{{"stats":{{"em_clicks":1}},"last_refresh_time":"{TIME}"}}"#),
        ] {
            assert_eq!(parse(&results(&[nothing.clone(), second.clone()])), Ok(vec![(1, 0)]), "{nothing}");
        }
    }

    #[test]
    fn the_count_of_all_clicks_is_read_where_there_is_one() {
        let id = ActivityId::parse(IDS[0].as_bytes()).unwrap();
        for (stats, expected) in [
            (r#""em_clicks":7,"em_clicks.all":9"#, (CountedClicks::All, 9)),
            (r#""em_clicks_all":9,"em_clicks":7"#, (CountedClicks::All, 9)),
            (r#""em_clicks.all":9,"em_clicks_all":8"#, (CountedClicks::All, 9)),
            (r#""em_clicks.all":null,"em_clicks":7"#, (CountedClicks::EmClicks, 7)),
        ] {
            let body = format!(
                r#"{{"results":[{{"campaign_activity_id":"{id}","stats":{{{stats}}},"last_refresh_time":"{TIME}"}}]}}"#
            );
            let found = parse_statistics(&StatisticsCall::new(vec![id]).unwrap(), body.as_bytes()).unwrap();
            let found: Vec<_> = found.iter().map(|found| (found.counted, found.clicks)).collect();
            assert_eq!(found, [expected], "{stats}");
        }
    }

    #[test]
    fn anything_unexpected_makes_the_whole_body_invalid() {
        let good = result(IDS[0], "7", TIME);
        for body in [
            String::new(),
            "[[]]".to_owned(),
            "{}".to_owned(),
            r#"{"results":{}}"#.to_owned(),
            r#"{"results":[],"results":[]}"#.to_owned(),
            results(&vec!["{}".to_owned(); 11]),
            results(&[good.clone(), good]),
            results(&[result(IDS[0], "-1", TIME)]),
            results(&[result(IDS[0], "1.5", TIME)]),
            results(&[result(IDS[0], "4294967296", TIME)]),
            results(&[result(IDS[0], r#""7""#, TIME)]),
            results(&[result(IDS[0], r#"7,"em_clicks":8"#, TIME)]),
            results(&[result("7", "7", TIME)]),
            results(&[result(IDS[0], "7", "yesterday")]),
            results(&[result(IDS[0], "7", "")]),
        ] {
            assert_eq!(parse(&body), Err(InvalidReport::NoStatistics), "{body}");
        }
    }

    #[test]
    fn the_age_of_statistics_is_by_the_upstream_s_clock_and_never_negative() {
        let time = |text| humantime::parse_rfc3339(text).unwrap();
        let statistics = ActivityClicks {
            id: ids(1)[0],
            clicks: 1,
            counted: CountedClicks::All,
            last_refresh_time: time(TIME),
        };
        for (clock, seconds) in [("2020-09-24T16:27:00Z", 4), (TIME, 0), ("2020-09-24T16:26:00Z", 0)] {
            let fetched = FetchedStatistics {
                answer: StatisticsAnswer::Rejected,
                answered_at: Instant::now(),
                clock: time(clock),
                exchange: Exchange { status: Some(400), ..Exchange::default() },
            };
            assert_eq!(fetched.age_of(&statistics), Duration::from_secs(seconds), "{clock}");
            assert_eq!(fetched.exchange().status, Some(400));
        }
    }
}
