//! The one sentence of the status page: the first rule that holds, what it means, and what to do. Pure.

use std::time::SystemTime;

use serde::Serialize;

use super::reply::rfc3339;
use crate::{
    quota::{DayCount, QuotaMode},
    resilience::CircuitState,
    token::TokenStatus,
};

/// What the sentence is decided by.
#[derive(Debug, Clone)]
pub(super) struct ProxyCondition {
    pub(super) serving: Serving,
    pub(super) token: TokenStatus,
    pub(super) day: DayCount,
    pub(super) circuit: CircuitState,
    /// The first failed call since the last that succeeded.
    pub(super) failing_since: Option<SystemTime>,
    pub(super) next_trial: Option<SystemTime>,
    /// Since when the store that replicas share is away; `None`: it is not, or nothing is shared.
    pub(super) store_away_since: Option<SystemTime>,
    /// The calls a day that the refresh plan leaves to other programs.
    pub(super) by_others: i64,
    /// Reports held.
    pub(super) reports: u64,
}

/// Is the data port open?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Serving {
    Ready,
    Draining,
}

/// What is the matter: the first of these that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StatusRule {
    Draining,
    /// A person must log in.
    ConsentNeeded,
    /// The access token is expired, refused or missing.
    TokenUnusable,
    /// No calls until 00:00 UTC.
    DaySpent,
    CircuitOpen,
    /// What is left of the day's calls is for reports that are not held.
    RefreshesStopped,
    /// Calls are scarce.
    RefreshesStretched,
    /// The store that replicas share does not answer.
    StoreAway,
    /// Other programs use the API key.
    CallsByOthers,
    /// A part of the day's count is an assumption of the start.
    CountAssumed,
    Well,
}

/// How soon somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Severity {
    Ok,
    /// Nothing is wrong, but the numbers are not what they are usually.
    Notice,
    /// Reports are older than they should be.
    Warning,
    /// Some requests fail.
    Critical,
}

/// The sentence, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Sentence {
    pub(super) rule: StatusRule,
    pub(super) severity: Severity,
    pub(super) text: String,
    pub(super) advice: &'static str,
    /// A section of the runbook, as a path of the repository.
    pub(super) runbook: Option<&'static str>,
}

// === impl ProxyCondition ===

impl ProxyCondition {
    /// The first rule that holds.
    pub(super) fn rule(&self) -> StatusRule {
        match (self.serving, self.token, self.day.mode, self.circuit) {
            (Serving::Draining, ..) => StatusRule::Draining,
            (_, TokenStatus::ReauthorizationRequired, ..) => StatusRule::ConsentNeeded,
            (_, TokenStatus::Expired | TokenStatus::Rejected | TokenStatus::Missing, ..) => {
                StatusRule::TokenUnusable
            }
            (_, _, QuotaMode::Exhausted, _) => StatusRule::DaySpent,
            (.., CircuitState::Open | CircuitState::HalfOpen) => StatusRule::CircuitOpen,
            (_, _, QuotaMode::MissesOnly, _) => StatusRule::RefreshesStopped,
            (_, _, QuotaMode::Throttled, _) => StatusRule::RefreshesStretched,
            (_, TokenStatus::Valid | TokenStatus::Renewing, QuotaMode::Normal, CircuitState::Closed) => {
                match (self.store_away_since, self.by_others, self.day.assumed) {
                    (Some(_), ..) => StatusRule::StoreAway,
                    (None, 1.., _) => StatusRule::CallsByOthers,
                    (None, ..=0, 1..) => StatusRule::CountAssumed,
                    (None, ..=0, 0) => StatusRule::Well,
                }
            }
        }
    }

    pub(super) fn sentence(&self) -> Sentence {
        let rule = self.rule();
        let (severity, advice, runbook) = rule.consequences(self.token);
        Sentence { rule, severity, text: self.text(rule), advice, runbook }
    }

    fn text(&self, rule: StatusRule) -> String {
        let held = self.held();
        let day = &self.day;
        match rule {
            StatusRule::Draining => {
                "The process is stopping: requests in flight are answered, new connections are not accepted."
                    .to_owned()
            }
            StatusRule::ConsentNeeded => {
                format!("Nobody has allowed this proxy to read the account's reports, or no longer: {held}.")
            }
            StatusRule::TokenUnusable => {
                let why = match self.token {
                    TokenStatus::Expired => "The access token has expired, and there is no newer one",
                    TokenStatus::Rejected => "Constant Contact refuses the access token",
                    TokenStatus::Missing
                    | TokenStatus::Valid
                    | TokenStatus::Renewing
                    | TokenStatus::ReauthorizationRequired => "There is no access token yet",
                };
                format!("{why}: {held}.")
            }
            StatusRule::DaySpent => {
                format!("The calls of the day are spent: nothing is fetched before 00:00 UTC; {held}.")
            }
            StatusRule::CircuitOpen => {
                let since =
                    self.failing_since.and_then(hour).map_or_else(String::new, |at| format!(" since {at}"));
                let next = match self.next_trial.and_then(second) {
                    Some(at) => format!("the next request after {at} tries again"),
                    None => "the next request tries again".to_owned(),
                };
                format!("Constant Contact has been failing{since}; {next}. Meanwhile {held}.")
            }
            StatusRule::RefreshesStopped => format!(
                "Refreshes have stopped: the {} calls left until 00:00 UTC are kept for reports that are not held.",
                day.remaining.unwrap_or_default()
            ),
            StatusRule::RefreshesStretched => {
                "Calls are scarce: reports are refreshed less often until 00:00 UTC.".to_owned()
            }
            StatusRule::StoreAway => {
                let since = self
                    .store_away_since
                    .and_then(hour)
                    .map_or_else(String::new, |at| format!(" since {at}"));
                format!(
                    "The shared store has been away{since}: each replica counts by itself, and makes no more than its share of the calls."
                )
            }
            StatusRule::CallsByOthers => {
                format!(
                    "Other programs use the same API key: about {} calls a day are left to them.",
                    self.by_others
                )
            }
            StatusRule::CountAssumed => format!(
                "Well; but {} of the {} calls of today are assumed, since nobody has counted those before the start.",
                day.assumed, day.used
            ),
            StatusRule::Well => "All is well.".to_owned(),
        }
    }

    /// What callers get while nothing can be fetched.
    fn held(&self) -> String {
        match self.reports {
            0 => "requests get 503".to_owned(),
            1 => "the 1 report held is served on, others get 503".to_owned(),
            more => format!("the {more} reports held are served on, others get 503"),
        }
    }
}

// === impl Severity ===

impl Severity {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

// === impl StatusRule ===

impl StatusRule {
    const fn consequences(self, token: TokenStatus) -> (Severity, &'static str, Option<&'static str>) {
        match self {
            Self::Draining => (Severity::Notice, "Nothing to do: the process ends by itself.", None),
            Self::ConsentNeeded => (
                Severity::Critical,
                "Run `link-report-proxy login` with the settings of this process, and approve in a browser.",
                Some("deploy/prometheus/runbook/token.md#linkreportproxyreauthorisationrequired"),
            ),
            Self::TokenUnusable => match token {
                TokenStatus::Rejected => (
                    Severity::Critical,
                    "See the last error under Token; a token from the settings or a file must be replaced.",
                    Some("deploy/prometheus/runbook/token.md#linkreportproxytokenrefused"),
                ),
                TokenStatus::Expired
                | TokenStatus::Missing
                | TokenStatus::Valid
                | TokenStatus::Renewing
                | TokenStatus::ReauthorizationRequired => (
                    Severity::Critical,
                    "See the last error under Token: renewals fail, or nobody has put a token there.",
                    Some("deploy/prometheus/runbook/token.md#linkreportproxytokenexpired"),
                ),
            },
            Self::DaySpent => (
                Severity::Critical,
                "See who asks below; a restart does not help. The count starts anew at 00:00 UTC.",
                Some("deploy/prometheus/runbook/calls.md#linkreportproxyquotaexhausted"),
            ),
            Self::CircuitOpen => (
                Severity::Critical,
                "See the last failures below: a request id of theirs is what the vendor's support asks for.",
                Some("deploy/prometheus/runbook/requests.md#linkreportproxycircuitopen"),
            ),
            Self::RefreshesStopped => (
                Severity::Warning,
                "See who asks below, and the plot of calls: what has used them?",
                Some("deploy/prometheus/runbook/calls.md#linkreportproxyrefreshesstopped"),
            ),
            Self::RefreshesStretched => (
                Severity::Notice,
                "Nothing to do, unless the reports get too old: then see what uses the calls.",
                Some("deploy/prometheus/runbook/calls.md#linkreportproxyrefreshesdelayed"),
            ),
            Self::StoreAway => (
                Severity::Warning,
                "See whether the store runs and can be reached: its last error is under Replicas.",
                Some("deploy/prometheus/runbook/fleet.md#linkreportproxystoreaway"),
            ),
            Self::CallsByOthers => (
                Severity::Notice,
                "If it is meant to be so, lower quota.per_day by the share of the other programs.",
                Some("deploy/prometheus/runbook/calls.md#linkreportproxyquotadrift"),
            ),
            Self::CountAssumed => (
                Severity::Notice,
                "Set state.dir, so that a restart keeps the count; the assumption ends at 00:00 UTC.",
                None,
            ),
            Self::Well => (Severity::Ok, "Nothing to do.", None),
        }
    }
}

/// `14:02 UTC`
fn hour(time: SystemTime) -> Option<String> {
    Some(format!("{} UTC", rfc3339(time)?.get(11..16)?))
}

/// `14:02:23 UTC`
fn second(time: SystemTime) -> Option<String> {
    Some(format!("{} UTC", rfc3339(time)?.get(11..19)?))
}

#[cfg(test)]
mod tests;
