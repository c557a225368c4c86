//! The current access token, its expiry, and its status (valid, rejected, expired, missing) by the upstream's responses.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use secrecy::SecretString;
use tokio::time::Instant;

use super::{
    access::{AccessToken, UnsendableToken},
    renewal_backoff::RenewalBackoff,
    unauthorized_backoff::{TokenPermit, UnauthorizedBackoff},
};

/// Whether the current token can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    /// Not expired, and not refused by the upstream.
    Valid,
    /// The upstream answered 401 to it, and there is no newer one.
    Rejected,
    /// Its lifetime has ended.
    Expired,
    /// There is none.
    Missing,
}

/// When a token expires, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// A token from the settings: they do not say.
    Unknown,
    /// At this instant of the monotonic clock, which wall-clock changes do not affect.
    Until(Instant),
}

/// The current token, shared by all requests.
#[derive(Debug)]
pub(super) struct CurrentToken {
    held: RwLock<InstalledToken>,
}

#[derive(Debug)]
struct InstalledToken {
    token: Option<Arc<AccessToken>>,
    life: Expiry,
    changed_at: Option<SystemTime>,
    /// Set while the upstream refuses this token, or if it refused the previous one and this one was renewed because of
    /// that.
    refusal: Option<UnauthorizedBackoff>,
    renewals: RenewalBackoff,
}

/// Where a new token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A new credential, or the first token since the start: earlier 401s do not apply to it.
    ProvidedToken,
    /// A renewal of the previous token, at this instant. An upstream that refused that one most likely refuses this one
    /// too.
    Renewed(Instant),
}

/// Whether the upstream accepted the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenVerdict {
    Accepted,
    Refused,
}

/// Whether a response changed the token's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusChange {
    Changed,
    Known,
}

// === impl CurrentToken ===

impl CurrentToken {
    pub(super) fn empty() -> Self {
        Self { held: RwLock::new(InstalledToken::new(None, Expiry::Unknown, None)) }
    }

    /// The token, unless it has expired.
    pub(super) fn current(&self, now: Instant) -> Option<Arc<AccessToken>> {
        self.read(|held| held.token.clone().filter(|_| !held.is_over(now)))
    }

    /// Whether the token is this one.
    pub(super) fn is(&self, secret: &SecretString) -> bool {
        self.read(|held| held.token.as_ref().is_some_and(|token| token.is(secret)))
    }

    /// The number of tokens so far; 0: none yet.
    pub(super) fn generation(&self) -> u64 {
        self.read(InstalledToken::generation)
    }

    pub(super) fn standing(&self, now: Instant) -> Validity {
        self.read(|held| match held.refusal {
            _ if held.token.is_none() => Validity::Missing,
            _ if held.is_over(now) => Validity::Expired,
            Some(ref refusal) if refusal.is_of(held.generation()) => Validity::Rejected,
            Some(_) | None => Validity::Valid,
        })
    }

    /// Whether the token is backed off after repeated 401s, so that no call may carry it now.
    pub(super) fn is_backed_off(&self, now: Instant) -> bool {
        self.read(|held| held.refusal.as_ref().is_some_and(|refusal| refusal.holds_back(now)))
    }

    /// The token and a permit to send it; while it is backed off, for one probe call after each pause.
    pub(super) fn to_send(&self, now: Instant) -> Option<(Arc<AccessToken>, TokenPermit)> {
        self.read(|held| {
            let token = held.token.clone().filter(|_| !held.is_over(now))?;
            let permit = match &held.refusal {
                None => TokenPermit::free(),
                Some(refusal) => refusal.trial(now)?,
            };
            Some((token, permit))
        })
    }

    /// Whether a 401 may start a renewal now.
    pub(super) fn may_renew(&self, now: Instant) -> bool {
        self.read(|held| held.renewals.allows(now))
    }

    /// The remaining lifetime, if it is known.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        self.read(|held| match held.life {
            Expiry::Unknown => None,
            Expiry::Until(end) => Some(end.saturating_duration_since(now)),
        })
    }

    /// When the current token was installed.
    pub(super) fn changed_at(&self) -> Option<SystemTime> {
        self.read(|held| held.changed_at)
    }

    /// Installs a token and returns its generation; `None` if it is the current one, of which only the expiry changes.
    pub(super) fn install(
        &self,
        secret: SecretString,
        life: Expiry,
        arrival: Arrival,
        now: SystemTime,
    ) -> Result<Option<u64>, UnsendableToken> {
        let generation = self.read(|held| match &held.token {
            Some(token) if token.is(&secret) => None,
            Some(_) | None => Some(held.generation() + 1),
        });
        let token = match generation {
            Some(generation) => Some(Arc::new(AccessToken::new(secret, generation)?)),
            None => None,
        };
        self.write(|held| {
            match token {
                Some(token) => held.replace(token, life, arrival, now),
                None => held.extend(life, arrival),
            }
            Ok(generation)
        })
    }

    /// Records whether the upstream accepted a token, if it is still the current one.
    pub(super) fn record_response(
        &self,
        generation: u64,
        verdict: TokenVerdict,
        now: Instant,
    ) -> StatusChange {
        let counts = |held: &InstalledToken| {
            held.generation() == generation && (verdict == TokenVerdict::Refused || held.refusal.is_some())
        };
        // Every call ends here and few change anything: the read lock keeps calls from waiting for each other.
        if !self.read(counts) {
            return StatusChange::Known;
        }
        self.write(|held| {
            if !counts(held) {
                return StatusChange::Known;
            }
            match (verdict, &mut held.refusal) {
                (TokenVerdict::Refused, Some(refusal)) => {
                    let known = refusal.is_of(generation);
                    refusal.again(generation, now);
                    if known {
                        return StatusChange::Known;
                    }
                }
                (TokenVerdict::Refused, none @ None) => {
                    *none = Some(UnauthorizedBackoff::first(generation, now));
                    held.renewals.refused(now);
                }
                (TokenVerdict::Accepted, refusal) => {
                    *refusal = None;
                    held.renewals.accepted(now);
                }
            }
            StatusChange::Changed
        })
    }

    fn read<T>(&self, look: impl FnOnce(&InstalledToken) -> T) -> T {
        look(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, act: impl FnOnce(&mut InstalledToken) -> T) -> T {
        act(&mut self.held.write().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl InstalledToken ===

impl InstalledToken {
    fn new(token: Option<Arc<AccessToken>>, life: Expiry, changed_at: Option<SystemTime>) -> Self {
        Self { token, life, changed_at, refusal: None, renewals: RenewalBackoff::default() }
    }

    fn replace(&mut self, token: Arc<AccessToken>, life: Expiry, arrival: Arrival, now: SystemTime) {
        let before = std::mem::replace(self, Self::new(Some(token), life, Some(now)));
        match arrival {
            Arrival::ProvidedToken => {}
            Arrival::Renewed(at) => {
                (self.refusal, self.renewals) = (before.refusal, before.renewals);
                // A renewal ends the pause only as often as a 401 may start a renewal, whatever started this one: a
                // token with a lifetime of half a minute is renewed every half minute.
                if let Some(refusal) = &mut self.refusal
                    && self.renewals.allows(at)
                {
                    refusal.renewed(at);
                    self.renewals.renewed(at);
                }
            }
        }
    }

    /// The renewal returned the same token: a back-off goes on.
    fn extend(&mut self, life: Expiry, arrival: Arrival) {
        self.life = life;
        if let Arrival::Renewed(at) = arrival
            && self.refusal.is_some()
            && self.renewals.allows(at)
        {
            self.renewals.renewed(at);
        }
    }

    fn generation(&self) -> u64 {
        self.token.as_ref().map_or(0, |token| token.generation())
    }

    fn is_over(&self, now: Instant) -> bool {
        match self.life {
            Expiry::Unknown => false,
            Expiry::Until(end) => end <= now,
        }
    }
}
