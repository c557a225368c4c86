//! A map bounded by its number of keys. When it is full, a new key takes the place of the one used longest ago.

use std::{collections::HashMap, hash::Hash};

use foldhash::fast::RandomState;

/// All its memory is reserved at the start, where it costs nothing until it is used: no second table is ever made
/// beside a first.
#[derive(Debug)]
pub(super) struct RecentMap<K, V> {
    /// Where in `slots` each key is.
    index: HashMap<K, usize, RandomState>,
    slots: Vec<Slot<K, V>>,
    /// The slot used last. The one after it in the ring is the one used longest ago.
    newest: usize,
    max: usize,
}

/// A key and its value, in a ring by their last use.
#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
    /// The slot used next after this one; of the newest, the oldest.
    newer: usize,
    /// The slot used last before this one; of the oldest, the newest.
    older: usize,
}

// === impl RecentMap ===

impl<K: Hash + Eq + Copy, V> RecentMap<K, V> {
    /// An empty one for at most `max` keys.
    pub(super) fn new(max: usize) -> Self {
        // Each key that was removed leaves a mark in the table. When no room is left, a table at most half full clears
        // the marks where it is; any other would make a larger one.
        let index = HashMap::with_capacity_and_hasher(2 * (max + 1), RandomState::default());
        Self { index, slots: Vec::with_capacity(max), newest: 0, max }
    }

    /// Uses a key, which is inserted if it is new.
    pub(super) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if let Some(&known) = self.index.get(&key) {
            if known != self.newest {
                self.unlink(known);
                self.link_newest(known);
            }
        } else if self.slots.len() < self.max {
            let new = self.slots.len();
            self.slots.push(Slot { key, value: make(), newer: new, older: new });
            self.index.insert(key, new);
            self.link_newest(new);
        } else {
            // The oldest slot follows the newest in the ring: it becomes the newest where it is.
            let oldest = self.slots[self.newest].newer;
            let slot = &mut self.slots[oldest];
            self.index.remove(&slot.key);
            (slot.key, slot.value) = (key, make());
            self.index.insert(key, oldest);
            self.newest = oldest;
        }
        &mut self.slots[self.newest].value
    }

    /// The value of a key, which is not used by this.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.index.get(key).map(|&slot| &self.slots[slot].value)
    }

    /// As [`RecentMap::peek`], to change it.
    pub(super) fn peek_mut(&mut self, key: &K) -> Option<&mut V> {
        self.index.get(key).map(|&slot| &mut self.slots[slot].value)
    }

    /// Visits every key, from the one used longest ago to the one used last. This uses none of them.
    pub(super) fn for_each_mut(&mut self, mut visit: impl FnMut(&K, &mut V)) {
        let mut at = self.newest;
        for _slot in 0..self.slots.len() {
            at = self.slots[at].newer;
            let Slot { key, value, .. } = &mut self.slots[at];
            visit(key, value);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn unlink(&mut self, slot: usize) {
        let Slot { newer, older, .. } = self.slots[slot];
        self.slots[newer].older = older;
        self.slots[older].newer = newer;
    }

    /// Puts a slot that is not in the ring between the newest and the oldest.
    fn link_newest(&mut self, slot: usize) {
        let (newest, oldest) = (self.newest, self.slots[self.newest].newer);
        (self.slots[slot].older, self.slots[slot].newer) = (newest, oldest);
        self.slots[newest].newer = slot;
        self.slots[oldest].older = slot;
        self.newest = slot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_used_longest_ago_goes_when_a_new_one_has_no_room() {
        let mut map = RecentMap::new(16);
        for key in 0..16 {
            map.get_or_insert_with(key, || key * 10);
        }
        *map.get_or_insert_with(3, || 0) += 1;
        assert_eq!((map.len(), map.peek(&3)), (16, Some(&31)), "a key that is there needs no room");
        assert_eq!(*map.get_or_insert_with(0, || 1), 0);
        let mut visited = Vec::new();
        map.for_each_mut(|key, _value| visited.push(*key));
        assert_eq!(visited, [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 3, 0]);
        assert_eq!(map.peek(&1), Some(&10), "no use");
        *map.peek_mut(&2).unwrap() = 7;
        for key in 16..19 {
            map.get_or_insert_with(key, || key * 10);
        }
        let kept: Vec<_> = (0..=18).filter(|key| map.peek(key).is_some()).collect();
        assert_eq!(
            kept,
            [0, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18],
            "1, 2 and 4 were the oldest"
        );
    }

    #[test]
    fn each_use_has_the_effect_of_a_plain_list_in_order_of_use() {
        for max in 1..=5 {
            let (mut map, mut list) = (RecentMap::new(max), Vec::new());
            let mut random = 1_u32;
            for _ in 0..10_000 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let key = (random >> 16) % 8;
                assert_eq!(*map.get_or_insert_with(key, || key), key);
                list.retain(|known| *known != key);
                list.push(key);
                list.drain(..list.len().saturating_sub(max));
                for key in 0..8 {
                    assert_eq!(map.peek(&key), list.contains(&key).then_some(&key), "{max} of {list:?}");
                }
            }
        }
    }

    #[test]
    fn it_never_has_more_than_its_number_of_keys_nor_a_larger_table() {
        for max in [14, 100, 1_000] {
            let mut map = RecentMap::new(max);
            let (index, slots) = (map.index.capacity(), map.slots.capacity());
            for key in 0..50 * max {
                map.get_or_insert_with(key, || ());
                assert!(map.len() <= max && map.index.len() == map.len());
                // The marks of removed keys count against it; a new table would have more.
                assert!(map.index.capacity() <= index, "{} > {index}", map.index.capacity());
            }
            assert_eq!(map.slots.capacity(), slots);
        }
    }
}
