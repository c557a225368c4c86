//! What decides, as the replay sees it.

use std::time::Duration;

use crate::refresh::{RefreshDecision, ReportForm};

/// A cached copy: a campaign's report in one form, or the one report that both are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyKey {
    /// An index of the campaigns.
    pub campaign: u32,
    /// Which of its reports.
    pub form: ReportForm,
}

/// A poll that finds a cached copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachedPoll {
    /// Which.
    pub key: CopyKey,
    /// Who asks.
    pub viewer: u16,
    /// How old the copy is.
    pub age: Duration,
    /// When.
    pub now: Duration,
    /// Is a refresh to come?
    pub pending: PendingRefresh,
}

/// Is a refresh of a copy to come?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PendingRefresh {
    /// None.
    None,
    /// One was put off until the next poll that can be foreseen. A poll that finds the copy worth a call before that has
    /// it now.
    PutOff,
}

/// Who waits for a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Waiting {
    /// Only an answer that alone lacks more than a call is worth, of an old copy.
    #[default]
    Seldom,
    /// Each poll that finds a refresh due.
    WhenDue,
    /// Nobody whose report is cached.
    Never,
}

/// When does a refresh happen that is worth a call?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefreshTiming {
    /// Behind the answer that finds it so.
    #[default]
    Behind,
    /// Just before the poll that will find it so, where polls have a period.
    AheadOfPolls,
}

/// Is there a call that looks at ten campaigns at once?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probing {
    /// No.
    #[default]
    Off,
    /// Yes, and it is always right.
    Always,
    /// Yes, but only while enough campaigns share it.
    WhenItPays,
}

/// Decides when copies are refreshed.
pub trait Strategy {
    /// The key under which a report is cached.
    fn key(&self, campaign: u32, form: ReportForm) -> CopyKey;

    /// A cached copy is answered with.
    fn polled(&mut self, poll: CachedPoll) -> RefreshDecision;

    /// Is a refresh that was put off until now still worth it?
    fn still_worth_it(&self, key: CopyKey, age: Duration, now: Duration) -> bool;

    /// May a refresh or a probe have a call, so many being used of the day?
    fn allows_refresh(&self, used: u32) -> bool;

    /// A call was made for a refresh or a probe (`Some`), or for a report that was not cached.
    fn called(&mut self, refreshed: Option<CopyKey>);

    /// A report came, as the upstream had it at a time.
    fn landed(&mut self, key: CopyKey, clicks: u32, as_of: Duration);

    /// A minute has passed.
    fn minute_passed(&mut self, used: u32, now: Duration);

    /// The upstream said that the quota is spent.
    fn quota_exceeded(&mut self, used: u32);

    /// The price of a call, where there is one.
    fn price(&self) -> Option<f64>;

    /// The campaigns that a probe should look at now, if it is worth a call.
    fn probe(&mut self, now: Duration) -> Option<Vec<u32>>;

    /// A probe looked at a campaign.
    fn probed(&mut self, campaign: u32, clicks: u32, as_of: Duration);
}
