//! Encodes each operation as a call of its script.

use super::script_call::{ScriptCall, hex};
use crate::{
    report::ReportKey,
    settings::StoreNamespace,
    shared::{
        CallRequest, ChangeId, Fence, FlightFailure, Heartbeat, LockoutRequest, LookUp, MemberId, Nonce,
        PurgeScope, Recovery, ReportKind, SharedToken, StoreReport, StoreSeen, ThrottleRequest, TokenSwap,
        millis::{millis, millis_up},
        scripts,
        short_word::short_word,
        store_keys::StoreKeys,
    },
};

/// Makes the script calls of one namespace.
#[derive(Debug, Clone)]
pub(in crate::shared) struct ScriptRequests {
    keys: StoreKeys,
}

// === impl ScriptRequests ===

impl ScriptRequests {
    pub(in crate::shared) fn new(namespace: &StoreNamespace) -> Self {
        Self { keys: StoreKeys::new(namespace) }
    }

    pub(in crate::shared) fn feed_key(&self) -> Vec<u8> {
        self.keys.changes()
    }

    pub(in crate::shared) fn heartbeat(&self, seen: StoreSeen, heartbeat: &Heartbeat) -> ScriptCall {
        let Heartbeat { member, told, offline, feed_lag, about } = heartbeat;
        ScriptCall::new(&scripts::HEARTBEAT, self.fleet_keys())
            .seen(seen)
            .text(&hex(member.0))
            .integer(told.day)
            .integer(told.spent)
            .integer(*offline)
            .integer(millis(*feed_lag))
            .text(&about.to_string())
    }

    pub(in crate::shared) fn recover(&self, recovery: &Recovery) -> ScriptCall {
        let Recovery { known, seen, fresh, told, margin, force, purged } = *recovery;
        ScriptCall::new(&scripts::RECOVER, self.fleet_keys())
            .seen(StoreSeen { epoch: known, sequence: seen })
            .text(&hex(fresh.0))
            .integer(told.day)
            .integer(told.spent)
            .integer(margin)
            .integer(u64::from(force))
            .fence(purged)
    }

    pub(in crate::shared) fn leave(&self, member: MemberId) -> ScriptCall {
        ScriptCall::new(&scripts::LEAVE, [self.keys.members()]).text(&hex(member.0))
    }

    pub(in crate::shared) fn take_call(&self, seen: StoreSeen, request: &CallRequest) -> ScriptCall {
        let CallRequest { day, ceiling, interval, horizon, count } = *request;
        ScriptCall::new(&scripts::TAKE_CALL, self.keys_and([]))
            .seen(seen)
            .integer(day)
            .integer(ceiling)
            .integer(millis_up(interval))
            .integer(millis(horizon))
            .integer(count.calls())
    }

    pub(in crate::shared) fn lock_out(&self, seen: StoreSeen, request: &LockoutRequest) -> ScriptCall {
        let LockoutRequest { day, lasts } = *request;
        let call = ScriptCall::new(&scripts::LOCK_OUT, self.keys_and([]));
        call.seen(seen).integer(day).integer(millis_up(lasts))
    }

    pub(in crate::shared) fn throttle(&self, seen: StoreSeen, request: &ThrottleRequest) -> ScriptCall {
        let call = ScriptCall::new(&scripts::THROTTLE, self.keys_and([]));
        call.seen(seen).integer(millis_up(request.hold))
    }

    pub(in crate::shared) fn look_up(&self, seen: StoreSeen, look_up: &LookUp) -> ScriptCall {
        let LookUp { ref key, nonce, have, lease, answers } = *look_up;
        ScriptCall::new(&scripts::LOOK_UP, self.keys_and([self.keys.report(key), self.keys.flight(key)]))
            .seen(seen)
            .text(&nonce_text(nonce))
            .fence(have)
            .integer(millis_up(lease))
            .integer(answers)
    }

    pub(in crate::shared) fn get(&self, key: &ReportKey, have: Fence) -> ScriptCall {
        ScriptCall::new(&scripts::GET, self.keys_and([self.keys.report(key)])).fence(have)
    }

    pub(in crate::shared) fn store(&self, seen: StoreSeen, stored: &StoreReport) -> ScriptCall {
        let StoreReport { key, nonce, fence, keep, report } = stored;
        let kind = match report.kind {
            ReportKind::Report => "report",
            ReportKind::Negative => "negative",
        };
        ScriptCall::new(&scripts::STORE, self.keys_and([self.keys.report(key), self.keys.flight(key)]))
            .seen(seen)
            .report_key(key)
            .text(&nonce_text(*nonce))
            .fence(*fence)
            .integer(millis(*keep))
            .text(kind)
            .integer(millis_up(report.age))
            .integer(millis(report.unchanged_for))
            .bytes(&report.body)
            .bytes(&report.mac)
    }

    pub(in crate::shared) fn fail(&self, seen: StoreSeen, failure: &FlightFailure) -> ScriptCall {
        let FlightFailure { key, nonce, back_off, why } = failure;
        ScriptCall::new(&scripts::FAIL, self.keys_and([self.keys.flight(key)]))
            .seen(seen)
            .report_key(key)
            .text(&nonce_text(*nonce))
            .integer(millis_up(*back_off))
            .text(short_word(why))
    }

    pub(in crate::shared) fn purge(&self, seen: StoreSeen, scope: PurgeScope) -> ScriptCall {
        match scope {
            PurgeScope::Key(key) => {
                let keys = self.keys_and([self.keys.report(&key), self.keys.flight(&key)]);
                ScriptCall::new(&scripts::PURGE_KEY, keys).seen(seen).report_key(&key)
            }
            PurgeScope::All => ScriptCall::new(&scripts::PURGE_ALL, self.keys_and([])).seen(seen),
        }
    }

    pub(in crate::shared) fn read_token(&self) -> ScriptCall {
        ScriptCall::new(&scripts::READ_TOKEN, [self.keys.token()])
    }

    pub(in crate::shared) fn swap_token(&self, seen: StoreSeen, swap: &TokenSwap) -> ScriptCall {
        let TokenSwap { expected, generation, token } = swap;
        ScriptCall::new(&scripts::SWAP_TOKEN, self.keys_and([self.keys.token()]))
            .seen(seen)
            .integer(*expected)
            .integer(*generation)
            .bytes(&token.0)
    }

    pub(in crate::shared) fn restore_token(&self, seen: StoreSeen, restored: &SharedToken) -> ScriptCall {
        let SharedToken { version, generation, token } = restored;
        ScriptCall::new(&scripts::RESTORE_TOKEN, self.keys_and([self.keys.token()]))
            .seen(seen)
            .integer(*version)
            .integer(*generation)
            .bytes(&token.0)
    }

    pub(in crate::shared) fn changes(&self, after: ChangeId, most: usize) -> ScriptCall {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        ScriptCall::new(&scripts::CHANGES, [self.keys.changes()]).text(&change_id_text(after)).integer(most)
    }

    fn fleet_keys(&self) -> Vec<Vec<u8>> {
        self.keys_and([self.keys.members(), self.keys.token()])
    }

    fn keys_and<const MORE: usize>(&self, more: [Vec<u8>; MORE]) -> Vec<Vec<u8>> {
        [self.keys.fleet(), self.keys.changes()].into_iter().chain(more).collect()
    }
}

fn nonce_text(nonce: Nonce) -> String {
    format!("{:032x}", nonce.0)
}

pub(in crate::shared) fn change_id_text(id: ChangeId) -> String {
    format!("{}-{}", id.ms, id.n)
}
