//! The token in use: handed out to each request, judged by what the upstream answers.

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

/// Is the token good?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validity {
    /// Nobody has said otherwise.
    Valid,
    /// The upstream answered 401 to it, and there is no newer one.
    Rejected,
    /// Its time is over.
    Expired,
    /// There is none.
    Missing,
}

/// How long a token is good for, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// Whoever gave it to us knows.
    Unknown,
    /// Until then, on a clock that no one can set.
    Until(Instant),
}

/// Holds the token in use.
#[derive(Debug)]
pub(super) struct CurrentToken {
    held: RwLock<InstalledToken>,
}

#[derive(Debug)]
struct InstalledToken {
    token: Option<Arc<AccessToken>>,
    life: Expiry,
    changed_at: Option<SystemTime>,
    /// While the upstream refuses the token, or has refused the one that this one replaced because of it.
    refusal: Option<UnauthorizedBackoff>,
    renewals: RenewalBackoff,
}

/// How another token has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Somebody gave us another one: what was refused before says nothing of it.
    ProvidedToken,
    /// We have renewed the one before, now. An upstream that refused that one most likely refuses this one too.
    Renewed(Instant),
}

/// What the upstream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenVerdict {
    Accepted,
    Refused,
}

/// Whether a judgement changed anything.
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

    /// The token, unless its time is over.
    pub(super) fn current(&self, now: Instant) -> Option<Arc<AccessToken>> {
        self.read(|held| held.token.clone().filter(|_| !held.is_over(now)))
    }

    /// Counts the tokens that there were; 0: none yet.
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

    /// Whether the token is refused so often that no call may leave with it now.
    pub(super) fn is_backed_off(&self, now: Instant) -> bool {
        self.read(|held| held.refusal.as_ref().is_some_and(|refusal| refusal.holds_back(now)))
    }

    /// The token and leave to send it: if it is refused, for one call after each pause.
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

    /// Whether a token that is refused may be renewed because of that.
    pub(super) fn may_renew(&self, now: Instant) -> bool {
        self.read(|held| held.renewals.allows(now))
    }

    /// How long the token is still good for, if that is known.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        self.read(|held| match held.life {
            Expiry::Unknown => None,
            Expiry::Until(end) => Some(end.saturating_duration_since(now)),
        })
    }

    /// When the token in use was taken up.
    pub(super) fn changed_at(&self) -> Option<SystemTime> {
        self.read(|held| held.changed_at)
    }

    /// Puts a token into use, and returns its generation; of the one that is in use already only the life changes.
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

    /// Notes what the upstream thinks of a token, if it is still the one in use.
    pub(super) fn record_response(
        &self,
        generation: u64,
        verdict: TokenVerdict,
        now: Instant,
    ) -> StatusChange {
        let counts = |held: &InstalledToken| {
            held.generation() == generation && (verdict == TokenVerdict::Refused || held.refusal.is_some())
        };
        // Each call ends here, and most say nothing new: a reader does not make the others wait.
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
                // Trusted anew only as often as refusals may ask for a renewal, whatever asked for this one: a token
                // that lives for half a minute is renewed every half minute.
                if let Some(refusal) = &mut self.refusal
                    && self.renewals.allows(at)
                {
                    refusal.renewed(at);
                    self.renewals.renewed(at);
                }
            }
        }
    }

    /// The same token came again: no news for whoever refuses it.
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
