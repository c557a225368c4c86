//! The token in use: handed out to each request, judged by what the upstream answers.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use secrecy::SecretString;
use tokio::time::Instant;

use super::{
    access::{AccessToken, UnsendableToken},
    refusal::{Permit, Refusal},
    renewal_backoff::RenewalBackoff,
};

/// Is the token good?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has said otherwise.
    Valid,
    /// The upstream answered 401 to it, and there is no newer one.
    Refused,
    /// Its time is over.
    Expired,
    /// There is none.
    Missing,
}

/// How long a token is good for, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Whoever gave it to us knows.
    Unknown,
    /// Until then, on a clock that no one can set.
    Until(Instant),
}

/// Holds the token in use.
#[derive(Debug)]
pub(super) struct Hand {
    held: RwLock<Held>,
}

#[derive(Debug)]
struct Held {
    token: Option<Arc<AccessToken>>,
    life: Life,
    changed_at: Option<SystemTime>,
    /// While the upstream refuses the token, or has refused the one that this one replaced because of it.
    refusal: Option<Refusal>,
    renewals: RenewalBackoff,
}

/// How another token has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Somebody gave us another one: what was refused before says nothing of it.
    Given,
    /// We have renewed the one before, now. An upstream that refused that one most likely refuses this one too.
    Renewed(Instant),
}

/// What the upstream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    Refused,
}

/// Whether a judgement changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Changed,
    Known,
}

// === impl Standing ===

impl Standing {
    /// For `GET /token`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Missing => "missing",
        }
    }
}

// === impl Hand ===

impl Hand {
    pub(super) fn empty() -> Self {
        Self { held: RwLock::new(Held::new(None, Life::Unknown, None)) }
    }

    /// The token, unless its time is over.
    pub(super) fn current(&self, now: Instant) -> Option<Arc<AccessToken>> {
        self.read(|held| held.token.clone().filter(|_| !held.is_over(now)))
    }

    /// Counts the tokens that there were; 0: none yet.
    pub(super) fn generation(&self) -> u64 {
        self.read(Held::generation)
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        self.read(|held| match held.refusal {
            _ if held.token.is_none() => Standing::Missing,
            _ if held.is_over(now) => Standing::Expired,
            Some(ref refusal) if refusal.is_of(held.generation()) => Standing::Refused,
            Some(_) | None => Standing::Valid,
        })
    }

    /// Whether the token is refused so often that no call may leave with it now.
    pub(super) fn is_backed_off(&self, now: Instant) -> bool {
        self.read(|held| held.refusal.as_ref().is_some_and(|refusal| refusal.holds_back(now)))
    }

    /// The token and leave to send it: if it is refused, for one call after each pause.
    pub(super) fn to_send(&self, now: Instant) -> Option<(Arc<AccessToken>, Permit)> {
        self.read(|held| {
            let token = held.token.clone().filter(|_| !held.is_over(now))?;
            let permit = match &held.refusal {
                None => Permit::free(),
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
            Life::Unknown => None,
            Life::Until(end) => Some(end.saturating_duration_since(now)),
        })
    }

    /// When the token in use was taken up.
    pub(super) fn changed_at(&self) -> Option<SystemTime> {
        self.read(|held| held.changed_at)
    }

    /// Puts a token into use, and returns its generation; of the one that is in use already only the life changes.
    pub(super) fn take_up(
        &self,
        secret: SecretString,
        life: Life,
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
    pub(super) fn judge(&self, generation: u64, verdict: Verdict, now: Instant) -> News {
        let counts = |held: &Held| {
            held.generation() == generation && (verdict == Verdict::Refused || held.refusal.is_some())
        };
        // Each call ends here, and most say nothing new: a reader does not make the others wait.
        if !self.read(counts) {
            return News::Known;
        }
        self.write(|held| {
            if !counts(held) {
                return News::Known;
            }
            match (verdict, &mut held.refusal) {
                (Verdict::Refused, Some(refusal)) => {
                    let known = refusal.is_of(generation);
                    refusal.again(generation, now);
                    if known {
                        return News::Known;
                    }
                }
                (Verdict::Refused, none @ None) => {
                    *none = Some(Refusal::first(generation, now));
                    held.renewals.refused(now);
                }
                (Verdict::Accepted, refusal) => {
                    *refusal = None;
                    held.renewals.accepted(now);
                }
            }
            News::Changed
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        look(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        act(&mut self.held.write().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Held ===

impl Held {
    fn new(token: Option<Arc<AccessToken>>, life: Life, changed_at: Option<SystemTime>) -> Self {
        Self { token, life, changed_at, refusal: None, renewals: RenewalBackoff::default() }
    }

    fn replace(&mut self, token: Arc<AccessToken>, life: Life, arrival: Arrival, now: SystemTime) {
        let before = std::mem::replace(self, Self::new(Some(token), life, Some(now)));
        match arrival {
            Arrival::Given => {}
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
    fn extend(&mut self, life: Life, arrival: Arrival) {
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
            Life::Unknown => false,
            Life::Until(end) => end <= now,
        }
    }
}
