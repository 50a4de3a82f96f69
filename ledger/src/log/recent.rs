//! The few things that were used last. So few that looking through all of them is the fastest way.

/// A bounded list, the last used first.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    items: Vec<(K, V)>,
    limit: usize,
}

impl<K: PartialEq, V> Recent<K, V> {
    pub fn new(limit: usize) -> Self {
        Self { items: Vec::with_capacity(limit), limit }
    }

    /// Puts the value for a key first, where [`Self::first`] finds it, and says whether it is there.
    /// (Two steps, since a borrow that one branch returns would hold in the other.)
    pub fn find(&mut self, key: &K) -> bool {
        let found = self.items.iter().position(|(k, _)| k == key);
        found.is_some_and(|at| {
            self.items[..=at].rotate_right(1);
            true
        })
    }

    /// What is kept, the last used first.
    pub fn iter(&self) -> impl Iterator<Item = &V> {
        self.items.iter().map(|(_, value)| value)
    }

    /// The value that was used last.
    pub fn first(&mut self) -> &mut V {
        &mut self.items[0].1
    }

    /// What makes way for the next insert, so that its buffers can be used again.
    pub fn evict(&mut self) -> Option<V> {
        if self.items.len() < self.limit { None } else { self.items.pop().map(|(_, value)| value) }
    }

    /// Puts a value first, in place of the least recently used one if there is no room.
    pub fn insert(&mut self, key: K, value: V) {
        self.items.truncate(self.limit - 1);
        self.items.insert(0, (key, value));
    }
}
