//! The first record of a snapshot: whose reports they are, and when it was made.

use std::time::Duration;

use ring::digest::{Context, SHA256};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};

use super::clock_reading::ClockReading;
use crate::{
    admin::{History, MinuteSample},
    settings::{Settings, TokenSourceKind},
    shared::ChangeId,
    state::SnapshotRecord,
};

/// So much of the record is the history; the rest has to fit into a record's fields too.
const HISTORY_BYTES: usize = SnapshotRecord::MAX_FIELDS - 4 * 1024;

/// Whose reports this process serves: a hash of the upstream and of the API key, as far as the settings tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account(String);

/// The first record.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SnapshotHead {
    account: Account,
    at: ClockReading,
    /// The last change of the fleet that it has, by the shared store's count.
    change: Option<(u64, u64)>,
    /// What the status page shows of the last day, or of the end of it; an older version has none.
    #[serde(default)]
    history: Vec<MinuteSample>,
}

/// What the first record says.
#[derive(Debug)]
pub(super) struct SnapshotOrigin {
    /// How long ago the snapshot was made.
    pub(super) elapsed: Duration,
    /// The last change of the fleet that it has.
    pub(super) change: Option<ChangeId>,
    pub(super) history: Vec<MinuteSample>,
}

/// What a process that starts knows of itself.
#[derive(Debug, Clone)]
pub(super) struct Starting {
    pub(super) account: Account,
    pub(super) now: ClockReading,
    pub(super) fleet: InFleet,
}

/// Do replicas share a store?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InFleet {
    Yes,
    No,
}

/// Why no record of a snapshot is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnusableSnapshot {
    #[error("its first record is not one that this program writes")]
    Malformed,
    #[error("it was made with another API key, or for another upstream")]
    OtherAccount,
    #[error("the clock was put back, so that the age of its reports is not known")]
    UnknownAge,
    #[error("it does not say which purges of the other replicas it has")]
    UnknownPurges,
}

// === impl Account ===

impl Account {
    /// The account of these settings. A renewed token keeps it, and so does a file that another program renews; an access
    /// token in the settings names nothing but itself, so that another one is another account.
    pub(super) fn of(settings: &Settings) -> Self {
        let (token, mut hash) = (&settings.token, Context::new(&SHA256));
        let mut add = |part: &str| {
            hash.update(part.as_bytes());
            hash.update(b"\n");
        };
        add(&settings.upstream.base_url.uri().to_string());
        match token.source {
            TokenSourceKind::Static => {
                add("static");
                add(token.access_token.as_ref().map_or("", |token| token.expose_secret()));
            }
            TokenSourceKind::File => {
                add("file");
                add(&token
                    .access_token_file
                    .as_ref()
                    .map_or_else(String::new, |file| file.path().display().to_string()));
            }
            TokenSourceKind::Refresh => {
                add("refresh");
                add(&token.token_url.uri().to_string());
                add(token.client_id.as_deref().unwrap_or_default());
            }
        }
        Self(hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

// === impl SnapshotHead ===

impl SnapshotHead {
    pub(super) fn record(
        account: Account,
        at: ClockReading,
        change: Option<ChangeId>,
        history: &History,
    ) -> Option<SnapshotRecord> {
        let (change, history) = (change.map(|ChangeId { ms, n }| (ms, n)), history.kept(HISTORY_BYTES));
        let head = Self { account, at, change, history };
        Some(SnapshotRecord { fields: serde_json::to_vec(&head).ok()?, body: None })
    }

    /// What it says, if the snapshot can be used.
    pub(super) fn read(fields: &[u8], starting: &Starting) -> Result<SnapshotOrigin, UnusableSnapshot> {
        let Self { account, at, change, history } =
            serde_json::from_slice(fields).map_err(|_| UnusableSnapshot::Malformed)?;
        if account != starting.account {
            return Err(UnusableSnapshot::OtherAccount);
        }
        let elapsed = starting.now.since(&at).ok_or(UnusableSnapshot::UnknownAge)?;
        match (starting.fleet, change) {
            (InFleet::No, _) => Ok(SnapshotOrigin { elapsed, change: None, history }),
            (InFleet::Yes, Some((ms, n))) => {
                Ok(SnapshotOrigin { elapsed, change: Some(ChangeId { ms, n }), history })
            }
            // The others may have purged what it has.
            (InFleet::Yes, None) => Err(UnusableSnapshot::UnknownPurges),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::WallClock;

    fn account(settings: &[(&str, &str)]) -> Account {
        let environment = settings.iter().map(|(key, value)| (format!("LINK_REPORT_PROXY__{key}"), *value));
        Account::of(&Settings::load(None, environment).unwrap())
    }

    const REFRESH: [(&str, &str); 4] = [
        ("TOKEN__SOURCE", "refresh"),
        ("TOKEN__CLIENT_ID", "app"),
        ("TOKEN__REFRESH_TOKEN", "one"),
        ("STATE__DIR", "/tmp"),
    ];

    #[test]
    fn another_api_key_upstream_or_access_token_is_another_account() {
        let refresh = account(&REFRESH);
        let with = |more: (&'static str, &'static str)| account(&[&REFRESH[..], &[more]].concat());
        assert_eq!(with(("TOKEN__REFRESH_TOKEN", "two")), refresh, "it is renewed all the time");
        assert_eq!(with(("CACHE__TTL", "1h")), refresh);
        let others = [
            with(("TOKEN__CLIENT_ID", "another")),
            with(("UPSTREAM__BASE_URL", "https://api.example")),
            with(("TOKEN__TOKEN_URL", "https://authz.example/token")),
            account(&[("TOKEN__ACCESS_TOKEN", "one")]),
            account(&[("TOKEN__ACCESS_TOKEN", "two")]),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(*other, refresh);
            assert!(others[at + 1..].iter().all(|another| another != other), "{at}");
        }
    }

    #[test]
    fn a_snapshot_is_used_by_its_own_account_and_in_a_fleet_only_with_its_place_in_the_feed() {
        let now = ClockReading::now(&WallClock::machine());
        let (own, change) = (account(&REFRESH), ChangeId { ms: 7, n: 1 });
        let head = |change| {
            SnapshotHead::record(own.clone(), now.clone(), change, &History::default()).unwrap().fields
        };
        let starting =
            |account: &Account, fleet| Starting { account: account.clone(), now: now.clone(), fleet };
        let read =
            |fields: &[u8], starting| SnapshotHead::read(fields, &starting).map(|origin| origin.change);
        assert_eq!(read(&head(None), starting(&own, InFleet::No)), Ok(None));
        assert_eq!(read(&head(Some(change)), starting(&own, InFleet::Yes)), Ok(Some(change)));
        assert_eq!(read(&head(None), starting(&own, InFleet::Yes)), Err(UnusableSnapshot::UnknownPurges));
        let other = account(&[("TOKEN__ACCESS_TOKEN", "one")]);
        assert_eq!(read(&head(None), starting(&other, InFleet::No)), Err(UnusableSnapshot::OtherAccount));
        assert_eq!(read(b"{}", starting(&own, InFleet::No)), Err(UnusableSnapshot::Malformed));
    }
}
