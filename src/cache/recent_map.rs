//! A map bounded by its number of keys. When it is full, the eighth of the keys that was used longest ago is dropped:
//! least recently used, in batches, so that no use has to keep an order.

use std::{collections::HashMap, hash::Hash};

use foldhash::fast::RandomState;

#[derive(Debug)]
pub(super) struct RecentMap<K, V> {
    values: HashMap<K, Recent<V>, RandomState>,
    uses: u64,
    max: usize,
}

#[derive(Debug)]
struct Recent<V> {
    /// Which of all uses was its last: later than a use with a smaller number, also within one tick of the clock.
    last_use: u64,
    value: V,
}

// === impl RecentMap ===

impl<K: Hash + Eq, V> RecentMap<K, V> {
    /// An empty one for at most `max` keys.
    pub(super) fn new(max: usize) -> Self {
        Self { values: HashMap::default(), uses: 0, max }
    }

    /// Uses a key, which is inserted if it is new.
    pub(super) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if self.values.len() >= self.max && !self.values.contains_key(&key) {
            self.drop_oldest();
        }
        self.uses += 1;
        let recent = self.values.entry(key).or_insert_with(|| Recent { last_use: 0, value: make() });
        recent.last_use = self.uses;
        &mut recent.value
    }

    /// The value of a key, which is not used by this.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|recent| &recent.value)
    }

    /// As [`RecentMap::peek`], to change it.
    pub(super) fn peek_mut(&mut self, key: &K) -> Option<&mut V> {
        self.values.get_mut(key).map(|recent| &mut recent.value)
    }

    /// Visits every key. This uses none of them.
    pub(super) fn for_each_mut(&mut self, mut visit: impl FnMut(&K, &mut V)) {
        self.values.iter_mut().for_each(|(key, recent)| visit(key, &mut recent.value));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Into a new table: one with the marks of many removed keys would grow instead of reusing their places.
    fn drop_oldest(&mut self) {
        let mut last_uses: Vec<_> = self.values.values().map(|recent| recent.last_use).collect();
        let dropped = (self.max / 8).min(last_uses.len() - 1);
        let (_, &mut newest_dropped, _) = last_uses.select_nth_unstable(dropped);
        let mut kept = HashMap::with_capacity_and_hasher(self.max, self.values.hasher().clone());
        kept.extend(self.values.drain().filter(|(_, recent)| recent.last_use > newest_dropped));
        self.values = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_used_longest_ago_go_when_a_new_one_has_no_room() {
        let mut map = RecentMap::new(16);
        for key in 0..16 {
            map.get_or_insert_with(key, || key * 10);
        }
        *map.get_or_insert_with(3, || 0) += 1;
        assert_eq!((map.len(), map.peek(&3)), (16, Some(&31)), "a key that is there needs no room");
        assert_eq!(*map.get_or_insert_with(0, || 1), 0);
        assert_eq!(map.peek(&1), Some(&10), "no use");
        *map.peek_mut(&2).unwrap() = 7;
        map.get_or_insert_with(16, || 160);
        let kept: Vec<_> = (0..=16).filter(|key| map.peek(key).is_some()).collect();
        assert_eq!(kept, [0, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], "1, 2 and 4 were the oldest");
    }

    #[test]
    fn it_never_has_more_than_its_number_of_keys_nor_a_larger_table() {
        let mut map = RecentMap::new(14);
        for key in 0..10_000 {
            map.get_or_insert_with(key, || ());
            assert!(map.len() <= 14);
        }
        assert_eq!(map.values.capacity(), 14);
    }
}
