//! Members of the fleet: heartbeats, and recovery after the store has lost writes.

use std::{fmt, time::Duration};

use super::{Epoch, EpochBegin, Fence, Sequence};

/// The longest name and version that are shown, in bytes.
const LONGEST_ABOUT: usize = 64;

/// Names a replica for as long as its process lives: a random number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// What a replica says of itself, for people. Both are printable and have no spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberAbout {
    version: Box<str>,
    name: Box<str>,
}

/// A replica that had a heartbeat in the last minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSeen {
    /// Which.
    pub id: MemberId,
    /// How long ago its last heartbeat was, by the store's clock.
    pub heartbeat_age: Duration,
    /// How long before that heartbeat it had read all changes of the others.
    pub feed_lag: Duration,
    /// What it says of itself.
    pub about: MemberAbout,
}

/// Names the history of the server behind the store, as Redis's `master_replid` does: it changes with a promotion and
/// with a restart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreIdentity(pub Box<str>);

/// A day, and the calls counted on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpentDay {
    /// Days since 1970-01-01.
    pub day: u64,
    /// The calls counted on it.
    pub spent: u64,
}

/// A replica says, each few seconds, that it lives and what it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which replica.
    pub member: MemberId,
    /// The highest count that it was told. The store's is raised to it.
    pub told: SpentDay,
    /// The calls that it made on `told.day` while the store was away: all of them, so a repeated heartbeat adds nothing.
    /// A store that was recovered since may add them twice, which is the safe side.
    pub offline: u64,
    /// For operators: how long ago it had read all changes of the others.
    pub feed_lag: Duration,
    /// For operators: which one it is.
    pub about: MemberAbout,
}

/// What the store knows of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetState {
    /// The store's epoch.
    pub epoch: Epoch,
    /// Its sequence.
    pub sequence: Sequence,
    /// The day that it counts.
    pub today: SpentDay,
    /// A lockout ends after this time; `None`: there is none. One whose probe was not answered yet has a millisecond left.
    pub locked_out_for: Option<Duration>,
    /// The replicas that had a heartbeat in the last minute, this one included; by id.
    pub members: Vec<MemberSeen>,
    /// The version of the token record; 0: there is none.
    pub token_version: u64,
    /// The last purge of all reports: what has a lower fence is not to be served.
    pub purged: Fence,
    /// The store's wall clock, since 1970: for the gauge of the skew only.
    pub clock: Duration,
    /// How its epoch began.
    pub begun: EpochBegin,
}

/// Begins a new epoch, if nobody has begun one since `known`; else only tells the store what this replica knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The epoch that the replica knows; `None`: it is new.
    pub known: Option<Epoch>,
    /// The highest sequence that it was told.
    pub seen: Sequence,
    /// The epoch to begin.
    pub fresh: Epoch,
    /// The highest count that it was told. The day is today's even if it was told nothing: else the day is only known
    /// when the next call is taken.
    pub told: SpentDay,
    /// Added to the count: the calls that can be made in ten seconds, and then be forgotten by all. Less is added if the
    /// last recovery was less than ten seconds ago.
    pub margin: u64,
    /// Begin it though the sequence looks right: the server's identity has changed. Not again for the same change: a
    /// replica that has joined the new epoch forgets the old identity.
    pub force: bool,
    /// The last purge of all that it was told of. The store's is raised to it: fences rise across epochs.
    pub purged: Fence,
}

// === impl MemberId ===

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

// === impl MemberAbout ===

impl MemberAbout {
    /// Leaves out what is not printable.
    pub fn new(version: &str, name: &str) -> Self {
        let printable = |text: &str| {
            let printable: String = text.chars().filter(char::is_ascii_graphic).take(LONGEST_ABOUT).collect();
            if printable.is_empty() { "unknown".into() } else { printable.into_boxed_str() }
        };
        Self { version: printable(version), name: printable(name) }
    }

    /// As the store keeps it. Whoever can write to the store could have written something else.
    pub(super) fn parse(text: &str) -> Self {
        let (version, name) = text.split_once(' ').unwrap_or((text, ""));
        Self::new(version, name)
    }

    /// The version of its program.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The name of its host: on Kubernetes, of its pod.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for MemberAbout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_replica_says_of_itself_comes_back_as_it_was_and_shows_nothing_that_cannot_be_printed() {
        let about = MemberAbout::new("0.1.0", "pod-1");
        assert_eq!(MemberAbout::parse(&about.to_string()), about);
        for odd in ["", " ", "\u{1b}[1m\n", "0.1.0", &"x".repeat(500)] {
            let about = MemberAbout::parse(odd);
            let shown = [about.version(), about.name()];
            assert!(shown.iter().all(|text| (1..=64).contains(&text.len())), "{about:?}");
            assert!(shown.iter().all(|text| text.chars().all(|char| char.is_ascii_graphic())), "{about:?}");
        }
    }
}
