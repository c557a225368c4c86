//! Reads from the admin port of a running proxy what its day is planned from: the settings, the reports in its cache with
//! their requests and clicks, and the usual demand of each hour.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::{StatusCode, Uri, uri::Scheme};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::runtime;

use crate::{
    commands::{
        Failure,
        admin_port::{self, AdminPortError},
    },
    refresh::ReportForm,
    report::{ActivityId, NoClicks},
};

/// The address of an admin port: a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AdminAddress(String);

/// What the admin port says of a proxy.
#[derive(Debug)]
pub(super) struct RunningProxy {
    /// The time by its clock.
    pub(super) now: SystemTime,
    pub(super) settings: RunningSettings,
    /// The usual demand of each UTC hour; `None` with fixed lifetimes, and on a first day.
    pub(super) usual_demand: Option<[f64; 24]>,
    /// The cached reports; not the refusals.
    pub(super) reports: Vec<CachedReport>,
}

/// A cached report.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CachedReport {
    pub(super) id: ActivityId,
    pub(super) form: ReportForm,
    pub(super) requests_per_hour: f64,
    pub(super) clicks: u32,
    /// `None`: nothing is known of it yet.
    pub(super) clicks_per_hour: Option<f64>,
}

/// Of `GET /config`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RunningSettings {
    pub(super) cache: RunningCache,
    pub(super) quota: RunningQuota,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct RunningCache {
    pub(super) refresh: RunningRefresh,
    pub(super) ttl: SettingDuration,
    pub(super) ttl_jitter: f64,
    pub(super) empty_ttl: SettingDuration,
    pub(super) min_refresh_interval: SettingDuration,
    pub(super) stale_while_revalidate: SettingDuration,
    pub(super) unexpected_clicks: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct RunningQuota {
    pub(super) per_day: u32,
    pub(super) reserve: f64,
    pub(super) refresh_hour_share: f64,
}

/// `cache.refresh`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RunningRefresh {
    Planned,
    Before,
    Fixed,
}

/// A duration as settings are written: `1m 15s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct SettingDuration(pub(super) Duration);

/// Why the day of a running proxy cannot be planned.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunningProxyError {
    #[error("{0}; is link-report-proxy running, and is this its admin.listen?")]
    Unreachable(#[source] AdminPortError),
    #[error("GET {route} responds with {status}: is this the admin port of a link-report-proxy?")]
    Status { route: String, status: StatusCode },
    #[error("GET {route} is not what a link-report-proxy of this version responds: {reason}")]
    Unexpected { route: String, reason: String },
    #[error("it has more than {} cached reports", MOST_PAGES * PER_PAGE)]
    TooMany,
    #[error("it has no report in its cache yet: wait until the dashboards have asked for some")]
    Empty,
    #[error("no cached report was requested lately: wait until the dashboards are open")]
    NotRequested,
}

/// `GET /quota`, without what is not needed.
#[derive(Debug, Deserialize)]
struct QuotaView {
    plan: Option<QuotaPlanView>,
}

#[derive(Debug, Deserialize)]
struct QuotaPlanView {
    usual_demand_by_hour_utc: Option<[f64; 24]>,
}

/// A page of `GET /cache`.
#[derive(Debug, Deserialize)]
struct CachePage {
    pages: usize,
    items: Vec<CacheRow>,
}

#[derive(Debug, Deserialize)]
struct CacheRow {
    id: String,
    no_clicks: String,
    answer: String,
    requests_per_hour: f64,
    clicks: Option<u32>,
    clicks_per_hour: Option<f64>,
}

const PATIENCE: Duration = Duration::from_secs(5);
const PER_PAGE: usize = 1_000;
const MOST_PAGES: usize = 20;
/// Clicks of a campaign, and requests or clicks in an hour, that no proxy sees: the replay would take hours.
const MOST_CLICKS: u32 = 10_000_000;
const MOST_PER_HOUR: f64 = 3_600_000.0;

// === impl AdminAddress ===

impl AdminAddress {
    /// From a URL such as `http://127.0.0.1:9090`.
    pub(super) fn from_url(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let port = if authority.as_str() == authority.host() { 80 } else { authority.port_u16()? };
        let is_base = uri.scheme() == Some(&Scheme::HTTP) && uri.path() == "/" && uri.query().is_none();
        is_base.then(|| Self(format!("{}:{port}", authority.host())))
    }
}

// === impl RunningProxy ===

impl RunningProxy {
    pub(super) fn read(address: &AdminAddress) -> Result<Self, Failure> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let read = runtime.map_err(|error| Failure::Bug(error.into()))?.block_on(Self::fetch(&address.0));
        read.map_err(|error| Failure::Unavailable(format!("--from: {}: {error}", address.0)))
    }

    async fn fetch(authority: &str) -> Result<Self, RunningProxyError> {
        let (settings, now) = get::<RunningSettings>(authority, "/config").await?;
        if !settings.is_possible() {
            return Err(unexpected("/config", "a setting is out of its range"));
        }
        let (quota, _) = get::<QuotaView>(authority, "/quota").await?;
        let usual_demand = quota.plan.and_then(|plan| plan.usual_demand_by_hour_utc);
        if usual_demand.is_some_and(|hours| hours.iter().any(|demand| *demand < 0.0)) {
            return Err(unexpected("/quota", "a demand is negative"));
        }
        let reports = reports(authority).await?;
        if reports.iter().all(|report| report.requests_per_hour == 0.0) {
            return Err(RunningProxyError::NotRequested);
        }
        Ok(Self { now, settings, usual_demand, reports })
    }
}

/// All cached reports. A report may move to another page in the meantime, so that it is listed twice.
async fn reports(authority: &str) -> Result<Vec<CachedReport>, RunningProxyError> {
    let mut reports = BTreeMap::new();
    for page in 1.. {
        if page > MOST_PAGES {
            return Err(RunningProxyError::TooMany);
        }
        let route = format!("/cache?page={page}&per_page={PER_PAGE}");
        let (CachePage { pages, items }, _) = get(authority, &route).await?;
        for row in items {
            let wrong = || unexpected(&route, &format!("an entry {row:?}"));
            if let Some(report) = row.report().map_err(|()| wrong())? {
                reports.insert((report.id, report.form.index()), report);
            }
        }
        if page >= pages {
            break;
        }
    }
    let reports: Vec<_> = reports.into_values().collect();
    if reports.is_empty() { Err(RunningProxyError::Empty) } else { Ok(reports) }
}

async fn get<T: DeserializeOwned>(
    authority: &str,
    route: &str,
) -> Result<(T, SystemTime), RunningProxyError> {
    let response = admin_port::get(authority, route, PATIENCE).await;
    let response = response.map_err(RunningProxyError::Unreachable)?;
    if response.status != StatusCode::OK {
        return Err(RunningProxyError::Status { route: route.to_owned(), status: response.status });
    }
    let date = response.date.ok_or_else(|| unexpected(route, "no Date"))?;
    let said = serde_json::from_slice(&response.body);
    Ok((said.map_err(|error| unexpected(route, &error.to_string()))?, date))
}

fn unexpected(route: &str, reason: &str) -> RunningProxyError {
    RunningProxyError::Unexpected { route: route.to_owned(), reason: reason.chars().take(200).collect() }
}

// === impl CacheRow ===

impl CacheRow {
    /// `None`: a refusal.
    fn report(&self) -> Result<Option<CachedReport>, ()> {
        let id = ActivityId::parse(self.id.as_bytes()).map_err(|_| ())?;
        let form = match self.no_clicks.as_str() {
            text if text == NoClicks::Omitted.as_str() => ReportForm::Clicked,
            text if text == NoClicks::Listed.as_str() => ReportForm::AllLinks,
            _ => return Err(()),
        };
        let is_rate = |rate: &f64| (0.0..=MOST_PER_HOUR).contains(rate);
        let is_possible = is_rate(&self.requests_per_hour) && self.clicks_per_hour.iter().all(is_rate);
        match (self.answer.as_str(), self.clicks) {
            ("refusal", _) => Ok(None),
            ("report", Some(clicks)) if is_possible && clicks <= MOST_CLICKS => Ok(Some(CachedReport {
                id,
                form,
                requests_per_hour: self.requests_per_hour,
                clicks,
                clicks_per_hour: self.clicks_per_hour,
            })),
            _ => Err(()),
        }
    }
}

// === impl RunningSettings ===

impl RunningSettings {
    /// Whether a proxy starts with these.
    fn is_possible(&self) -> bool {
        let Self { cache, quota } = self;
        (0.0..=0.5).contains(&cache.ttl_jitter)
            && (0.0..=1_000.0).contains(&cache.unexpected_clicks)
            && (0.0..=0.9).contains(&quota.reserve)
            && (0.0..=1.0).contains(&quota.refresh_hour_share)
            && cache.ttl.0 > Duration::ZERO
            && cache.empty_ttl.0 > Duration::ZERO
    }
}

// === impl SettingDuration ===

impl TryFrom<String> for SettingDuration {
    type Error = humantime::DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        humantime::parse_duration(&text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_address_is_a_plain_http_url_without_a_path() {
        for (url, address) in [
            ("http://127.0.0.1:9090", Some("127.0.0.1:9090")),
            ("http://127.0.0.1:9090/", Some("127.0.0.1:9090")),
            ("http://[::1]:9090", Some("[::1]:9090")),
            ("http://proxy.internal", Some("proxy.internal:80")),
            ("https://127.0.0.1:9090", None),
            ("http://127.0.0.1:9090/status", None),
            ("http://user:secret@127.0.0.1:9090", None),
            ("http://127.0.0.1:99999", None),
            ("127.0.0.1:9090", None),
            ("/status", None),
            ("", None),
        ] {
            assert_eq!(
                AdminAddress::from_url(url),
                address.map(|text| AdminAddress(text.to_owned())),
                "{url}"
            );
        }
    }
}
