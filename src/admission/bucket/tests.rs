use super::*;
use proptest::prelude::*;

const FOUR: Option<NonZeroU32> = NonZeroU32::new(4);
const FIVE_SECONDS: Duration = Duration::from_secs(5);
const SPACING: Duration = Duration::from_micros(262_500);

fn leave(bucket: &mut Bucket, now: Instant) -> Instant {
    let place = bucket.reserve(Lane::Cold, now).unwrap();
    let at = match bucket.take(place, now) {
        Turn::Go => now,
        Turn::NotBefore(at) => {
            assert_eq!(bucket.take(place, at), Turn::Go);
            at
        }
        Turn::AfterConnecting => panic!("another call is still connecting"),
    };
    bucket.sent(at);
    at
}

#[test]
fn calls_are_spaced_evenly() {
    let start = Instant::now();
    let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, start);
    let left: Vec<_> = (0..5).map(|_| leave(&mut bucket, start) - start).collect();
    assert_eq!(left, [Duration::ZERO, SPACING, SPACING * 2, SPACING * 3, SPACING * 4]);
}

#[test]
fn a_wait_longer_than_max_wait_is_refused_at_once() {
    let start = Instant::now();
    let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, start);
    let places = std::iter::from_fn(|| bucket.reserve(Lane::Cold, start).ok()).count();
    assert_eq!(places, 20, "the first goes at once, the twentieth after 4.9875 s");
    assert_eq!(bucket.reserve(Lane::Cold, start), Err(QueueFull { wait: SPACING * 20 }));
}

#[test]
fn who_gives_up_lets_those_behind_move_up() {
    let start = Instant::now();
    let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, start);
    leave(&mut bucket, start);
    let [first, second] = [(); 2].map(|()| bucket.reserve(Lane::Cold, start).unwrap());
    assert_eq!(bucket.take(second, start), Turn::NotBefore(start + SPACING * 2));
    bucket.give_back(first);
    assert_eq!(bucket.take(second, start), Turn::NotBefore(start + SPACING));
    assert_eq!(bucket.waiting(), 1);
}

#[test]
fn a_throttled_answer_halves_the_rate_once_and_good_answers_restore_it() {
    let start = Instant::now();
    let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, start);
    bucket.throttled(start);
    bucket.throttled(start);
    assert_eq!(leave(&mut bucket, start), start + WINDOW + JITTER);
    let second = leave(&mut bucket, start);
    assert_eq!(second, start + WINDOW + JITTER + SPACING * 2);
    (0..8).for_each(|_| bucket.accepted());
    let third = leave(&mut bucket, second);
    assert_eq!(leave(&mut bucket, second) - third, SPACING);
}

#[test]
fn a_second_that_others_spend_is_asked_for_ever_less_often_down_to_once_a_minute() {
    let mut now = Instant::now();
    let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, now);
    let silence = WINDOW + JITTER;
    for times in [1, 1, 1, 1, 2, 4, 8, 16, 32] {
        // One that was under way comes back too.
        bucket.throttled(now);
        bucket.throttled(now);
        assert_eq!(bucket.wait(Lane::Cold, now), silence * times);
        now += silence * times;
    }
    bucket.throttled(now);
    assert_eq!(bucket.wait(Lane::Cold, now), LONGEST_THROTTLED);
    bucket.accepted();
    now += LONGEST_THROTTLED;
    bucket.throttled(now);
    assert_eq!(bucket.wait(Lane::Cold, now), silence);
}

#[test]
fn those_who_wait_feel_a_hold_too() {
    let start = Instant::now();
    let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, start);
    let place = bucket.reserve(Lane::Cold, start).unwrap();
    bucket.hold_until(start + FIVE_SECONDS);
    assert_eq!(bucket.take(place, start), Turn::NotBefore(start + FIVE_SECONDS));
}

#[test]
fn a_cold_key_goes_before_a_refresh() {
    let start = Instant::now();
    let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, start);
    leave(&mut bucket, start);
    let refresh = bucket.reserve(Lane::Refresh, start).unwrap();
    let cold = bucket.reserve(Lane::Cold, start).unwrap();
    assert_eq!(bucket.take(refresh, start + SPACING), Turn::NotBefore(start + SPACING * 2));
    assert_eq!(bucket.take(cold, start + SPACING), Turn::Go);
    bucket.sent(start + SPACING);
    assert_eq!(bucket.take(refresh, start + SPACING * 2), Turn::Go);
    bucket.sent(start + SPACING * 2);
    let refreshes = std::iter::from_fn(|| bucket.reserve(Lane::Refresh, start).ok()).count();
    assert!(refreshes > 0 && bucket.reserve(Lane::Cold, start).is_ok(), "a full lane is no obstacle");
}

#[test]
fn a_429_of_unknown_shape_is_followed_by_a_growing_silence() {
    let mut now = Instant::now();
    let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, now);
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
        bucket.unclear(now);
        bucket.unclear(now);
        let silence = bucket.wait(Lane::Cold, now);
        assert_eq!(
            silence.max(Duration::from_secs(2)),
            Duration::from_secs(seconds).max(Duration::from_secs(2))
        );
        now += silence;
    }
    bucket.accepted();
    bucket.unclear(now);
    assert_eq!(bucket.wait(Lane::Cold, now), WINDOW + JITTER);
}

#[test]
fn a_bucket_that_follows_another_leaves_its_last_second_alone() {
    let start = Instant::now();
    let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, start);
    bucket.follow_on(start);
    assert_eq!(leave(&mut bucket, start), start + WINDOW + JITTER);
}

#[test]
fn a_call_that_is_still_connecting_keeps_the_next_one_back_and_the_interval_counts_from_the_wire() {
    let start = Instant::now();
    let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, start);
    let [first, second, third] = [(); 3].map(|()| bucket.reserve(Lane::Cold, start).unwrap());
    assert_eq!(bucket.take(first, start), Turn::Go);
    let connected = start + SPACING * 3;
    assert_eq!(bucket.take(second, connected), Turn::AfterConnecting);
    assert_eq!(bucket.sent(connected), Connecting::Over);
    assert_eq!(bucket.take(second, connected), Turn::NotBefore(connected + SPACING));
    assert_eq!(bucket.take(second, connected + SPACING), Turn::Go);
    assert_eq!(bucket.ended(first, connected + SPACING), Connecting::Another, "it was sent long ago");
    assert_eq!(bucket.take(third, connected + SPACING * 2), Turn::AfterConnecting);
    assert_eq!(bucket.ended(second, connected + SPACING * 2), Connecting::Over, "no connection came about");
    assert_eq!(bucket.take(third, connected + SPACING * 3), Turn::Go);
}

#[test]
fn without_a_rate_nothing_waits() {
    let start = Instant::now();
    let mut bucket = Bucket::new(None, FIVE_SECONDS, start);
    bucket.follow_on(start);
    assert!((0..1000).all(|_| leave(&mut bucket, start) == start));
}

#[derive(Debug, Clone)]
enum Event {
    Arrive(Lane),
    GiveUp(prop::sample::Index),
    Throttled,
    Unclear,
    Accepted,
    Connected,
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => Just(Event::Arrive(Lane::Cold)),
        2 => Just(Event::Arrive(Lane::Refresh)),
        1 => any::<prop::sample::Index>().prop_map(Event::GiveUp),
        1 => Just(Event::Throttled),
        1 => Just(Event::Unclear),
        2 => Just(Event::Accepted),
        4 => Just(Event::Connected),
        5 => (0..400_u64).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn no_sliding_second_holds_more_than_per_second_on_the_wire(
        per_second in 1..12_u32,
        events in prop::collection::vec(event(), 1..200),
    ) {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(NonZeroU32::new(per_second), FIVE_SECONDS, now);
        let (mut waiting, mut left) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Arrive(lane) => waiting.extend(bucket.reserve(lane, now)),
                Event::GiveUp(which) if !waiting.is_empty() => {
                    bucket.give_back(waiting.remove(which.index(waiting.len())));
                }
                Event::GiveUp(_) => {}
                Event::Throttled => bucket.throttled(now),
                Event::Unclear => bucket.unclear(now),
                Event::Accepted => bucket.accepted(),
                Event::Connected => {
                    if bucket.sent(now) == Connecting::Over {
                        left.push(now);
                    }
                }
                Event::Pass(millis) => now += Duration::from_millis(millis),
            }
            // Whoever wakes first asks first: the newest here, which is the least kind order.
            for index in (0..waiting.len()).rev() {
                if bucket.take(waiting[index], now) == Turn::Go {
                    waiting.remove(index);
                }
            }
            prop_assert_eq!(bucket.waiting(), waiting.len());
        }
        for window in left.windows(per_second as usize + 1) {
            prop_assert!(window[per_second as usize] - window[0] > WINDOW);
        }
    }
}
