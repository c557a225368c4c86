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
    /// While the upstream refuses the token.
    refusal: Option<Refusal>,
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
    pub(super) const fn empty() -> Self {
        Self { held: RwLock::new(Held { token: None, life: Life::Unknown, changed_at: None, refusal: None }) }
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
            Some(_) => Standing::Refused,
            None => Standing::Valid,
        })
    }

    /// Leave to send the token; of one that is refused, for one call after each pause.
    pub(super) fn permit(&self, now: Instant) -> Option<Permit> {
        self.read(|held| {
            held.refusal.as_ref().map_or_else(|| Some(Permit::free()), |refusal| refusal.trial(now))
        })
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
        now: SystemTime,
    ) -> Result<Option<u64>, UnsendableToken> {
        let generation = self.read(|held| match &held.token {
            Some(token) if token.is(&secret) => None,
            Some(_) | None => Some(held.generation() + 1),
        });
        let Some(generation) = generation else {
            self.write(|held| held.life = life);
            return Ok(None);
        };
        let token = Some(Arc::new(AccessToken::new(secret, generation)?));
        self.write(|held| *held = Held { token, life, changed_at: Some(now), refusal: None });
        Ok(Some(generation))
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
                    refusal.again(now);
                    return News::Known;
                }
                (Verdict::Refused, none @ None) => *none = Some(Refusal::first(now)),
                (Verdict::Accepted, refusal) => *refusal = None,
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
