//! What a replica does about a difference between its record and the shared store's. Pure.

use crate::{
    state::{PairOrigin, TokenRecord},
    token::outcome::same,
};

/// What to do about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reconciliation {
    /// There is none.
    InStep,
    /// The store's record is newer: take it.
    Adopt,
    /// The store has lost ours: write it back with this version.
    Restore { version: u64 },
    /// Ours is the answer to the store's refresh token: write it in its place.
    Commit,
    /// Another pair came before ours: keep our refresh token beside it, it may be the one that is valid.
    KeepBeside,
}

/// Compares this replica's record with the store's. The generation decides, then the version.
pub(super) fn reconcile(own: Option<&TokenRecord>, store: Option<&TokenRecord>) -> Reconciliation {
    let (own, store) = match (own, store) {
        (None, None) => return Reconciliation::InStep,
        (None, Some(_)) => return Reconciliation::Adopt,
        (Some(own), None) => return Reconciliation::Restore { version: own.fleet.version + 1 },
        (Some(own), Some(store)) => (own, store),
    };
    let (mine, theirs) = (own.fleet, store.fleet);
    if mine.origin == PairOrigin::Unshared {
        return match mine.generation.checked_sub(theirs.generation) {
            _ if is_same_pair(own, store) => Reconciliation::Adopt,
            Some(1) => Reconciliation::Commit,
            Some(2..) => Reconciliation::Restore { version: mine.version.max(theirs.version) + 1 },
            Some(0) | None => beside(own, store),
        };
    }
    if theirs.generation > mine.generation {
        return Reconciliation::Adopt;
    }
    if theirs.generation < mine.generation {
        return Reconciliation::Restore { version: mine.version.max(theirs.version + 1) };
    }
    match theirs.version.cmp(&mine.version) {
        // The store has lost this generation, and another pair has taken it.
        _ if !same(&own.refresh_token, &store.refresh_token) => beside(own, store),
        std::cmp::Ordering::Greater => Reconciliation::Adopt,
        std::cmp::Ordering::Less => Reconciliation::Restore { version: mine.version },
        // The store has lost an intent, and another one has taken its version.
        std::cmp::Ordering::Equal if own.intent_owner != store.intent_owner => Reconciliation::Adopt,
        std::cmp::Ordering::Equal => Reconciliation::InStep,
    }
}

fn beside(own: &TokenRecord, store: &TokenRecord) -> Reconciliation {
    let has = |token| same(token, &own.refresh_token);
    let has_it = has(&store.refresh_token) || store.replaced.iter().any(has);
    if has_it { Reconciliation::Adopt } else { Reconciliation::KeepBeside }
}

/// Whether both have the same tokens.
pub(super) fn is_same_pair(one: &TokenRecord, other: &TokenRecord) -> bool {
    let access = match (&one.access, &other.access) {
        (Some(one), Some(other)) => same(&one.token, &other.token),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    access && same(&one.refresh_token, &other.refresh_token)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::state::{FleetPosition, IntentOwner};

    fn record(token: &str, version: u64, generation: u64, origin: PairOrigin) -> TokenRecord {
        let fleet = FleetPosition { version, generation, origin };
        TokenRecord { fleet, ..TokenRecord::new(token.into()) }
    }

    fn store(token: &str, version: u64, generation: u64) -> TokenRecord {
        record(token, version, generation, PairOrigin::Another)
    }

    #[test]
    fn a_record_of_a_later_generation_replaces_an_earlier_one_in_either_direction() {
        let own = store("b", 7, 2);
        assert_eq!(reconcile(None, None), Reconciliation::InStep);
        assert_eq!(reconcile(None, Some(&own)), Reconciliation::Adopt);
        assert_eq!(reconcile(Some(&own), Some(&own)), Reconciliation::InStep);
        assert_eq!(reconcile(Some(&own), Some(&store("c", 8, 3))), Reconciliation::Adopt);
        assert_eq!(reconcile(Some(&own), Some(&store("a", 4, 1))), Reconciliation::Restore { version: 7 });
        // The older copy has been written to since.
        assert_eq!(reconcile(Some(&own), Some(&store("a", 9, 1))), Reconciliation::Restore { version: 10 });
        assert_eq!(reconcile(Some(&own), None), Reconciliation::Restore { version: 8 });
    }

    #[test]
    fn an_intent_that_the_store_has_lost_is_written_back() {
        let begun = TokenRecord { intent: Some(SystemTime::UNIX_EPOCH), ..store("a", 8, 2) };
        let lost = store("a", 7, 2);
        assert_eq!(reconcile(Some(&begun), Some(&lost)), Reconciliation::Restore { version: 8 });
        assert_eq!(reconcile(Some(&lost), Some(&begun)), Reconciliation::Adopt);
        let others = TokenRecord { intent_owner: Some(IntentOwner(1)), ..begun.clone() };
        assert_eq!(reconcile(Some(&begun), Some(&others)), Reconciliation::Adopt);
    }

    #[test]
    fn an_answer_is_committed_over_the_generation_that_it_answers_whatever_became_of_the_intent() {
        let answer = record("b", 5, 3, PairOrigin::Unshared);
        for version in [4, 5, 9] {
            assert_eq!(reconcile(Some(&answer), Some(&store("a", version, 2))), Reconciliation::Commit);
        }
        assert_eq!(reconcile(Some(&answer), Some(&store("b", 6, 3))), Reconciliation::Adopt, "it arrived");
        assert_eq!(
            reconcile(Some(&answer), Some(&store("b", 6, 2))),
            Reconciliation::Adopt,
            "as an earlier one"
        );
        assert_eq!(reconcile(Some(&answer), Some(&store("0", 3, 1))), Reconciliation::Restore { version: 6 });
        assert_eq!(reconcile(Some(&answer), None), Reconciliation::Restore { version: 6 });
    }

    #[test]
    fn an_answer_that_came_after_another_generation_is_kept_beside_it() {
        let answer = record("b", 5, 3, PairOrigin::Unshared);
        for generation in [3, 4] {
            let newer = store("c", 8, generation);
            assert_eq!(reconcile(Some(&answer), Some(&newer)), Reconciliation::KeepBeside);
            let kept = TokenRecord { replaced: vec!["b".into()], ..newer };
            assert_eq!(reconcile(Some(&answer), Some(&kept)), Reconciliation::Adopt, "once");
        }
        // A refresh token that lives on has nothing to lose.
        assert_eq!(reconcile(Some(&answer), Some(&store("b", 8, 4))), Reconciliation::Adopt);
    }

    #[test]
    fn a_pair_whose_generation_another_one_has_taken_after_a_loss_is_kept_beside_it() {
        let own = record("b", 6, 3, PairOrigin::Own);
        for version in [4, 6, 7] {
            let others = store("c", version, 3);
            assert_eq!(reconcile(Some(&own), Some(&others)), Reconciliation::KeepBeside);
        }
    }

    #[test]
    fn the_tokens_that_replicas_had_before_they_were_a_fleet_are_all_kept() {
        let own = TokenRecord::new("own".into());
        assert_eq!(reconcile(Some(&own), None), Reconciliation::Restore { version: 1 });
        assert_eq!(reconcile(Some(&own), Some(&store("a", 1, 1))), Reconciliation::KeepBeside);
        assert_eq!(reconcile(Some(&own), Some(&store("own", 1, 1))), Reconciliation::Adopt);
    }
}
