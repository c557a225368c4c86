//! The handle by which tests and `demo` control the simulator.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;
use uuid::Uuid;

use super::authority::Authority;
use super::campaigns::{self, Campaign, CampaignState};
use super::clock::Clock;
use super::device::{Decision, Devices};
use super::faults::{Fault, Faults, Scope};
use super::options::Options;
use super::quota::{SlidingWindow, VendorQuota};
use super::record::{Record, SeenRefresh, SeenRequest};
use super::reports::LinkListing;
use super::scripted::{ScriptedCampaign, since_epoch};

/// A simulated Constant Contact. Clones are handles of the same one.
#[derive(Clone)]
pub struct Simulator {
    pub(super) world: Arc<Shared>,
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) clock: Clock,
    state: Mutex<State>,
    /// How many report calls have arrived, for tests that wait for one.
    pub(super) calls: watch::Sender<u64>,
}

/// The mutable state.
pub(super) struct State {
    pub(super) authority: Authority,
    pub(super) devices: Devices,
    pub(super) token_window: SlidingWindow,
    pub(super) quota: VendorQuota,
    pub(super) faults: Faults,
    pub(super) record: Record,
    pub(super) scripted: BTreeMap<Uuid, ScriptedCampaign>,
    pub(super) statuses: BTreeMap<Uuid, CampaignState>,
    pub(super) random: fastrand::Rng,
    pub(super) connections: u64,
}

/// A report call under way; ends when its last byte is sent or its caller hangs up.
pub(super) struct CallInFlight(Arc<Shared>);

// === impl Simulator ===

impl Simulator {
    /// Builds one; it listens once [`Simulator::serve`] is called.
    pub fn new(options: Options) -> Self {
        let clock = Clock::starting_at(options.now);
        let state = State {
            authority: Authority::new(&options, clock.start()),
            devices: Devices::new(options.seed, options.device_code_lifetime),
            token_window: SlidingWindow::new(options.token_calls_per_second),
            quota: VendorQuota::new(options.per_second, options.per_day),
            faults: Faults::default(),
            record: Record::new(options.remembered_requests),
            scripted: BTreeMap::new(),
            statuses: BTreeMap::new(),
            random: fastrand::Rng::with_seed(options.seed),
            connections: 0,
        };
        let calls = watch::Sender::new(0);
        Self { world: Arc::new(Shared { options, clock, state: Mutex::new(state), calls }) }
    }

    /// The access token issued last, valid or not.
    pub fn access_token(&self) -> String {
        self.world.state().authority.newest_access().to_owned()
    }

    /// Issues another access token; the earlier ones stay valid.
    pub fn issue_access_token(&self) -> String {
        self.world.state().authority.issue_access(self.world.clock.now())
    }

    /// From now on this access token gets a 401.
    pub fn revoke_access_token(&self, token: &str) {
        self.world.state().authority.revoke_access(token);
    }

    /// From now on every access token issued so far gets a 401.
    pub fn revoke_access_tokens(&self) {
        self.world.state().authority.revoke_all_access();
    }

    /// The refresh token issued last: the one a person would put into the settings.
    pub fn refresh_token(&self) -> String {
        self.world.state().authority.newest_refresh().to_owned()
    }

    /// Issues a refresh token as for a new consent; using it invalidates all earlier ones.
    pub fn issue_refresh_token(&self) -> String {
        self.world.state().authority.issue_refresh(self.world.clock.now())
    }

    /// From now on every refresh token issued so far gets `invalid_grant`.
    pub fn revoke_refresh_tokens(&self) {
        self.world.state().authority.revoke_all_refresh();
    }

    /// Does what the approval page does; `false` if no device waits for this code.
    pub fn decide(&self, user_code: &str, decision: Decision) -> bool {
        self.world.state().devices.decide(user_code, decision, self.world.clock.now().instant)
    }

    /// From now on this fault applies to the requests in the scope, after those injected earlier.
    pub fn inject(&self, fault: Fault, scope: Scope) {
        self.world.state().faults.inject(fault, scope);
    }

    /// Clears all faults; a request that already hangs goes on hanging.
    pub fn clear_faults(&self) {
        self.world.state().faults.clear();
    }

    /// From now on this activity has these clicks, in place of those that it had; any id will do.
    pub fn play(&self, id: Uuid, campaign: ScriptedCampaign) {
        self.world.state().scripted.insert(id, campaign);
    }

    /// From now on this activity has this status, whatever its report shows; any id will do.
    pub fn set_status(&self, id: Uuid, status: CampaignState) {
        self.world.state().statuses.insert(id, status);
    }

    /// What a report fetched at this time shows: the sum of its `unique_clicks`, which is 0 until the campaign is sent.
    /// `None` for an id that is not [played](Self::play).
    pub fn clicks_shown(&self, id: Uuid, listing: LinkListing, at: SystemTime) -> Option<u32> {
        let state = self.world.state();
        let counts = state.scripted.get(&id)?.counts(listing, since_epoch(at));
        Some(counts.map_or(0, |counts| counts.sum()))
    }

    /// The simulator's wall clock: [`Options::now`] and what tokio's clock has moved since.
    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.world.clock.now().since_epoch
    }

    /// Uses calls of the key's quota now, as another program would; they are not recorded.
    pub fn spend_elsewhere(&self, calls: u32) {
        self.world.state().quota.spend(self.world.clock.now(), calls);
    }

    /// Calls of this UTC day that the quota allowed, other programs' included.
    pub fn spent_today(&self) -> u32 {
        self.world.state().quota.spent_today(self.world.clock.now())
    }

    /// The latest requests, oldest first, at most
    /// [`Options::remembered_requests`]; without the control path's.
    pub fn seen(&self) -> Vec<SeenRequest> {
        self.world.state().record.seen().cloned().collect()
    }

    /// The latest of those, at most so many, oldest first.
    pub fn last_seen(&self, most: usize) -> Vec<SeenRequest> {
        let mut last: Vec<_> = self.world.state().record.seen().rev().take(most).cloned().collect();
        last.reverse();
        last
    }

    /// The latest uses of refresh tokens, oldest first, at most [`Options::remembered_requests`].
    pub fn refreshes(&self) -> Vec<SeenRefresh> {
        self.world.state().record.refreshes().cloned().collect()
    }

    /// Report calls so far, the refused ones included.
    pub fn calls(&self) -> u64 {
        self.world.state().record.report_calls()
    }

    /// Report calls for one activity, with any `no_clicks`.
    pub fn calls_for(&self, id: Uuid) -> u64 {
        self.world.state().record.by_activity().get(&id).copied().unwrap_or_default()
    }

    /// Calls of the statistics endpoint so far, the refused ones included. [`Self::calls`] leaves them out,
    /// [`Self::spent_today`] and [`Self::seen`] do not.
    pub fn statistics_calls(&self) -> u64 {
        self.world.state().record.statistics_calls()
    }

    /// Calls for activities themselves so far, the refused ones included; counted as those of the statistics endpoint are.
    pub fn activity_calls(&self) -> u64 {
        self.world.state().record.activity_calls()
    }

    /// Calls of the token endpoint so far, the refused ones included.
    pub fn token_calls(&self) -> u64 {
        self.world.state().record.token_calls()
    }

    /// Report calls under way.
    pub fn in_flight(&self) -> u64 {
        self.world.state().record.in_flight()
    }

    /// The largest number of report calls that were under way at one time.
    pub fn peak_in_flight(&self) -> u64 {
        self.world.state().record.peak_in_flight()
    }

    /// Waits until this many report calls have arrived in all.
    pub async fn called(&self, calls: u64) {
        let mut seen = self.world.calls.subscribe();
        // The sender lives as long as this handle: this cannot fail.
        let _ = seen.wait_for(|seen| *seen >= calls).await;
    }

    /// The account's campaigns with their state at this moment.
    pub fn campaigns(&self) -> Vec<Campaign> {
        campaigns::list(self.world.clock.start(), self.world.clock.now())
    }

    /// The options it was built with: the client id and secret, for instance.
    pub fn options(&self) -> &Options {
        &self.world.options
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // One test's panic under the lock must not fail the others.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl CallInFlight ===

impl CallInFlight {
    pub(super) fn begin(world: &Arc<Shared>) -> Self {
        world.state().record.enter();
        Self(Arc::clone(world))
    }
}

impl Drop for CallInFlight {
    fn drop(&mut self) {
        self.0.state().record.leave();
    }
}
