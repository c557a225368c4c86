//! Which tokens are valid: access tokens that expire, refresh tokens that rotate. Pure: `now` is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::Moment;
use super::jwt;
use super::options::{Options, RefreshTokenPolicy};

/// Both kinds of refresh token expire after 180 days without use.
const UNUSED_REFRESH_TOKEN_LIFETIME: Duration = Duration::from_secs(180 * 24 * 60 * 60);

/// The tokens of the one registered application.
pub(super) struct Authority {
    random: fastrand::Rng,
    client_id: String,
    lifetime: Duration,
    rotation: RefreshTokenPolicy,
    access: BTreeMap<String, Instant>,
    newest_access: String,
    /// In order of issue: using one invalidates all before it.
    refresh: Vec<RefreshToken>,
}

struct RefreshToken {
    value: String,
    dies_at: Instant,
}

/// RFC 6749 §5.1's token response. `refresh` is absent where `offline_access` was not asked for.
pub(super) struct Pair {
    pub(super) access: String,
    pub(super) lifetime: Duration,
    pub(super) refresh: Option<String>,
}

/// RFC 6749 §5.2 `invalid_grant`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidGrant;

// === impl Authority ===

impl Authority {
    /// Starts with one pair, as if a person had consented a moment ago.
    pub(super) fn new(options: &Options, now: Moment) -> Self {
        let mut authority = Self {
            random: fastrand::Rng::with_seed(options.seed),
            client_id: options.client_id.clone(),
            lifetime: options.access_token_lifetime,
            rotation: options.rotation,
            access: BTreeMap::new(),
            newest_access: String::new(),
            refresh: Vec::new(),
        };
        authority.issue_access(now);
        authority.issue_refresh(now);
        authority
    }

    pub(super) fn newest_access(&self) -> &str {
        &self.newest_access
    }

    /// Empty after all were revoked.
    pub(super) fn newest_refresh(&self) -> &str {
        self.refresh.last().map_or("", |token| &token.value)
    }

    pub(super) fn accepts(&self, access: &str, now: Moment) -> bool {
        self.access.get(access).is_some_and(|expiry| now.instant < *expiry)
    }

    pub(super) fn issue_access(&mut self, now: Moment) -> String {
        self.access.retain(|_, expiry| now.instant < *expiry);
        let issued_at = now.since_epoch.as_secs();
        let token = jwt::invent(&mut self.random, &self.client_id, issued_at, self.lifetime.as_secs());
        self.access.insert(token.clone(), now.instant + self.lifetime);
        self.newest_access.clone_from(&token);
        token
    }

    pub(super) fn issue_refresh(&mut self, now: Moment) -> String {
        let value = format!("{:032x}", self.random.u128(..));
        let dies_at = now.instant + UNUSED_REFRESH_TOKEN_LIFETIME;
        self.refresh.push(RefreshToken { value: value.clone(), dies_at });
        value
    }

    pub(super) fn revoke_access(&mut self, token: &str) {
        self.access.remove(token);
    }

    pub(super) fn revoke_all_access(&mut self) {
        self.access.clear();
    }

    pub(super) fn revoke_all_refresh(&mut self) {
        self.refresh.clear();
    }

    /// RFC 6749 §6.
    pub(super) fn refresh(&mut self, token: &str, now: Moment) -> Result<Pair, InvalidGrant> {
        let live = |candidate: &RefreshToken| candidate.value == token && now.instant < candidate.dies_at;
        let position = self.refresh.iter().position(live).ok_or(InvalidGrant)?;
        let refresh = match self.rotation {
            RefreshTokenPolicy::Rotating => {
                self.refresh.drain(..=position);
                self.issue_refresh(now)
            }
            RefreshTokenPolicy::LongLived => {
                self.refresh[position].dies_at = now.instant + UNUSED_REFRESH_TOKEN_LIFETIME;
                token.to_owned()
            }
        };
        Ok(Pair { access: self.issue_access(now), lifetime: self.lifetime, refresh: Some(refresh) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(start: Instant, later: Duration) -> Moment {
        Moment { instant: start + later, since_epoch: Duration::from_secs(1_700_000_000) + later }
    }

    fn authority(rotation: RefreshTokenPolicy) -> (Authority, Instant) {
        let start = Instant::now();
        (Authority::new(&Options { rotation, ..Options::default() }, at(start, Duration::ZERO)), start)
    }

    #[test]
    fn a_rotating_refresh_token_works_once() {
        let (mut authority, start) = authority(RefreshTokenPolicy::Rotating);
        let now = at(start, Duration::ZERO);
        let first = authority.newest_refresh().to_owned();
        let second = authority.refresh(&first, now).ok().and_then(|pair| pair.refresh).unwrap();
        assert_ne!(first, second);
        assert_eq!(authority.refresh(&first, now).err(), Some(InvalidGrant));
        // The reused token is refused; the current one stays valid.
        assert!(authority.refresh(&second, now).is_ok());
    }

    #[test]
    fn using_a_rotating_token_kills_every_earlier_one() {
        let (mut authority, start) = authority(RefreshTokenPolicy::Rotating);
        let now = at(start, Duration::ZERO);
        let earlier = authority.newest_refresh().to_owned();
        let later = authority.issue_refresh(now);
        assert!(authority.refresh(&later, now).is_ok());
        assert_eq!(authority.refresh(&earlier, now).err(), Some(InvalidGrant));
    }

    #[test]
    fn a_long_lived_refresh_token_comes_back_until_it_rests_for_180_days() {
        let (mut authority, start) = authority(RefreshTokenPolicy::LongLived);
        let token = authority.newest_refresh().to_owned();
        for days in [100, 200] {
            let pair = authority.refresh(&token, at(start, DAY * days)).ok();
            assert_eq!(pair.and_then(|pair| pair.refresh).as_deref(), Some(token.as_str()));
        }
        assert_eq!(authority.refresh(&token, at(start, DAY * 380)).err(), Some(InvalidGrant));
    }

    #[test]
    fn an_access_token_is_good_for_a_day_and_survives_a_refresh() {
        let (mut authority, start) = authority(RefreshTokenPolicy::Rotating);
        let first = authority.newest_access().to_owned();
        let refresh = authority.newest_refresh().to_owned();
        assert!(authority.refresh(&refresh, at(start, DAY / 2)).is_ok());
        assert!(authority.accepts(&first, at(start, DAY - Duration::from_secs(1))));
        assert!(!authority.accepts(&first, at(start, DAY)));
        assert!(authority.accepts(authority.newest_access(), at(start, DAY)));
        let second = authority.newest_access().to_owned();
        authority.revoke_access(&second);
        assert!(!authority.accepts(&second, at(start, DAY)));
    }
}
