//! Follows the fleet's change feed: what the other replicas have changed takes effect here.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::feed_position::{Continued, FeedPosition};
use crate::{
    cache::{ReportCache, SharedTier},
    shared::{ChangeId, ChangeKind, FeedPage, FeedRestart, Fence, Membership},
    token::TokenManager,
};

/// A read of the feed waits for this time; then it is read again.
const FEED_WAIT: Duration = Duration::from_secs(5);

/// Until the store has told of itself.
const UNMET_PAUSE: Duration = Duration::from_millis(50);

/// The store's clock is known more exactly.
const CLOCK_ERROR: Duration = Duration::from_secs(1);

/// After a failed read.
const FEED_PAUSE: Duration = Duration::from_secs(1);

/// Reads the feed for one replica.
pub(super) struct FeedReader {
    membership: Arc<Membership>,
    memory: Arc<ReportCache>,
    tier: Arc<SharedTier>,
    tokens: TokenManager,
    position: FeedPosition,
    /// Changes after this one are read next.
    at: ChangeId,
    /// The last purge of all that was heeded. `None`: the one that the store tells of next was.
    purged: Option<Fence>,
    /// The last purge of a key that was heeded: those before it were too.
    heeded: Fence,
    /// What is held was fetched since: the start, or the last time that all was dropped.
    held_since: Instant,
}

// === impl FeedReader ===

impl FeedReader {
    pub(super) fn new(
        (membership, position): (Arc<Membership>, FeedPosition),
        (memory, tier): (Arc<ReportCache>, Arc<SharedTier>),
        tokens: TokenManager,
    ) -> Self {
        let (at, purged) = (ChangeId::default(), Some(Fence::default()));
        Self {
            membership,
            memory,
            tier,
            tokens,
            position,
            at,
            purged,
            heeded: Fence::default(),
            held_since: Instant::now(),
        }
    }

    /// Reads it for ever, from the position that a snapshot has. Without one it reads all that the feed has: what was fetched
    /// before the store could be reached may have been purged since.
    pub(super) async fn run(mut self) {
        // Not known before the snapshot is read.
        if let Some(at) = self.position.get() {
            (self.at, self.purged) = (at, None);
        }
        loop {
            // Before the feed is read, which tells of this purge too, unless it has dropped it.
            let Some(told) = self.membership.knowledge().fleet().map(|fleet| fleet.state.purged) else {
                // Its clock is not known yet.
                sleep(UNMET_PAUSE).await;
                continue;
            };
            match self.membership.store().changes(self.at, FEED_WAIT).await {
                Ok(page) => self.heed_page(page, told).await,
                // The heartbeats tell of the outage.
                Err(_away) => sleep(FEED_PAUSE).await,
            }
        }
    }

    async fn heed_page(&mut self, page: FeedPage, told: Fence) {
        let (read_at, is_full, restart) = (Instant::now(), page.is_full(), page.restart);
        for change in page.changes {
            self.heed(change.id, change.kind).await;
            self.at = change.id;
        }
        if let Some(restart) = restart {
            self.restart(restart);
        }
        self.position.heeded_up_to(self.at);
        if is_full || restart.is_some() {
            return;
        }
        self.membership.feed_was_read(read_at);
        if self.purged.is_some_and(|purged| told > purged) {
            let purged = self.memory.purge_all();
            tracing::info!(
                purged,
                "all reports purged: the feed of changes has dropped another replica's purge"
            );
        }
        self.purged = self.purged.max(Some(told));
    }

    /// Reads on from elsewhere. If purges may have been missed, drops all reports: what the store still has costs no call,
    /// and it knows what was purged.
    fn restart(&mut self, restart: FeedRestart) {
        let since = match (restart, self.position.continued()) {
            (FeedRestart::Anew(_), Continued::No) => None,
            (_, Continued::FromSnapshot) => Some("its snapshot was made"),
            (FeedRestart::Missed(_), Continued::No) => Some("it read them last"),
        };
        if let Some(since) = since {
            let purged = self.memory.purge_all();
            self.held_since = Instant::now();
            // The feed has each later purge of all.
            self.purged = None;
            if purged > 0 {
                tracing::info!(
                    purged,
                    "the shared store no longer has all changes since {since}: the cache is dropped, as it may have been purged"
                );
            }
        }
        self.at = restart.at();
    }

    /// Whether a change was before what is held came: all of it, or a report that came so long ago.
    fn was_before(&self, id: ChangeId, held_for: Option<Duration>) -> bool {
        let all = self.held_since.elapsed();
        let held_for = held_for.map_or(all, |one| one.min(all));
        self.membership.knowledge().fleet().is_some_and(|told| {
            let now = told.state.clock + told.at.elapsed();
            Duration::from_millis(id.ms) + CLOCK_ERROR + held_for < now
        })
    }

    async fn heed(&mut self, id: ChangeId, change: ChangeKind) {
        match change {
            ChangeKind::Report { key, fence } => self.tier.flight_ended(key, Some(fence)).await,
            ChangeKind::Failure { key, why: _ } => self.tier.flight_ended(key, None).await,
            // A feed that is read from its begin has old ones too: what was fetched since is not theirs.
            ChangeKind::Purge { key: Some(key), fence } => {
                if fence > self.heeded {
                    self.heeded = fence;
                    let held_for = || self.memory.peek(&key).map(|held| held.stored_for(Instant::now()));
                    let is_older = match self.tier.copy(&key) {
                        Some(copy) => copy.fence <= fence,
                        None => !self.was_before(id, held_for()),
                    };
                    if is_older {
                        self.memory.purge(key.id);
                    }
                }
            }
            ChangeKind::Purge { key: None, fence } => {
                if self.purged < Some(fence) {
                    self.purged = Some(fence);
                    if !self.was_before(id, None) {
                        self.memory.purge_all();
                    }
                }
            }
            ChangeKind::Lockout | ChangeKind::Epoch(_) => self.membership.beat_soon(),
            ChangeKind::Token { version } => {
                if let Some(fleet) = self.tokens.fleet() {
                    fleet.learn_version(version);
                }
            }
        }
    }
}
