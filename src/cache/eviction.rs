//! Which entry is evicted when the cache is full: CLOCK, an approximation of LRU that costs a hit nothing.
//!
//! Keys are in a queue. A key at its head that was used since it was last there goes to the back; the first that was not
//! is evicted. A use shows in the count of hits that each entry has anyway. A new entry is always admitted, since it cost
//! a call (TinyLFU, as in moka, rejects keys that it has not seen often).

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;

use crate::report::ReportKey;

/// At most so many used keys go to the back of the queue for one insertion: a bound on the work under the lock.
pub(super) const CHANCES: usize = 1_000;

/// The keys in the order in which they may be evicted, and their weights.
#[derive(Debug, Default)]
pub(super) struct EvictionQueue {
    /// Keys with their tickets. An element whose ticket is no longer its key's is skipped: the key has moved or is gone.
    order: VecDeque<(ReportKey, u64)>,
    places: HashMap<ReportKey, QueuePosition, RandomState>,
    tickets: u64,
    bytes: u64,
}

#[derive(Debug)]
struct QueuePosition {
    ticket: u64,
    weight: u64,
    /// How many hits the key had when it was put here.
    hits: u64,
}

// === impl EvictionQueue ===

impl EvictionQueue {
    /// Puts a key at the back, wherever it was.
    pub(super) fn put(&mut self, key: ReportKey, weight: u64, hits: u64) {
        self.tickets += 1;
        self.order.push_back((key, self.tickets));
        let before = self.places.insert(key, QueuePosition { ticket: self.tickets, weight, hits });
        self.bytes = self.bytes - before.map_or(0, |before| before.weight) + weight;
        if self.order.len() > 2 * self.places.len() + 64 {
            let places = &self.places;
            self.order.retain(|(key, ticket)| is_at(places.get(key), *ticket));
        }
    }

    /// Takes a key out; its element of `order` is skipped later.
    pub(super) fn remove(&mut self, key: &ReportKey) {
        if let Some(place) = self.places.remove(key) {
            self.bytes -= place.weight;
        }
    }

    /// Changes the weight of a key.
    pub(super) fn reweigh(&mut self, key: &ReportKey, weight: u64) {
        if let Some(place) = self.places.get_mut(key) {
            self.bytes = self.bytes - place.weight + weight;
            place.weight = weight;
        }
    }

    /// Takes out the key to evict next; `None` when all fit into `most` bytes. A `newcomer` is evicted last. `hits`
    /// returns the hits of a key; `chances` is how many more used keys may go to the back.
    pub(super) fn evict(
        &mut self,
        most: u64,
        newcomer: Option<&ReportKey>,
        hits: impl Fn(&ReportKey) -> u64,
        chances: &mut usize,
    ) -> Option<ReportKey> {
        while self.bytes > most {
            let (key, ticket) = self.order.pop_front()?;
            let others = self.places.len() > 1;
            let Some(place) = self.places.get_mut(&key).filter(|place| place.ticket == ticket) else {
                continue;
            };
            let before = std::mem::replace(&mut place.hits, hits(&key));
            if newcomer == Some(&key) && others {
                self.order.push_back((key, ticket));
            } else if place.hits != before && *chances > 0 {
                *chances -= 1;
                self.order.push_back((key, ticket));
            } else {
                self.remove(&key);
                return Some(key);
            }
        }
        None
    }

    /// The number of keys, and their weight in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.places.len() as u64, self.bytes)
    }
}

fn is_at(place: Option<&QueuePosition>, ticket: u64) -> bool {
    place.is_some_and(|place| place.ticket == ticket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::NoClicks;

    fn key(number: u128) -> ReportKey {
        ReportKey { id: uuid::Uuid::from_u128(number).into(), no_clicks: NoClicks::Omitted }
    }

    /// Evicts until all fit; `used` were hit since.
    fn evicted(queue: &mut EvictionQueue, newcomer: u128, used: &[u128], mut chances: usize) -> Vec<u128> {
        let hits = |asked: &ReportKey| u64::from(used.iter().any(|used| key(*used) == *asked));
        let mut gone = Vec::new();
        while let Some(victim) = queue.evict(100, Some(&key(newcomer)), hits, &mut chances) {
            gone.push((0..1_000).find(|number| key(*number) == victim).unwrap());
        }
        gone
    }

    fn full() -> EvictionQueue {
        let mut queue = EvictionQueue::default();
        (0..10).for_each(|number| queue.put(key(number), 10, 0));
        queue
    }

    #[test]
    fn the_oldest_that_were_not_used_go_first_and_the_newcomer_last() {
        let mut queue = full();
        queue.put(key(10), 50, 0);
        assert_eq!(evicted(&mut queue, 10, &[0, 1, 3, 6], CHANCES), [2, 4, 5, 7, 8]);
        assert_eq!(queue.size(), (6, 100));
        queue.put(key(11), 10, 0);
        assert_eq!(evicted(&mut queue, 11, &[], CHANCES), [9], "not looked at yet");
        queue.put(key(12), 100, 0);
        let mut gone = evicted(&mut queue, 12, &[], CHANCES);
        gone.sort_unstable();
        assert_eq!(gone, [0, 1, 3, 6, 10, 11]);
        queue.reweigh(&key(12), 101);
        assert_eq!(evicted(&mut queue, 12, &[12], CHANCES), [12], "it has grown out of the memory");
        assert_eq!(queue.size(), (0, 0));
    }

    #[test]
    fn no_more_are_spared_than_there_are_chances() {
        let mut queue = full();
        queue.put(key(10), 10, 0);
        let all: Vec<_> = (0..=10).collect();
        assert_eq!(evicted(&mut queue, 10, &all, 3), [3]);
    }

    #[test]
    fn places_that_were_left_take_no_room_for_ever() {
        let mut queue = full();
        for round in 0..10_000 {
            queue.put(key(round % 10), 10, 0);
        }
        assert!(queue.order.len() <= 2 * 10 + 65, "{}", queue.order.len());
        assert_eq!(queue.size(), (10, 100));
    }
}
