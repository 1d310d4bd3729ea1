//! A map with a limit: when it is full, what was least recently asked for leaves. Whatever strangers can name (tenants
//! above all) is kept in one of these, so that a flood of names fills no memory.

use std::collections::HashMap;
use std::hash::Hash;

/// A map of at most so many entries.
#[derive(Clone, Debug)]
pub struct Bounded<K, V> {
    entries: HashMap<K, (V, u64)>,
    capacity: usize,
    tick: u64,
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    /// An empty map with room for `capacity` entries, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity: capacity.max(1), tick: 0 }
    }

    /// The value of a key, which is thereby the most recently used.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        self.tick += 1;
        let (value, used) = self.entries.get_mut(key)?;
        *used = self.tick;
        Some(value)
    }

    /// Puts a value in. Finding what leaves takes one pass over the map; only a key that is new to a full map pays it.
    pub fn insert(&mut self, key: K, value: V) {
        self.tick += 1;
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        self.entries.insert(key, (value, self.tick));
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(value, _)| value)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_leaves() {
        let mut map = Bounded::new(2);
        map.insert("a", 1);
        map.insert("b", 2);
        assert_eq!(map.get(&"a"), Some(&1));
        map.insert("c", 3);
        assert_eq!(["a", "b", "c"].map(|key| map.get(&key).copied()), [Some(1), None, Some(3)]);
        map.insert("a", 4);
        assert_eq!((map.len(), map.get(&"a")), (2, Some(&4)), "a key that is there takes no room");
    }

    #[test]
    fn a_flood_takes_no_more_room_than_there_is() {
        let mut map = Bounded::new(8);
        for n in 0..10_000 {
            map.insert(n, ());
        }
        assert_eq!(map.len(), 8);
    }
}
