//! Which entry is evicted when the cache is full: CLOCK, an approximation of LRU that costs a hit nothing.
//!
//! Keys are in a queue. A key at its head that was used since it was last there goes to the back; the first that was not
//! is evicted. A use shows in the count of hits that each entry has anyway; an entry that replaces another was used too.
//! A new entry is always admitted, since it cost a call (TinyLFU, as in moka, rejects keys that it has not seen often).
//!
//! What the queue knows of a key that is not at its head, its weight, is in the entry ([`QueueCell`]): a second map of all
//! keys would take more memory than the queue.

use std::{
    collections::{HashMap, VecDeque},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use foldhash::fast::RandomState;

use crate::report::ReportKey;

/// At most so many used keys go to the back of the queue for one insertion: a bound on the work under the lock.
pub(super) const CHANCES: usize = 1_000;

/// The keys in the order in which they may be evicted, and the weight of all.
#[derive(Debug, Default)]
pub(super) struct EvictionQueue {
    order: VecDeque<QueuePlace>,
    /// How many of a key's elements are left from before it was removed. They are nearer the head than its present one.
    left: HashMap<ReportKey, u32, RandomState>,
    /// The sum of `left`.
    left_sum: usize,
    bytes: u64,
}

#[derive(Debug)]
struct QueuePlace {
    key: ReportKey,
    /// Its hits when it was put here; of a count that has more bits, the lowest.
    hits: u32,
}

/// What the queue keeps in an entry: twice its weight, plus one after it has replaced another entry. One word, since an
/// entry is as large as a block of the allocator. Read and written under the queue's lock.
#[derive(Debug, Default)]
pub(super) struct QueueCell(AtomicU32);

/// What shows that a key is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyUse {
    pub(super) hits: u64,
    pub(super) replaced: Replaced,
}

/// Has an entry replaced another since the queue last asked?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    Yes,
    No,
}

// === impl EvictionQueue ===

impl EvictionQueue {
    /// Puts a key that has no entry yet at the back.
    pub(super) fn add(&mut self, key: ReportKey, hits: u64, weight: u32) {
        self.order.push_back(QueuePlace { key, hits: low_bits(hits) });
        self.bytes += u64::from(weight);
    }

    /// An entry of this weight is gone whose key is still in the queue.
    pub(super) fn leave(&mut self, key: ReportKey, weight: u32) {
        self.bytes -= u64::from(weight);
        *self.left.entry(key).or_default() += 1;
        self.left_sum += 1;
        if self.left_sum > self.order.len() / 2 + 32 {
            let left = &mut self.left;
            self.order.retain(|queued| !take_one(left, &queued.key));
            (self.left, self.left_sum) = (HashMap::default(), 0);
        }
    }

    /// The weight of an entry in the queue has changed.
    pub(super) fn reweigh(&mut self, before: u32, now: u32) {
        self.bytes = self.bytes - u64::from(before) + u64::from(now);
    }

    /// The entry of a key that [`Self::next`] returned is gone.
    pub(super) fn evicted(&mut self, weight: u32) {
        self.bytes -= u64::from(weight);
    }

    /// Takes out the key to evict next; `None` when all fit into `most` bytes. A `newcomer` is evicted last. `used` returns
    /// the use of a key; `chances` is how many more used keys may go to the back.
    pub(super) fn next(
        &mut self,
        most: u64,
        newcomer: Option<&ReportKey>,
        used: impl Fn(&ReportKey) -> KeyUse,
        chances: &mut usize,
    ) -> Option<ReportKey> {
        while self.bytes > most {
            let QueuePlace { key, hits } = self.order.pop_front()?;
            if take_one(&mut self.left, &key) {
                self.left_sum -= 1;
                continue;
            }
            if newcomer == Some(&key) && self.entries() > 0 {
                self.order.push_back(QueuePlace { key, hits });
                continue;
            }
            let now = used(&key);
            let is_used = now.replaced == Replaced::Yes || low_bits(now.hits) != hits;
            if is_used && *chances > 0 {
                *chances -= 1;
                self.order.push_back(QueuePlace { key, hits: low_bits(now.hits) });
            } else {
                return Some(key);
            }
        }
        None
    }

    /// The number of keys, and their weight in bytes.
    pub(super) fn size(&self) -> (u64, u64) {
        (self.entries() as u64, self.bytes)
    }

    fn entries(&self) -> usize {
        self.order.len() - self.left_sum
    }
}

// === impl QueueCell ===

impl QueueCell {
    /// The most that an entry can weigh, in bytes.
    pub(super) const HEAVIEST: u32 = u32::MAX / 2;

    /// The weight that the queue counts the entry with, in bytes.
    pub(super) fn weight(&self) -> u32 {
        self.0.load(Relaxed) / 2
    }

    /// Changes it, to [`Self::HEAVIEST`] at most. Returns the weight before.
    pub(super) fn weigh(&self, weight: u32) -> u32 {
        let before = self.0.load(Relaxed);
        self.0.store(2 * weight.min(Self::HEAVIEST) + before % 2, Relaxed);
        before / 2
    }

    /// The entry comes in place of this one, with the same answer.
    pub(super) fn take_over(&self, before: &Self) {
        self.0.store(before.0.load(Relaxed), Relaxed);
    }

    /// The entry has replaced another one of the same key.
    pub(super) fn replaced(&self) {
        self.0.fetch_or(1, Relaxed);
    }

    /// Whether it did, since this was last asked.
    pub(super) fn take_replaced(&self) -> Replaced {
        if self.0.fetch_and(!1, Relaxed) % 2 == 1 { Replaced::Yes } else { Replaced::No }
    }
}

fn low_bits(hits: u64) -> u32 {
    hits as u32
}

/// Whether an element of this key is one that is left; it is counted off.
fn take_one(left: &mut HashMap<ReportKey, u32, RandomState>, key: &ReportKey) -> bool {
    let Some(count) = left.get_mut(key) else { return false };
    *count -= 1;
    if *count == 0 {
        left.remove(key);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::NoClicks;

    fn key(number: u128) -> ReportKey {
        ReportKey { id: uuid::Uuid::from_u128(number).into(), no_clicks: NoClicks::Omitted }
    }

    /// Evicts until all fit; `used` were hit since, `replaced` replaced.
    fn evict(
        queue: &mut EvictionQueue,
        newcomer: u128,
        used: &[u128],
        replaced: &[u128],
        mut chances: usize,
    ) -> Vec<u128> {
        let named = |numbers: &[u128], asked: &ReportKey| numbers.iter().any(|number| key(*number) == *asked);
        let uses = |asked: &ReportKey| KeyUse {
            hits: named(used, asked).into(),
            replaced: if named(replaced, asked) { Replaced::Yes } else { Replaced::No },
        };
        let mut gone = Vec::new();
        while let Some(victim) = queue.next(100, Some(&key(newcomer)), uses, &mut chances) {
            let number = (0..1_000).find(|number| key(*number) == victim).unwrap();
            queue.evicted(weight(number));
            gone.push(number);
        }
        gone
    }

    fn weight(number: u128) -> u32 {
        match number {
            ..=10 => 10,
            11 => 50,
            _ => 100,
        }
    }

    fn add(queue: &mut EvictionQueue, number: u128) {
        queue.add(key(number), 0, weight(number));
    }

    fn full() -> EvictionQueue {
        let mut queue = EvictionQueue::default();
        (0..10).for_each(|number| add(&mut queue, number));
        queue
    }

    #[test]
    fn the_oldest_that_were_not_used_go_first_and_the_newcomer_last() {
        let mut queue = full();
        add(&mut queue, 11);
        assert_eq!(evict(&mut queue, 11, &[0, 1, 3], &[6], CHANCES), [2, 4, 5, 7, 8]);
        assert_eq!(queue.size(), (6, 100));
        add(&mut queue, 10);
        assert_eq!(evict(&mut queue, 10, &[], &[], CHANCES), [9], "not looked at yet");
        add(&mut queue, 12);
        let mut gone = evict(&mut queue, 12, &[], &[], CHANCES);
        gone.sort_unstable();
        assert_eq!(gone, [0, 1, 3, 6, 10, 11]);
        queue.reweigh(100, 101);
        assert_eq!(
            queue.next(100, Some(&key(12)), |_| KeyUse { hits: 7, replaced: Replaced::No }, &mut 0),
            Some(key(12))
        );
        queue.evicted(101);
        assert_eq!(queue.size(), (0, 0), "it has grown out of the memory");
    }

    #[test]
    fn no_more_are_spared_than_there_are_chances() {
        let mut queue = full();
        add(&mut queue, 10);
        let all: Vec<_> = (0..=10).collect();
        assert_eq!(evict(&mut queue, 10, &all, &[], 3), [3]);
    }

    #[test]
    fn a_key_that_left_and_came_again_has_its_new_place() {
        let mut queue = full();
        for number in [0, 1, 0] {
            queue.leave(key(number), 10);
            add(&mut queue, number);
        }
        add(&mut queue, 10);
        assert_eq!(evict(&mut queue, 10, &[], &[], CHANCES), [2]);
        add(&mut queue, 12);
        assert_eq!(evict(&mut queue, 12, &[], &[], CHANCES), [3, 4, 5, 6, 7, 8, 9, 1, 0, 10]);
        assert_eq!((queue.order.len(), queue.left.len(), queue.left_sum), (1, 0, 0));
    }

    #[test]
    fn places_that_were_left_are_cleared_away_once_they_are_half_of_the_queue() {
        let mut queue = EvictionQueue::default();
        (0..1_000).for_each(|number| queue.add(key(number), 0, 1));
        (500..1_000).for_each(|number| queue.leave(key(number), 1));
        assert_eq!(queue.order.len(), 1_000, "each time costs a walk");
        let unused = |_: &ReportKey| KeyUse { hits: 0, replaced: Replaced::No };
        for number in 0..100 {
            assert_eq!(queue.next(0, None, unused, &mut 0), Some(key(number)));
            queue.evicted(1);
        }
        queue.leave(key(100), 1);
        assert_eq!((queue.order.len(), queue.size()), (399, (399, 399)));
    }

    #[test]
    fn a_cell_keeps_the_weight_and_the_replacement_apart() {
        let cell = QueueCell::default();
        assert_eq!((cell.weigh(7), cell.weigh(u32::MAX), cell.take_replaced()), (0, 7, Replaced::No));
        cell.replaced();
        assert_eq!((cell.weight(), cell.weigh(9)), (QueueCell::HEAVIEST, QueueCell::HEAVIEST));
        let next = QueueCell::default();
        next.take_over(&cell);
        assert_eq!(
            (next.weight(), next.take_replaced(), next.take_replaced()),
            (9, Replaced::Yes, Replaced::No)
        );
    }

    #[test]
    fn places_that_were_left_take_no_room_for_ever() {
        let mut queue = full();
        for round in 0..10_000 {
            queue.leave(key(round % 10), 10);
            add(&mut queue, round % 10);
        }
        assert!(queue.order.len() <= 2 * (10 + 32), "{}", queue.order.len());
        assert_eq!(queue.size(), (10, 100));
        (0..10).for_each(|number| queue.leave(key(number), 10));
        assert_eq!(queue.size(), (0, 0));
    }
}
