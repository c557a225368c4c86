//! The day's calls and the second's.

use std::time::Duration;

use super::{
    super::{
        super::*,
        backend::{Backend, DAY},
    },
    replica::{Replica, call, granted, ms, secs},
};

/// From noon, two seconds of which have passed when a fleet begins.
const TO_MIDNIGHT: Duration = secs(43_198);

const fn probe(spent: u64) -> CallTurn {
    CallTurn::Granted { wait: Duration::ZERO, spent, probe: true }
}

const fn locked_out(ends_in: Duration) -> CallTurn {
    CallTurn::LockedOut { ends_in }
}

pub(in super::super) async fn calls_of_all_replicas_are_counted_together_up_to_the_ceiling(on: &Backend) {
    let [one, two] = Replica::fleet(on).await;
    let request = CallRequest { ceiling: 3, interval: Duration::ZERO, ..call(DAY) };
    assert_eq!(one.take_with(request).await, granted(ms(0), 1));
    assert_eq!(two.take_with(request).await, granted(ms(0), 2));
    assert_eq!(one.take_with(request).await, granted(ms(0), 3));
    assert_eq!(two.take_with(request).await, CallTurn::Exhausted { spent: 3 });
    // Another lane has a higher ceiling.
    assert_eq!(two.take_with(CallRequest { ceiling: 4, ..request }).await, granted(ms(0), 4));
    assert_eq!(one.take_with(request).await, CallTurn::Exhausted { spent: 4 });
}

pub(in super::super) async fn a_call_that_was_counted_before_has_its_place_and_is_not_counted_again(
    on: &Backend,
) {
    let [one, two] = Replica::fleet(on).await;
    let request = CallRequest { ceiling: 2, count: CallCount::Counted, ..call(DAY) };
    assert_eq!(one.take().await, granted(ms(0), 1));
    assert_eq!(one.take_with(request).await, granted(ms(275), 1));
    assert_eq!(two.take().await, granted(ms(550), 2));
    assert_eq!(one.take_with(request).await, CallTurn::Exhausted { spent: 2 });
}

pub(in super::super) async fn each_call_gets_the_next_place_of_the_second(on: &Backend) {
    let [one, two] = Replica::fleet(on).await;
    assert_eq!(one.take().await, granted(ms(0), 1));
    assert_eq!(two.take().await, granted(ms(275), 2));
    assert_eq!(one.take().await, granted(ms(550), 3));
    on.faults.put_clock_forward(ms(600));
    assert_eq!(two.take().await, granted(ms(225), 4));
    on.faults.put_clock_forward(secs(3));
    assert_eq!(one.take().await, granted(ms(0), 5));
}

pub(in super::super) async fn a_place_beyond_the_horizon_is_refused_and_not_counted(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    let near = CallRequest { horizon: ms(300), ..call(DAY) };
    assert_eq!(replica.take_with(near).await, granted(ms(0), 1));
    assert_eq!(replica.take_with(near).await, granted(ms(275), 2));
    assert_eq!(replica.take_with(near).await, CallTurn::Late { wait: ms(550) });
    assert_eq!(replica.take().await, granted(ms(550), 3));
}

pub(in super::super) async fn without_an_interval_calls_are_not_spaced(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    for spent in 1..=5 {
        assert_eq!(replica.spend().await, spent);
    }
    assert_eq!(replica.take().await, granted(ms(0), 6));
}

pub(in super::super) async fn a_throttle_holds_all_replicas_and_a_shorter_one_does_not_shorten_it(
    on: &Backend,
) {
    let [one, two] = Replica::fleet(on).await;
    let hold = |hold| one.store.throttle(one.seen, ThrottleRequest { hold });
    hold(ms(1_100)).await.unwrap().unwrap();
    hold(ms(300)).await.unwrap().unwrap();
    assert_eq!(two.take().await, granted(ms(1_100), 1));
    assert_eq!(two.take().await, granted(ms(1_375), 2));
}

pub(in super::super) async fn a_clock_put_back_holds_no_call_for_longer_than_a_minute(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    replica.take().await;
    on.faults.put_clock_back(secs(3_600));
    assert_eq!(replica.take().await, granted(ms(0), 2));
    on.faults.put_clock_forward(secs(3_600));
    let hold = ThrottleRequest { hold: secs(600) };
    replica.store.throttle(replica.seen, hold).await.unwrap().unwrap();
    let patient = CallRequest { horizon: secs(600), ..call(DAY) };
    assert_eq!(replica.take_with(patient).await, CallTurn::Late { wait: secs(60) });
}

pub(in super::super) async fn the_first_call_of_a_day_turns_it_and_the_day_before_is_over(on: &Backend) {
    let [one, two] = Replica::fleet(on).await;
    one.spend().await;
    on.faults.put_clock_forward(TO_MIDNIGHT);
    assert_eq!(one.spend().await, 2, "one's clock still shows the day before");
    assert_eq!(two.take_with(call(DAY + 1)).await, granted(ms(0), 1));
    assert_eq!(one.take().await, CallTurn::DayIsOver);
    assert_eq!(two.take_with(call(DAY + 1)).await, granted(ms(275), 2));
}

pub(in super::super) async fn across_midnight_replicas_with_different_clocks_never_turn_the_day_back(
    on: &Backend,
) {
    let [fast, slow] = Replica::fleet(on).await;
    on.faults.put_clock_forward(TO_MIDNIGHT - secs(120));
    let mut counts = Vec::new();
    for step in 0..8 {
        let (next, last) = (call(DAY + 1), call(DAY));
        counts.push(fast.take_with(CallRequest { interval: Duration::ZERO, ..next }).await);
        let slow_s = if step < 6 { last } else { next };
        counts.push(slow.take_with(CallRequest { interval: Duration::ZERO, ..slow_s }).await);
        on.faults.put_clock_forward(secs(40));
    }
    let expected = (1..=6).flat_map(|spent| [granted(ms(0), spent), CallTurn::DayIsOver]);
    let expected: Vec<_> = expected.chain((7..=10).map(|spent| granted(ms(0), spent))).collect();
    assert_eq!(counts, expected);
}

pub(in super::super) async fn a_day_that_a_clock_far_ahead_has_begun_is_taken_back_with_its_calls(
    on: &Backend,
) {
    let [mut one, mut two] = Replica::fleet(on).await;
    one.spend().await;
    one.spend().await;
    let far = secs(30 * 86_400);
    on.faults.put_clock_forward(far);
    assert_eq!(two.take_with(call(DAY + 30)).await, granted(ms(0), 1));
    assert_eq!(one.take().await, CallTurn::DayIsOver, "by the store's clock it is");
    on.faults.put_clock_back(far);
    assert_eq!(
        two.take_with(call(DAY - 2)).await,
        CallTurn::DayIsOver,
        "and no clock of this replica's says so"
    );
    assert_eq!(one.take().await, granted(ms(0), 2 + 1 + 1));
    two.told = SpentDay { day: DAY + 30, spent: 1 };
    assert_eq!(two.beat().await.today, SpentDay { day: DAY, spent: 4 });
    on.faults.put_clock_forward(TO_MIDNIGHT);
    assert_eq!(one.take_with(call(DAY + 1)).await, granted(ms(0), 1));
    assert_eq!(one.beat().await.today.spent, 1);
}

pub(in super::super) async fn a_clock_put_back_by_days_forgets_no_call_of_a_day_that_begins_again(
    on: &Backend,
) {
    let [one] = Replica::fleet(on).await;
    for _ in 0..3 {
        one.spend().await;
    }
    let days = secs(3 * 86_400);
    on.faults.put_clock_forward(days);
    let next = CallRequest { interval: Duration::ZERO, ..call(DAY + 3) };
    for spent in [1, 2] {
        assert_eq!(one.take_with(next).await, granted(ms(0), spent));
    }
    on.faults.put_clock_back(secs(86_400));
    let eve = CallRequest { interval: Duration::ZERO, ..call(DAY + 2) };
    assert_eq!(one.take_with(eve).await, CallTurn::DayIsOver, "a smaller step takes no day back");
    assert_eq!(one.take_with(next).await, granted(ms(0), 3));
    on.faults.put_clock_back(days - secs(86_400));
    let last = CallRequest { interval: Duration::ZERO, ..call(DAY) };
    assert_eq!(one.take_with(last).await, granted(ms(0), 3 + 3 + 1));
    assert_eq!(one.take_with(last).await, granted(ms(0), 3 + 3 + 2));
    on.faults.put_clock_forward(days);
    assert_eq!(one.take_with(next).await, granted(ms(0), 3 + 1));
    assert_eq!(one.take_with(last).await, CallTurn::DayIsOver);
}

pub(in super::super) async fn a_day_begins_at_most_five_minutes_early(on: &Backend) {
    let [replica] = Replica::fleet(on).await;
    on.faults.put_clock_forward(TO_MIDNIGHT - ms(300_001));
    let begins_in = ms(300_001);
    assert_eq!(replica.take_with(call(DAY + 1)).await, CallTurn::DayNotBegun { begins_in });
    assert_eq!(replica.spend().await, 1, "the day has not been turned");
    on.faults.put_clock_forward(ms(1));
    assert_eq!(replica.take_with(call(DAY + 1)).await, granted(ms(0), 1));
    let begins_in = ms(86_400_000 + 300_000);
    assert_eq!(replica.take_with(call(DAY + 2)).await, CallTurn::DayNotBegun { begins_in });
}

pub(in super::super) async fn a_lockout_refuses_all_and_then_lets_one_probe_through(on: &Backend) {
    let [one, two] = Replica::fleet(on).await;
    one.spend().await;
    one.lock_out(DAY, secs(600)).await;
    assert_eq!(two.take().await, locked_out(secs(600)));
    on.faults.put_clock_forward(secs(599));
    assert_eq!(one.take().await, locked_out(secs(1)));
    on.faults.put_clock_forward(secs(1));
    assert_eq!(two.take().await, probe(2));
    assert_eq!(one.take().await, locked_out(secs(30)));
    assert_eq!(two.take().await, locked_out(secs(30)));
    two.lock_out(DAY, Duration::ZERO).await;
    assert_eq!(one.take().await, granted(ms(275), 3));
}

pub(in super::super) async fn a_probe_without_a_result_gives_way_to_the_next(on: &Backend) {
    let [one, two] = Replica::fleet(on).await;
    one.lock_out(DAY, secs(60)).await;
    on.faults.put_clock_forward(secs(60));
    assert_eq!(one.take().await, probe(1));
    on.faults.put_clock_forward(secs(30));
    assert_eq!(two.take().await, probe(2));
    // Its result: locked out again.
    two.lock_out(DAY, secs(600)).await;
    assert_eq!(one.take().await, locked_out(secs(600)));
}

pub(in super::super) async fn a_refused_call_is_not_the_probe(on: &Backend) {
    let [mut replica] = Replica::fleet(on).await;
    replica.spend().await;
    replica.lock_out(DAY, secs(60)).await;
    on.faults.put_clock_forward(secs(60));
    assert_eq!(replica.beat().await.locked_out_for, Some(ms(1)), "nobody has ended it");
    let low = CallRequest { ceiling: 1, ..call(DAY) };
    assert_eq!(replica.take_with(low).await, CallTurn::Exhausted { spent: 1 });
    let hold = ThrottleRequest { hold: secs(1) };
    replica.store.throttle(replica.seen, hold).await.unwrap().unwrap();
    let near = CallRequest { horizon: ms(300), ..call(DAY) };
    assert_eq!(replica.take_with(near).await, CallTurn::Late { wait: secs(1) });
    on.faults.put_clock_forward(secs(1));
    assert_eq!(replica.take().await, probe(2));
}

pub(in super::super) async fn a_lockout_ends_with_its_day_and_a_probe(on: &Backend) {
    let [mut one, two] = Replica::fleet(on).await;
    one.lock_out(DAY, secs(86_400)).await;
    assert_eq!(one.beat().await.locked_out_for, Some(secs(86_400)));
    on.faults.put_clock_forward(TO_MIDNIGHT);
    assert_eq!(two.take_with(call(DAY + 1)).await, probe(1));
    assert_eq!(one.take_with(call(DAY + 1)).await, locked_out(secs(30)));
    two.lock_out(DAY + 1, Duration::ZERO).await;
    assert_eq!(one.beat().await.locked_out_for, None);
    assert_eq!(one.take_with(call(DAY + 1)).await, granted(ms(275), 2));
}

pub(in super::super) async fn a_lockout_of_a_day_that_is_over_is_ignored(on: &Backend) {
    let [one, two] = Replica::fleet(on).await;
    on.faults.put_clock_forward(TO_MIDNIGHT);
    two.take_with(call(DAY + 1)).await;
    one.lock_out(DAY, secs(600)).await;
    assert_eq!(two.take_with(call(DAY + 1)).await, granted(ms(275), 2));
    // Its day may be one that the store does not count yet.
    one.lock_out(DAY + 2, secs(600)).await;
    assert_eq!(two.take_with(call(DAY + 1)).await, locked_out(secs(600)));
}

pub(in super::super) async fn a_shorter_lockout_does_not_shorten_a_longer_one(on: &Backend) {
    let [one, two] = Replica::fleet(on).await;
    one.lock_out(DAY, secs(600)).await;
    two.lock_out(DAY, secs(60)).await;
    assert_eq!(two.take().await, locked_out(secs(600)));
}
