//! Device codes that wait for approval (RFC 8628). Pure: `now` is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// RFC 8628 §3.5: each poll that comes too early makes the interval longer.
const SLOW_DOWN_STEP: Duration = Duration::from_secs(5);

/// Letters that can't be mistaken for one another or make a word (RFC 8628 §6.1).
const USER_CODE_LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

/// The answer given on the approval page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The device gets its tokens.
    Approve,
    /// The device gets `access_denied`.
    Deny,
}

/// All device codes that were issued and not yet used.
pub(super) struct Devices {
    random: fastrand::Rng,
    lifetime: Duration,
    waiting: Vec<Device>,
}

struct Device {
    device_code: String,
    user_code: String,
    access: Access,
    expires_at: Instant,
    interval: Duration,
    next_poll: Instant,
    decision: Option<Decision>,
}

/// The scope that the device requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// With `offline_access`: the response holds a refresh token.
    Lasting,
    /// Without `offline_access`: no refresh token, and no error.
    OneDay,
}

/// RFC 8628 §3.2.
pub(super) struct Codes {
    pub(super) device_code: String,
    pub(super) user_code: String,
    pub(super) lifetime: Duration,
    pub(super) interval: Duration,
}

/// Why a poll returns no token (RFC 8628 §3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotYet {
    Pending,
    SlowDown,
    Expired,
    Denied,
    /// Never issued, or used already.
    Unknown,
}

// === impl Devices ===

impl Devices {
    pub(super) const INTERVAL: Duration = Duration::from_secs(5);

    pub(super) fn new(seed: u64, lifetime: Duration) -> Self {
        // Not the seed of the tokens: a code must not be the beginning of one.
        Self { random: fastrand::Rng::with_seed(!seed), lifetime, waiting: Vec::new() }
    }

    pub(super) fn begin(&mut self, access: Access, now: Instant) -> Codes {
        // Expired codes that are never polled again would accumulate.
        let lifetime = self.lifetime;
        self.waiting.retain(|device| now < device.expires_at + lifetime);
        let mut letters = || char::from(*self.random.choice(USER_CODE_LETTERS).unwrap_or(&b'X'));
        let mut user_code: String = (0..8).map(|_| letters()).collect();
        user_code.insert(4, '-');
        let device_code = format!("{:032x}", self.random.u128(..));
        self.waiting.push(Device {
            device_code: device_code.clone(),
            user_code: user_code.clone(),
            access,
            expires_at: now + lifetime,
            interval: Self::INTERVAL,
            next_poll: now,
            decision: None,
        });
        Codes { device_code, user_code, lifetime, interval: Self::INTERVAL }
    }

    /// Whether a person may still decide about this code.
    pub(super) fn is_waiting(&self, user_code: &str, now: Instant) -> bool {
        self.waiting.iter().any(|device| device.is_asked_by(user_code, now))
    }

    /// Approves or denies a code; `false` if no such code waits.
    pub(super) fn decide(&mut self, user_code: &str, decision: Decision, now: Instant) -> bool {
        let device = self.waiting.iter_mut().find(|device| device.is_asked_by(user_code, now));
        device.map(|device| device.decision = Some(decision)).is_some()
    }

    /// One poll. Success, denial and expiry use the code up.
    pub(super) fn poll(&mut self, device_code: &str, now: Instant) -> Result<Access, NotYet> {
        let position = self.waiting.iter().position(|device| device.device_code == device_code);
        let position = position.ok_or(NotYet::Unknown)?;
        let device = &mut self.waiting[position];
        if now >= device.expires_at {
            self.waiting.swap_remove(position);
            return Err(NotYet::Expired);
        }
        let too_early = now < device.next_poll;
        if too_early {
            device.interval += SLOW_DOWN_STEP;
        }
        device.next_poll = now + device.interval;
        match device.decision {
            _ if too_early => Err(NotYet::SlowDown),
            None => Err(NotYet::Pending),
            Some(Decision::Approve) => Ok(self.waiting.swap_remove(position).access),
            Some(Decision::Deny) => {
                self.waiting.swap_remove(position);
                Err(NotYet::Denied)
            }
        }
    }
}

// === impl Device ===

impl Device {
    fn is_asked_by(&self, user_code: &str, now: Instant) -> bool {
        now < self.expires_at && self.decision.is_none() && self.user_code.eq_ignore_ascii_case(user_code)
    }
}

// === impl NotYet ===

impl NotYet {
    /// The `error` of the answer.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::Expired => "expired_token",
            Self::Denied => "access_denied",
            Self::Unknown => "invalid_grant",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_code_is_pending_until_it_is_approved_and_then_works_once() {
        let start = Instant::now();
        let mut devices = Devices::new(1, seconds(600));
        let codes = devices.begin(Access::Lasting, start);
        assert_eq!(devices.poll(&codes.device_code, start + seconds(5)), Err(NotYet::Pending));
        assert!(devices.decide(&codes.user_code.to_lowercase(), Decision::Approve, start + seconds(6)));
        assert!(!devices.is_waiting(&codes.user_code, start + seconds(6)));
        assert_eq!(devices.poll(&codes.device_code, start + seconds(10)), Ok(Access::Lasting));
        assert_eq!(devices.poll(&codes.device_code, start + seconds(15)), Err(NotYet::Unknown));
    }

    #[test]
    fn each_early_poll_makes_the_interval_five_seconds_longer() {
        let start = Instant::now();
        let mut devices = Devices::new(1, seconds(600));
        let codes = devices.begin(Access::OneDay, start);
        let mut poll = |second| devices.poll(&codes.device_code, start + seconds(second));
        assert_eq!(poll(5), Err(NotYet::Pending));
        assert_eq!(poll(9), Err(NotYet::SlowDown));
        assert_eq!(poll(18), Err(NotYet::SlowDown));
        assert_eq!(poll(33), Err(NotYet::Pending));
    }

    #[test]
    fn a_code_can_be_denied_and_it_expires() {
        let start = Instant::now();
        let mut devices = Devices::new(1, seconds(600));
        let denied = devices.begin(Access::Lasting, start);
        let late = devices.begin(Access::Lasting, start);
        assert!(devices.decide(&denied.user_code, Decision::Deny, start));
        assert_eq!(devices.poll(&denied.device_code, start), Err(NotYet::Denied));
        assert!(!devices.decide(&late.user_code, Decision::Approve, start + seconds(600)));
        assert_eq!(devices.poll(&late.device_code, start + seconds(600)), Err(NotYet::Expired));
    }
}
