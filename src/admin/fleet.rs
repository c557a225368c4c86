//! `GET /fleet`: the replicas that share a store, the store itself, and what this replica knows.
//!
//! Nothing is asked of the store for it: the answer is what the last heartbeat told, so it comes at once while the store
//! is away, and says how old it is.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::reply::rounded;
use crate::{
    cache::{SharedCopy, SharedTier},
    quota::{FleetShare, QuotaSnapshot, WallClock},
    report::ReportKey,
    shared::{
        DownReason, FleetTold, Knowledge, LinkState, MemberSeen, Membership, SpentDay, StoreInfo, StoreLink,
        StoreNode, StoreRisk,
    },
};

const DAY: Duration = Duration::from_hours(24);

/// What the admin port shows of a replica that shares a store.
#[derive(Debug)]
pub struct FleetStatus {
    pub(crate) membership: Arc<Membership>,
    /// `None`: the store is in this process.
    pub(crate) link: Option<StoreLink>,
    pub(crate) tier: Arc<SharedTier>,
    /// `shared.namespace`
    pub(crate) namespace: Box<str>,
    /// `shared.replicas`
    pub(crate) replicas_configured: NonZeroU32,
    pub(crate) clock: WallClock,
}

/// What a replica that shares nothing says.
pub(super) fn not_shared() -> Value {
    json!({
        "shared": false,
        "why": "no store is configured (shared.url): this replica counts the day's calls and fetches reports for itself",
    })
}

// === impl FleetStatus ===

impl FleetStatus {
    pub(super) fn show(&self, quota: &QuotaSnapshot, purges_waiting: usize) -> Value {
        let known = self.membership.knowledge();
        let told = known.fleet();
        json!({
            "shared": true,
            "namespace": self.namespace,
            "store": self.store(&known),
            "replicas": {
                "alive": told.map(|told| told.state.members.len()),
                "configured": self.replicas_configured,
                "this": self.membership.id().to_string(),
                "list": told.map(|told| self.replicas(told)),
            },
            "epoch": told.map(|FleetTold { state, at }| json!({
                "id": format!("{:016x}", state.epoch.0),
                "origin": state.begun.origin.as_str(),
                "began_seconds_ago": (state.begun.age + at.elapsed()).as_secs(),
                "charged_calls": state.begun.charged,
            })),
            "store_knew": told.map(|FleetTold { state, at }| json!({
                "seconds_ago": at.elapsed().as_secs(),
                "sequence": state.sequence.0,
                "day": day(state.today),
                "calls": state.today.spent,
                "locked_out_for_seconds": state.locked_out_for.map(|left| left.as_secs()),
                "token_version": state.token_version,
            })),
            "this_replica_knows": {
                "sequence": known.seen().sequence.0,
                "day": day(known.told()),
                "calls": known.told().spent,
                "calls_made_without_the_store": known.offline_on(known.told().day),
                "changes_read_seconds_ago": known.feed_lag().as_secs(),
                "purges_not_yet_told": purges_waiting,
            },
            "without_the_store": quota.fleet.as_ref().map(share),
            "store_clock_ahead_seconds": known.clock_skew(self.clock.now()).map(rounded),
        })
    }

    /// The replicas, the store and what each knows, without what changes from second to second.
    pub(super) fn summary(&self) -> Value {
        let known = self.membership.knowledge();
        let told = known.fleet();
        json!({
            "store": store_state(&known),
            "last_error": known.outage().map(|outage| outage.error.to_string()),
            "replicas_configured": self.replicas_configured,
            "replicas": told.map(|told| {
                let seen = told.state.members.iter().map(|MemberSeen { id, about, .. }| json!({
                    "name": about.name(),
                    "version": about.version(),
                    "this": *id == self.membership.id(),
                }));
                seen.collect::<Vec<_>>()
            }),
            "epoch": told.map(|told| format!("{:016x}", told.state.epoch.0)),
            "store_knew_calls": told.map(|told| told.state.today.spent),
            "this_replica_knows_calls": known.told().spent,
        })
    }

    /// Since when the store is away.
    pub(super) fn away_since(&self) -> Option<Instant> {
        self.membership.knowledge().outage().map(|outage| outage.since)
    }

    /// What was last added to the day's count, since the store may have lost as many calls.
    pub(super) fn last_charge(&self) -> Option<Value> {
        let known = self.membership.knowledge();
        known.fleet().map(|FleetTold { state, at }| {
            json!({
                "calls": state.begun.charged,
                "seconds_ago": (state.begun.age + at.elapsed()).as_secs(),
            })
        })
    }

    /// This replica's copy of a report, as the store knows it.
    pub(super) fn copy(&self, key: &ReportKey) -> Option<SharedCopy> {
        self.tier.copy(key)
    }

    fn store(&self, known: &Knowledge) -> Value {
        let outage = known.outage();
        json!({
            "state": store_state(known),
            "away_for_seconds": outage.map(|outage| outage.since.elapsed().as_secs()),
            "last_error": outage.map(|outage| outage.error.to_string()),
            "last_reply_seconds_ago": known.since_contact().map(|ago| ago.as_secs()),
            "link": self.link.as_ref().map(link),
        })
    }

    fn replicas(&self, told: &FleetTold) -> Vec<Value> {
        let since = told.at.elapsed();
        let replicas = told.state.members.iter().map(|MemberSeen { id, heartbeat_age, feed_lag, about }| {
            json!({
                "id": id.to_string(),
                "name": about.name(),
                "version": about.version(),
                "this": *id == self.membership.id(),
                "last_heartbeat_seconds_ago": (*heartbeat_age + since).as_secs(),
                "changes_read_seconds_before_it": feed_lag.as_secs(),
            })
        });
        replicas.collect()
    }
}

fn store_state(known: &Knowledge) -> &'static str {
    match (known.outage(), known.since_contact()) {
        (None, Some(_)) => "up",
        (Some(_), _) => "away",
        (None, None) => "not_yet_asked",
    }
}

/// What this replica may do while the store is away.
pub(super) fn share(share: &FleetShare) -> Value {
    let FleetShare { backing: _, replicas, day_share, offline_calls, interval } = *share;
    json!({
        "replicas_that_share": replicas,
        "calls_allowed_today": day_share,
        "calls_made_today": offline_calls,
        "calls_left_today": day_share.map(|share| share.saturating_sub(offline_calls)),
        "seconds_between_calls": rounded(interval.as_secs_f64()),
    })
}

fn link(link: &StoreLink) -> Value {
    let view = link.view();
    let down = match view.state() {
        LinkState::Up => None,
        LinkState::Down { why, since } => Some((why, since.elapsed().as_secs())),
    };
    let encrypted = view.node().map(StoreNode::is_encrypted);
    json!({
        "configured": link.place(),
        "address": view.node().map(ToString::to_string),
        "tls": encrypted,
        "state": if down.is_none() { "up" } else { "down" },
        "down_for_seconds": down.map(|(_, seconds)| seconds),
        "reason": down.map(|(why, _)| why.as_str()),
        "explanation": down.map(|(why, _)| why.explanation()),
        "detail": down.map(|_| view.detail()).filter(|detail| !detail.is_empty()),
        "role": role(down.map(|(why, _)| why)),
        "server": view.info().map(server),
    })
}

/// A server that is no primary is not used.
const fn role(down: Option<DownReason>) -> Option<&'static str> {
    match down {
        None => Some("primary"),
        Some(DownReason::Replica | DownReason::PrimaryDown) => Some("replica"),
        Some(_) => None,
    }
}

/// As it was last seen.
fn server(info: &StoreInfo) -> Value {
    json!({
        "engine": info.engine,
        "version": info.version,
        "replicas": info.replicas,
        "append_only_file": info.append_only,
        "rewriting_append_only_file": info.rewriting,
        "maxmemory_policy": info.eviction,
        "risks": StoreRisk::ALL.into_iter().filter(|risk| info.has(*risk)).map(StoreRisk::as_str).collect::<Vec<_>>(),
        "dangers": dangers(info),
    })
}

/// How this server can lose what it holds.
fn dangers(info: &StoreInfo) -> Vec<&'static str> {
    let risks = StoreRisk::ALL.into_iter().filter(|risk| info.has(*risk)).map(|risk| match risk {
        StoreRisk::EvictsAll => {
            "its maxmemory-policy (allkeys) may evict the day's count and the token: set it to noeviction"
        }
        StoreRisk::NoAppendOnlyFile => {
            "it has no append-only file: a restart empties it, and the replicas restore it and charge shared.margin calls"
        }
    });
    let rewrites = info.rewriting.then_some(
        "it is rewriting its append-only file: if it is killed now, what it has acknowledged may be lost",
    );
    risks.chain(rewrites).collect()
}

/// RFC 3339, of a number of days since 1970; `None`: no day was told yet.
fn day(SpentDay { day, .. }: SpentDay) -> Option<String> {
    let time = std::time::SystemTime::UNIX_EPOCH.checked_add(DAY.checked_mul(day.try_into().ok()?)?)?;
    (day > 0).then(|| humantime::format_rfc3339_seconds(time).to_string().chars().take(10).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::StoreIdentity;

    #[test]
    fn what_a_server_can_lose_is_said() {
        let safe = StoreInfo {
            identity: StoreIdentity("abc".into()),
            engine: "valkey",
            version: "9.0.1".into(),
            replicas: 1,
            append_only: true,
            rewriting: false,
            eviction: Some("noeviction".into()),
        };
        let words = |info: &StoreInfo| -> Vec<_> {
            let said = dangers(info);
            ["allkeys", "no append-only file", "rewriting"]
                .map(|word| said.iter().any(|text| text.contains(word)))
                .into()
        };
        assert_eq!(words(&safe), [false; 3]);
        let eviction = Some("volatile-lru".into());
        assert_eq!(words(&StoreInfo { eviction, ..safe.clone() }), [false; 3], "it takes reports first");
        let eviction = Some("allkeys-lru".into());
        assert_eq!(words(&StoreInfo { eviction, append_only: false, rewriting: true, ..safe }), [true; 3]);
    }

    #[test]
    fn a_day_is_shown_as_a_date() {
        let shown = |day: u64| super::day(SpentDay { day, spent: 0 });
        assert_eq!(shown(0), None);
        assert_eq!(shown(19_675).as_deref(), Some("2023-11-14"));
        assert_eq!(shown(u64::MAX), None);
    }
}
