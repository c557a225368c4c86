//! Spaces the calls that leave, so that no second ever holds more of them than the vendor allows.
//!
//! A queue of places rather than a counter of tokens: a counter lets a burst go at the seam of two windows, and
//! whether the vendor's second is a fixed or a sliding window is unknown. Even spacing satisfies both.

use std::{
    collections::{BTreeSet, VecDeque},
    num::NonZeroU32,
    time::Duration,
};

use tokio::time::Instant;

/// The window that the vendor counts in.
const WINDOW: Duration = Duration::from_secs(1);

/// What is added to the window: two calls that leave a second apart may arrive closer together, by as much as
/// the first one was held up on its way.
const JITTER: Duration = Duration::from_millis(50);

/// The slowest that `throttled` answers can make us: other programs may be spending the same second.
const SLOWEST: u32 = 8;

/// A place in the queue, to be redeemed by [`Bucket::take`] or handed back by [`Bucket::give_back`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

/// What [`Bucket::take`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The call may leave now; the place is used up.
    Go,
    /// Ask again then; the place is kept. Later than promised when the bucket was slowed meanwhile.
    NotBefore(Instant),
}

/// The queue is longer than anyone should wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the calls of the next {wait:?} are taken")]
pub struct QueueFull {
    /// How long a call that comes now would have to wait.
    pub wait: Duration,
}

/// A pure machine: time comes as an argument, waiting is the caller's.
#[derive(Debug)]
pub struct Bucket {
    full_speed: Duration,
    interval: Duration,
    max_wait: Duration,
    next: Instant,
    slowed_at: Option<Instant>,
    queue: BTreeSet<Place>,
    issued: u64,
    left: VecDeque<Instant>,
}

// === impl Bucket ===

impl Bucket {
    /// A bucket that lets the first call go at once. `None` for `per_second` spaces nothing, yet still holds
    /// calls back when the upstream asks for it.
    pub fn new(per_second: Option<NonZeroU32>, max_wait: Duration, now: Instant) -> Self {
        let full_speed = per_second.map_or(Duration::ZERO, |calls| (WINDOW + JITTER) / calls.get());
        Self {
            full_speed,
            interval: full_speed,
            max_wait,
            next: now,
            slowed_at: None,
            queue: BTreeSet::new(),
            issued: 0,
            left: VecDeque::new(),
        }
    }

    /// Joins the queue.
    ///
    /// # Errors
    /// [`QueueFull`] when the place would be due later than `max_wait` from now.
    pub fn reserve(&mut self, now: Instant) -> Result<Place, QueueFull> {
        let wait = self.due(self.queue.len()).saturating_duration_since(now);
        if wait > self.max_wait {
            return Err(QueueFull { wait });
        }
        let place = Place(self.issued);
        self.issued += 1;
        self.queue.insert(place);
        Ok(place)
    }

    /// Redeems a place, or says when to ask again.
    pub fn take(&mut self, place: Place, now: Instant) -> Turn {
        let ahead = self.queue.range(..place).count();
        let due = self.due(ahead);
        if now < due {
            return Turn::NotBefore(due);
        }
        self.queue.remove(&place);
        // From the real departure, not from the planned one: a call that woke late must not draw the next one
        // closer than the interval.
        self.next = now + self.interval;
        self.forget(now);
        self.left.push_back(now);
        Turn::Go
    }

    /// Leaves the queue; those behind move up. Says whether the place was still in it.
    pub fn give_back(&mut self, place: Place) -> bool {
        self.queue.remove(&place)
    }

    /// The upstream said `throttled`: a whole window of silence, then half the rate.
    pub fn throttled(&mut self, now: Instant) {
        // The calls that were already under way when the rate was halved say nothing new.
        if self.slowed_at.is_none_or(|slowed_at| slowed_at + WINDOW <= now) {
            self.interval = (self.interval * 2).min(self.full_speed * SLOWEST);
            self.slowed_at = Some(now);
        }
        self.hold_until(now + WINDOW + JITTER);
    }

    /// The upstream named a moment before which it wants no call.
    pub fn hold_until(&mut self, until: Instant) {
        self.next = self.next.max(until);
    }

    /// The upstream took a call without complaint: back towards full speed, an eighth of it a call.
    pub fn accepted(&mut self) {
        self.interval = self.interval.saturating_sub(self.full_speed / 8).max(self.full_speed);
    }

    /// How many calls wait in the queue.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How long until a call that is not yet in the queue could leave.
    pub fn wait(&self, now: Instant) -> Duration {
        self.due(self.queue.len()).saturating_duration_since(now)
    }

    /// How many calls left within the last second.
    pub fn used(&mut self, now: Instant) -> usize {
        self.forget(now);
        self.left.len()
    }

    fn forget(&mut self, now: Instant) {
        while self.left.front().is_some_and(|left| *left + WINDOW <= now) {
            self.left.pop_front();
        }
    }

    fn due(&self, ahead: usize) -> Instant {
        // The queue is bounded by max_wait, the cast cannot bite in a real one.
        self.next + self.interval * u32::try_from(ahead).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FOUR: Option<NonZeroU32> = NonZeroU32::new(4);
    const FIVE_SECONDS: Duration = Duration::from_secs(5);
    const SPACING: Duration = Duration::from_micros(262_500);

    fn leave(bucket: &mut Bucket, now: Instant) -> Instant {
        let place = bucket.reserve(now).unwrap();
        match bucket.take(place, now) {
            Turn::Go => now,
            Turn::NotBefore(at) => {
                assert_eq!(bucket.take(place, at), Turn::Go);
                at
            }
        }
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
        let places = std::iter::from_fn(|| bucket.reserve(start).ok()).count();
        assert_eq!(places, 20, "the first goes at once, the twentieth after 4.9875 s");
        assert_eq!(bucket.reserve(start), Err(QueueFull { wait: SPACING * 20 }));
    }

    #[test]
    fn who_gives_up_lets_those_behind_move_up() {
        let start = Instant::now();
        let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, start);
        leave(&mut bucket, start);
        let [first, second] = [(); 2].map(|()| bucket.reserve(start).unwrap());
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
    fn those_who_wait_feel_a_hold_too() {
        let start = Instant::now();
        let mut bucket = Bucket::new(FOUR, FIVE_SECONDS, start);
        let place = bucket.reserve(start).unwrap();
        bucket.hold_until(start + FIVE_SECONDS);
        assert_eq!(bucket.take(place, start), Turn::NotBefore(start + FIVE_SECONDS));
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let start = Instant::now();
        let mut bucket = Bucket::new(None, FIVE_SECONDS, start);
        assert!((0..1000).all(|_| leave(&mut bucket, start) == start));
    }

    #[derive(Debug, Clone)]
    enum Event {
        Arrive,
        GiveUp(prop::sample::Index),
        Throttled,
        Accepted,
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            5 => Just(Event::Arrive),
            1 => any::<prop::sample::Index>().prop_map(Event::GiveUp),
            1 => Just(Event::Throttled),
            2 => Just(Event::Accepted),
            5 => (0..400_u64).prop_map(Event::Pass),
        ]
    }

    proptest! {
        #[test]
        fn no_sliding_second_holds_more_than_per_second(
            per_second in 1..12_u32,
            events in prop::collection::vec(event(), 1..200),
        ) {
            let mut now = Instant::now();
            let mut bucket = Bucket::new(NonZeroU32::new(per_second), FIVE_SECONDS, now);
            let (mut waiting, mut left) = (Vec::new(), Vec::new());
            for event in events {
                match event {
                    Event::Arrive => waiting.extend(bucket.reserve(now)),
                    Event::GiveUp(which) if !waiting.is_empty() => {
                        bucket.give_back(waiting.remove(which.index(waiting.len())));
                    }
                    Event::GiveUp(_) => {}
                    Event::Throttled => bucket.throttled(now),
                    Event::Accepted => bucket.accepted(),
                    Event::Pass(millis) => now += Duration::from_millis(millis),
                }
                // Whoever wakes first asks first: the newest here, which is the least kind order.
                for index in (0..waiting.len()).rev() {
                    if bucket.take(waiting[index], now) == Turn::Go {
                        waiting.remove(index);
                        left.push(now);
                    }
                }
                prop_assert_eq!(bucket.waiting(), waiting.len());
            }
            for window in left.windows(per_second as usize + 1) {
                prop_assert!(window[per_second as usize] - window[0] > WINDOW);
            }
        }
    }
}
