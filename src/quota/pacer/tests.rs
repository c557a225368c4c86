use super::*;
use proptest::prelude::*;

const FOUR: Option<NonZeroU32> = NonZeroU32::new(4);
const FIVE_SECONDS: Duration = Duration::from_secs(5);
const SPACING: Duration = Duration::from_micros(262_500);

fn leave(pacer: &mut Pacer, now: Instant) -> Instant {
    let ticket = pacer.reserve(Priority::Miss, now).unwrap();
    let at = match pacer.take(ticket, now) {
        Admission::Go => now,
        Admission::NotBefore(at) => {
            assert_eq!(pacer.take(ticket, at), Admission::Go);
            at
        }
        Admission::AfterConnecting => panic!("another call is still connecting"),
    };
    pacer.sent(at);
    at
}

#[test]
fn calls_are_spaced_evenly() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    let left: Vec<_> = (0..5).map(|_| leave(&mut pacer, start) - start).collect();
    assert_eq!(left, [Duration::ZERO, SPACING, SPACING * 2, SPACING * 3, SPACING * 4]);
}

#[test]
fn a_wait_longer_than_max_wait_is_refused_at_once() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    let places = std::iter::from_fn(|| pacer.reserve(Priority::Miss, start).ok()).count();
    assert_eq!(places, 20, "the first leaves at once, the twentieth after 4.9875 s");
    assert_eq!(pacer.reserve(Priority::Miss, start), Err(QueueFull { wait: SPACING * 20 }));
    pacer.set_limits(FOUR, SPACING * 20);
    assert!(pacer.reserve(Priority::Miss, start).is_ok(), "it may wait just as long");
}

#[test]
fn a_call_that_gives_up_lets_later_calls_move_up() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    leave(&mut pacer, start);
    let [first, second] = [(); 2].map(|()| pacer.reserve(Priority::Miss, start).unwrap());
    assert_eq!(pacer.take(second, start), Admission::NotBefore(start + SPACING * 2));
    assert!(pacer.give_back(first));
    assert!(!pacer.give_back(first), "nobody moves up a second time");
    assert_eq!(pacer.take(second, start), Admission::NotBefore(start + SPACING));
    assert_eq!(pacer.waiting(), 1);
}

#[test]
fn a_throttled_response_halves_the_rate_once_and_accepted_calls_restore_it() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    pacer.throttled(start);
    pacer.throttled(start);
    assert_eq!(leave(&mut pacer, start), start + WINDOW + JITTER);
    let second = leave(&mut pacer, start);
    assert_eq!(second, start + WINDOW + JITTER + SPACING * 2);
    (0..8).for_each(|_| pacer.accepted());
    let third = leave(&mut pacer, second);
    assert_eq!(leave(&mut pacer, second) - third, SPACING);
}

#[test]
fn each_accepted_call_takes_back_an_eighth_of_the_slowing() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    pacer.throttled(start);
    for eighths in [16, 15, 14] {
        assert_eq!(pacer.interval * 8, SPACING * eighths);
        pacer.accepted();
    }
}

#[test]
fn a_throttled_response_to_a_call_that_was_under_way_begins_the_pause_again() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    pacer.throttled(start);
    let later = start + WINDOW / 2;
    pacer.throttled(later);
    assert_eq!(pacer.wait(Priority::Miss, later), WINDOW + JITTER);
    assert_eq!(pacer.interval, SPACING * 2, "the rate is halved once");
}

#[test]
fn the_calls_of_the_last_second_are_those_that_were_sent_in_it() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    assert_eq!(pacer.used(start), 0);
    for _ in 0..3 {
        leave(&mut pacer, start);
    }
    let last = start + SPACING * 2;
    for (now, used) in [
        (last, 3),
        (start + WINDOW - JITTER, 3),
        (start + WINDOW, 2),
        (last + WINDOW - JITTER, 1),
        (last + WINDOW, 0),
    ] {
        assert_eq!(pacer.used(now), used, "{:?}", now - start);
    }
}

#[test]
fn while_others_use_the_limit_calls_become_rarer_down_to_one_a_minute() {
    let mut now = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, now);
    let silence = WINDOW + JITTER;
    for times in [1, 1, 1, 1, 2, 4, 8, 16, 32] {
        // A call that was under way is refused too.
        pacer.throttled(now);
        pacer.throttled(now);
        assert_eq!(pacer.wait(Priority::Miss, now), silence * times);
        now += silence * times;
    }
    pacer.throttled(now);
    assert_eq!(pacer.wait(Priority::Miss, now), LONGEST_THROTTLED);
    pacer.accepted();
    now += LONGEST_THROTTLED;
    pacer.throttled(now);
    assert_eq!(pacer.wait(Priority::Miss, now), silence);
}

#[test]
fn a_hold_delays_waiting_calls_too() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    let ticket = pacer.reserve(Priority::Miss, start).unwrap();
    pacer.hold_until(start + FIVE_SECONDS);
    assert_eq!(pacer.take(ticket, start), Admission::NotBefore(start + FIVE_SECONDS));
}

#[test]
fn a_miss_leaves_before_a_refresh() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    leave(&mut pacer, start);
    let refresh = pacer.reserve(Priority::Refresh, start).unwrap();
    let cold = pacer.reserve(Priority::Miss, start).unwrap();
    assert_eq!(pacer.take(refresh, start + SPACING), Admission::NotBefore(start + SPACING * 2));
    assert_eq!(pacer.take(cold, start + SPACING), Admission::Go);
    pacer.sent(start + SPACING);
    assert_eq!(pacer.take(refresh, start + SPACING * 2), Admission::Go);
    pacer.sent(start + SPACING * 2);
    let refreshes = std::iter::from_fn(|| pacer.reserve(Priority::Refresh, start).ok()).count();
    assert!(
        refreshes > 0 && pacer.reserve(Priority::Miss, start).is_ok(),
        "refreshes that wait do not delay a miss"
    );
}

#[test]
fn after_an_unspecified_429_the_pause_grows() {
    let mut now = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, now);
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
        pacer.unspecified_429(now);
        pacer.unspecified_429(now);
        let silence = pacer.wait(Priority::Miss, now);
        assert_eq!(
            silence.max(Duration::from_secs(2)),
            Duration::from_secs(seconds).max(Duration::from_secs(2))
        );
        now += silence;
    }
    pacer.accepted();
    pacer.unspecified_429(now);
    assert_eq!(pacer.wait(Priority::Miss, now), WINDOW + JITTER);
}

#[test]
fn after_a_restart_the_first_call_waits_for_a_second() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    pacer.resume_after_restart(start);
    assert_eq!(leave(&mut pacer, start), start + WINDOW + JITTER);
}

#[test]
fn a_call_that_is_still_connecting_keeps_the_next_one_back_and_the_interval_counts_from_the_wire() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    let [first, second, third] = [(); 3].map(|()| pacer.reserve(Priority::Miss, start).unwrap());
    assert_eq!(pacer.take(first, start), Admission::Go);
    assert_eq!(pacer.wait(Priority::Miss, start), SPACING * 3, "behind the other two");
    let connected = start + SPACING * 3;
    assert_eq!(pacer.take(second, connected), Admission::AfterConnecting);
    assert_eq!(pacer.sent(connected), Connecting::Over);
    assert_eq!(pacer.take(second, connected), Admission::NotBefore(connected + SPACING));
    assert_eq!(pacer.take(second, connected + SPACING), Admission::Go);
    assert_eq!(pacer.ended(first, connected + SPACING), Connecting::Another, "it was sent long ago");
    assert_eq!(pacer.take(third, connected + SPACING * 2), Admission::AfterConnecting);
    assert_eq!(pacer.ended(second, connected + SPACING * 2), Connecting::Over, "no connection was made");
    assert_eq!(pacer.take(third, connected + SPACING * 3), Admission::Go);
}

#[test]
fn without_a_rate_nothing_waits() {
    let start = Instant::now();
    let mut pacer = Pacer::new(None, FIVE_SECONDS, start);
    pacer.resume_after_restart(start);
    assert!((0..1000).all(|_| leave(&mut pacer, start) == start));
}

#[derive(Debug, Clone)]
enum Event {
    Arrive(Priority),
    GiveUp(prop::sample::Index),
    Throttled,
    Unclear,
    Accepted,
    Connected,
    CircuitPermit(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Arrive(Priority::Miss)),
        2 => Just(Event::Arrive(Priority::Refresh)),
        1 => any::<prop::sample::Index>().prop_map(Event::GiveUp),
        1 => Just(Event::Throttled),
        1 => Just(Event::Unclear),
        2 => Just(Event::Accepted),
        4 => Just(Event::Connected),
        5 => (0..400_u64).prop_map(Event::CircuitPermit),
    ]
}

proptest! {
    #[test]
    fn no_sliding_second_holds_more_than_per_second_on_the_wire(
        per_second in 1..12_u32,
        events in prop::collection::vec(event(), 1..200),
    ) {
        let mut now = Instant::now();
        let mut pacer = Pacer::new(NonZeroU32::new(per_second), FIVE_SECONDS, now);
        let (mut waiting, mut left) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Arrive(priority) => waiting.extend(pacer.reserve(priority, now)),
                Event::GiveUp(which) if !waiting.is_empty() => {
                    pacer.give_back(waiting.remove(which.index(waiting.len())));
                }
                Event::GiveUp(_) => {}
                Event::Throttled => pacer.throttled(now),
                Event::Unclear => pacer.unspecified_429(now),
                Event::Accepted => pacer.accepted(),
                Event::Connected => {
                    if pacer.sent(now) == Connecting::Over {
                        left.push(now);
                    }
                }
                Event::CircuitPermit(millis) => now += Duration::from_millis(millis),
            }
            // The newest call tries first: the worst order in which waiting calls can wake up.
            for index in (0..waiting.len()).rev() {
                if pacer.take(waiting[index], now) == Admission::Go {
                    waiting.remove(index);
                }
            }
            prop_assert_eq!(pacer.waiting(), waiting.len());
        }
        for window in left.windows(per_second as usize + 1) {
            prop_assert!(window[per_second as usize] - window[0] > WINDOW);
        }
    }
}

#[test]
fn a_slower_rate_holds_from_the_last_call_on_and_a_throttled_one_stays_slowed() {
    let start = Instant::now();
    let mut pacer = Pacer::new(FOUR, FIVE_SECONDS, start);
    leave(&mut pacer, start);
    pacer.set_limits(NonZeroU32::new(1), FIVE_SECONDS);
    assert_eq!(leave(&mut pacer, start) - start, SPACING * 4);
    pacer.set_limits(FOUR, FIVE_SECONDS);
    let third = leave(&mut pacer, start + SPACING * 4);
    assert_eq!(third - start, SPACING * 8, "its place was set before");
    assert_eq!(leave(&mut pacer, third) - third, SPACING);
    pacer.throttled(third + SPACING);
    let before = pacer.interval;
    pacer.set_limits(NonZeroU32::new(2), Duration::ZERO);
    assert_eq!(pacer.interval, before * 2);
    pacer.set_limits(None, Duration::ZERO);
    assert_eq!(pacer.interval, Duration::ZERO);
    pacer.set_limits(FOUR, Duration::ZERO);
    assert_eq!((pacer.interval, pacer.max_wait()), (SPACING, Duration::ZERO));
}
