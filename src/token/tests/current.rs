//! The current token by itself: what it is, and whose 401s count.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::token::current::{Arrival, CurrentToken, Expiry, StatusChange, TokenVerdict, Validity};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn installed(current: &CurrentToken, token: &str, life: Expiry, arrival: Arrival) -> Option<u64> {
    current.install(token.into(), life, arrival, SystemTime::UNIX_EPOCH + DAY).unwrap()
}

fn provided(token: &str) -> CurrentToken {
    let current = CurrentToken::empty();
    assert_eq!(installed(&current, token, Expiry::Unknown, Arrival::ProvidedToken), Some(1));
    current
}

fn refuse(current: &CurrentToken, generation: u64, now: Instant) -> StatusChange {
    current.record_response(generation, TokenVerdict::Refused, now)
}

#[test]
fn it_is_missing_valid_rejected_and_expired_in_turn() {
    let (current, now) = (CurrentToken::empty(), Instant::now());
    assert_eq!((current.standing(now), current.changed_at()), (Validity::Missing, None));
    installed(&current, "first", Expiry::Until(now + SECOND), Arrival::ProvidedToken);
    assert_eq!((current.standing(now), current.remaining(now)), (Validity::Valid, Some(SECOND)));
    assert_eq!(current.changed_at(), Some(SystemTime::UNIX_EPOCH + DAY));
    assert_eq!(refuse(&current, 1, now), StatusChange::Changed);
    assert_eq!(current.standing(now), Validity::Rejected);
    assert_eq!(refuse(&current, 1, now), StatusChange::Known);
    assert_eq!(current.standing(now + SECOND), Validity::Expired);
    assert!(current.current(now + SECOND).is_none() && current.to_send(now + SECOND).is_none());
}

#[test]
fn what_replaces_a_refused_token_is_valid_until_it_is_refused_itself() {
    let (current, now) = (provided("first"), Instant::now());
    refuse(&current, 1, now);
    assert_eq!(installed(&current, "second", Expiry::Unknown, Arrival::Renewed(now)), Some(2));
    assert_eq!(current.standing(now), Validity::Valid);
    assert_eq!(refuse(&current, 2, now), StatusChange::Changed);
    assert_eq!(current.standing(now), Validity::Rejected);
}

#[test]
fn a_401_to_the_token_before_says_nothing_of_this_one() {
    let (current, now) = (provided("first"), Instant::now());
    assert_eq!(installed(&current, "second", Expiry::Unknown, Arrival::ProvidedToken), Some(2));
    assert_eq!((refuse(&current, 1, now), current.standing(now)), (StatusChange::Known, Validity::Valid));
    refuse(&current, 2, now);
    assert_eq!(current.record_response(1, TokenVerdict::Accepted, now), StatusChange::Known);
    assert_eq!(current.standing(now), Validity::Rejected);
    assert_eq!(current.record_response(2, TokenVerdict::Accepted, now), StatusChange::Changed);
    assert_eq!(current.standing(now), Validity::Valid);
}

#[test]
fn the_same_token_again_is_no_new_generation() {
    let (current, now) = (provided("first"), Instant::now());
    refuse(&current, 1, now);
    let life = Expiry::Until(now + SECOND);
    assert_eq!(installed(&current, "first", life, Arrival::Renewed(now)), None);
    assert_eq!((current.generation(), current.remaining(now)), (1, Some(SECOND)));
    assert_eq!(current.standing(now), Validity::Rejected);
}

#[test]
fn three_401s_hold_it_back_until_the_pause_is_over() {
    let (current, now) = (provided("first"), Instant::now());
    for is_backed_off in [false, false, true] {
        refuse(&current, 1, now);
        assert_eq!(current.is_backed_off(now), is_backed_off);
    }
    let over = now + 5 * SECOND;
    assert!(!current.is_backed_off(over));
    let (_token, _probe) = current.to_send(over).expect("one probe");
    assert!(current.is_backed_off(over), "while the probe runs");
}
