//! The strategy interface: what the replay needs of a refresh policy.

use std::time::Duration;

use crate::refresh::{RefreshDecision, ReportForm};

/// The cache key: a campaign and a form. With derivation, one key serves both forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyKey {
    /// Index into [`Workload::campaigns`](super::Workload::campaigns).
    pub campaign: u32,
    /// Form of the report.
    pub form: ReportForm,
}

/// A poll that hits the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedPoll {
    /// Key of the cached report.
    pub key: CopyKey,
    /// The client that polls.
    pub viewer: u16,
    /// Age of the cached report.
    pub age: Duration,
    /// Time of the poll.
    pub now: Duration,
    /// Is a delayed refresh scheduled?
    pub pending: PendingRefresh,
}

/// Is a delayed refresh of the report scheduled?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingRefresh {
    /// No.
    None,
    /// Yes, just before the next predicted poll. If an earlier poll finds that the report is worth a call, the refresh
    /// is made at once.
    PutOff,
}

/// Which polls wait for the refresh that they start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Waiting {
    /// Only on [`RefreshDecision::RefreshFirst`]: the report is old, and this response alone would miss more clicks
    /// than the price of a call.
    #[default]
    Seldom,
    /// Each poll that starts a refresh.
    WhenDue,
    /// None: a cached report is returned at once.
    Never,
}

/// When a refresh that is worth a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefreshTiming {
    /// In the background, at the poll that finds it worth a call.
    Behind,
    /// Just before the poll that will find it worth a call, if polls are regular enough to predict it.
    #[default]
    AheadOfPolls,
}

/// Whether change probes are used: one call that reads the click counts of ten campaigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probing {
    /// No probes.
    #[default]
    Off,
    /// A probe is sent whenever it is worth the price of a call.
    Always,
    /// As [`Self::Always`], but only while enough campaigns share a probe that it saves calls.
    WhenItPays,
}

/// A refresh policy: decides when cached reports are refreshed.
pub trait Strategy {
    /// The key of a report in the cache.
    fn key(&self, campaign: u32, form: ReportForm) -> CopyKey;

    /// Decides about a refresh at a cache hit.
    fn polled(&mut self, poll: CachedPoll) -> RefreshDecision;

    /// A poll of this report got no cached response: it waited for the refresh that it caused.
    fn waited(&mut self, key: CopyKey);

    /// Is a delayed refresh that is now due still worth a call?
    fn still_worth_it(&self, key: CopyKey, age: Duration, now: Duration) -> bool;

    /// May a refresh or a probe use a call, if `used` calls were made today?
    fn allows_refresh(&self, used: u32) -> bool;

    /// A call was made, for a refresh or a probe (`Some`) or for a miss (`None`).
    fn called(&mut self, refreshed: Option<CopyKey>);

    /// A report was fetched; it shows the clicks that the upstream had at `as_of`.
    fn landed(&mut self, key: CopyKey, clicks: u32, as_of: Duration);

    /// Called once per simulated minute, with the calls used today.
    fn minute_passed(&mut self, used: u32, now: Duration);

    /// The upstream responded that the daily quota is used up, after `used` calls of the proxy.
    fn quota_exceeded(&mut self, used: u32);

    /// Price of a call in clicks missed. `None`: the policy has no price.
    fn price(&self) -> Option<f64>;

    /// The campaigns to probe now. `None`: a probe is not worth a call.
    fn probe(&mut self, now: Duration) -> Option<Vec<u32>>;

    /// A probe found that a campaign had `clicks` clicks at `as_of`.
    fn probed(&mut self, campaign: u32, clicks: u32, as_of: Duration);
}
