use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);
const CALM: RenewalCase = RenewalCase {
    intent: None,
    left: AccessLeft::accepted(HOUR),
    since_others_pair: None,
    since_epoch: Some(HOUR),
    epoch_change: EpochChange::Seen,
    pair: PairSource::Other,
};

fn seen(holder: IntentHolder, seconds: u64) -> Option<IntentSeen> {
    Some(IntentSeen { holder, seen_for: Duration::from_secs(seconds) })
}

fn waits(decision: Result<(), NotYet>) -> Option<(WaitReason, u64)> {
    decision.err().map(|not_yet| (not_yet.reason, not_yet.wait.as_secs()))
}

#[test]
fn another_s_renewal_has_ten_minutes_or_one_if_the_access_token_has_less_than_a_quarter_of_an_hour() {
    for (remaining, seen_for, expected) in [
        (HOUR, 0, Some(600)),
        (HOUR, 599, Some(1)),
        (HOUR, 600, None),
        (MINUTE * 15, 60, Some(540)),
        (MINUTE * 15 - SPACING, 59, Some(1)),
        (MINUTE * 15 - SPACING, 60, None),
        (Duration::ZERO, 60, None),
    ] {
        for left in [AccessLeft::accepted(remaining), AccessLeft::refused(remaining)] {
            let case = RenewalCase { intent: seen(IntentHolder::Another, seen_for), left, ..CALM };
            let expected = expected.map(|wait| (WaitReason::AnotherRenews, wait));
            assert_eq!(waits(case.decide()), expected, "{case:?}");
        }
    }
}

#[test]
fn its_own_renewal_is_begun_again_at_once_and_one_before_the_restart_after_two_seconds() {
    let case = |intent| RenewalCase { intent, ..CALM }.decide();
    assert_eq!(waits(case(seen(IntentHolder::This, 0))), None);
    assert_eq!(waits(case(seen(IntentHolder::ThisBefore, 1))), Some((WaitReason::RenewedBefore, 1)));
    assert_eq!(waits(case(seen(IntentHolder::ThisBefore, 2))), None);
}

#[test]
fn after_a_new_epoch_those_who_know_more_come_first_unless_a_login_has_just_brought_the_token() {
    let accepted = [(HOUR, 600), (HOUR - SPACING, 120), (SPACING, 120), (Duration::ZERO, 20)]
        .map(|(remaining, quiet)| (AccessLeft::accepted(remaining), quiet));
    for (left, quiet) in accepted.into_iter().chain([(AccessLeft::refused(HOUR), 20)]) {
        let after = |seconds| RenewalCase { since_epoch: Some(Duration::from_secs(seconds)), left, ..CALM };
        assert_eq!(waits(after(quiet - 1).decide()), Some((WaitReason::NewEpoch, 1)));
        assert_eq!(waits(after(quiet).decide()), None);
        let login = RenewalCase { pair: PairSource::NewLogin, ..after(0) };
        assert_eq!(waits(login.decide()), None);
    }
    let never_met = RenewalCase { since_epoch: None, ..CALM };
    assert_eq!(waits(never_met.decide()), Some((WaitReason::NewEpoch, 600)));
}

#[test]
fn after_a_new_epoch_that_came_while_it_was_away_it_waits_as_for_a_renewal_that_another_has_begun() {
    for (left, patience) in [
        (AccessLeft::refused(HOUR), 600),
        (AccessLeft::accepted(MINUTE * 15), 600),
        (AccessLeft::accepted(MINUTE * 15 - SPACING), 120),
        (AccessLeft::NONE, 120),
    ] {
        let after = |seconds| RenewalCase {
            since_epoch: Some(Duration::from_secs(seconds)),
            epoch_change: EpochChange::Missed,
            left,
            ..CALM
        };
        assert_eq!(waits(after(patience - 1).decide()), Some((WaitReason::NewEpoch, 1)), "{left:?}");
        assert_eq!(waits(after(patience).decide()), None, "{left:?}");
    }
}

#[test]
fn after_a_new_epoch_an_access_token_that_ends_is_not_outlasted_by_the_wait() {
    let decide = |left, since_epoch| {
        let (left, since_epoch) = (Duration::from_secs(left), Some(Duration::from_secs(since_epoch)));
        waits(RenewalCase { left: AccessLeft::accepted(left), since_epoch, ..CALM }.decide())
    };
    assert_eq!(decide(15, 80), Some((WaitReason::NewEpoch, 15)));
    assert_eq!(decide(0, 95), None);
    assert_eq!(decide(5, 5), Some((WaitReason::NewEpoch, 15)));
}

#[test]
fn no_call_follows_another_replica_s_within_a_second() {
    let after = |millis| RenewalCase { since_others_pair: Some(Duration::from_millis(millis)), ..CALM };
    assert!(after(999).decide().is_err() && after(1_000).decide().is_ok());
}

#[test]
fn a_store_that_may_lose_the_token_is_not_trusted_with_it_while_there_is_time() {
    for safety in [WriteSafety::Unreplicated, WriteSafety::Rewriting] {
        assert!(wait_for_safety(safety, SCARCE).is_err());
        assert!(wait_for_safety(safety, SCARCE - SPACING).is_ok());
    }
    assert!(wait_for_safety(WriteSafety::Kept, HOUR).is_ok());
}

#[test]
fn while_the_store_is_away_a_rotating_token_is_sent_by_who_got_it_and_only_at_the_end() {
    let case = |rotation, origin, remaining| AloneCase {
        intent: None,
        left: AccessLeft::accepted(remaining),
        rotation,
        origin,
        generation: 3,
        away_for: MINUTE,
    };
    for origin in [PairOrigin::Own, PairOrigin::Another, PairOrigin::Unshared] {
        assert!(case(Rotation::LongLived, origin, HOUR).decide().is_ok(), "anyone may");
        assert!(case(Rotation::Unknown, origin, Duration::ZERO).decide().is_err());
        assert!(case(Rotation::Rotating, origin, SCARCE).decide().is_err());
        let late = case(Rotation::Rotating, origin, SCARCE - SPACING);
        assert_eq!(late.decide().is_ok(), origin != PairOrigin::Another);
        let refused = AloneCase { left: AccessLeft::refused(SCARCE), ..late };
        assert!(refused.decide().is_err(), "the others have renewed it");
        assert!(AloneCase { generation: 0, ..late }.decide().is_err(), "it may be used up long since");
        let just_gone = AloneCase { away_for: MINUTE - SPACING, ..late };
        assert!(just_gone.decide().is_err(), "another may have begun before");
        let begun = AloneCase { intent: seen(IntentHolder::Another, 599), ..late };
        assert!(begun.decide().is_err(), "the other may have the answer");
    }
}
