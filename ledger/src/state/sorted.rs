//! Values in one order, however many: a user's lots and open orders, the catalogue's items.
//!
//! Few stand in one vector. More stand in runs, each shared by whoever has cloned it: what is put in or taken out
//! moves the values of one run and the list of the runs, and a clone copies that list. So at 100,000 values
//! an operation costs less than a microsecond, and a clone a few.

use std::{cmp::Ordering, sync::Arc};

/// So many stand in one vector.
const FEW: usize = 64;
/// The most values of a run: with 100,000 of them about as many runs as values in each, so that neither is much
/// to move.
const RUN: usize = 512;

/// Values that rise. Whoever asks says how a value compares with what is wanted.
#[derive(Debug, Clone)]
pub(super) struct Sorted<T>(Kept<T>);

#[derive(Debug, Clone)]
enum Kept<T> {
    Few(Vec<T>),
    Many(Box<Many<T>>),
}

#[derive(Debug, Clone)]
struct Many<T> {
    /// Each with at least one value, and all but one of two neighbours with more than a few.
    runs: Vec<Arc<Vec<T>>>,
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Kept::Few(Vec::new()))
    }
}

impl<T> Sorted<T> {
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Kept::Few(few) if few.is_empty())
    }

    /// All values in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + Clone {
        self.skipping(|_| false)
    }

    /// The values from the first one on that is not `before`, as only those at the beginning are.
    pub fn skipping(&self, before: impl Fn(&T) -> bool) -> impl DoubleEndedIterator<Item = &T> + Clone {
        let (first, rest): (&[T], &[Arc<Vec<T>>]) = match &self.0 {
            Kept::Few(few) => (few, &[]),
            Kept::Many(many) => match &many.runs[many.run(&before)..] {
                [] => (&[], &[]),
                [first, rest @ ..] => (first, rest),
            },
        };
        let at = first.partition_point(before);
        first[at..].iter().chain(rest.iter().flat_map(|run| run.iter()))
    }

    /// The value that is equal to what is wanted.
    pub fn get(&self, compare: impl Fn(&T) -> Ordering) -> Option<&T> {
        let values = match &self.0 {
            Kept::Few(few) => few,
            Kept::Many(many) => &**many.runs.get(many.run(|value| compare(value).is_lt()))?,
        };
        values.binary_search_by(compare).ok().map(|at| &values[at])
    }
}

impl<T: Clone> Sorted<T> {
    /// The same, to be changed.
    pub fn get_mut(&mut self, compare: impl Fn(&T) -> Ordering) -> Option<&mut T> {
        match &mut self.0 {
            Kept::Few(few) => few.binary_search_by(compare).ok().map(|at| &mut few[at]),
            Kept::Many(many) => {
                let run = many.run(|value| compare(value).is_lt());
                let at = many.runs.get(run)?.binary_search_by(compare).ok()?;
                Some(&mut Arc::make_mut(&mut many.runs[run])[at])
            }
        }
    }

    /// Puts a value in its place, instead of the equal one if there is one.
    pub fn put(&mut self, value: T, compare: impl Fn(&T) -> Ordering) {
        match &mut self.0 {
            Kept::Few(few) => {
                if few.len() < 4 {
                    few.reserve_exact(1); // most have one or two for good
                }
                put(few, value, compare);
                if few.len() > FEW {
                    self.0 = Kept::Many(Box::new(Many { runs: vec![Arc::new(std::mem::take(few))] }));
                }
            }
            Kept::Many(many) => many.put(value, compare),
        }
    }

    /// Takes the value out that is equal to what is wanted.
    pub fn remove(&mut self, compare: impl Fn(&T) -> Ordering) -> Option<T> {
        match &mut self.0 {
            Kept::Few(few) => few.binary_search_by(compare).ok().map(|at| few.remove(at)),
            Kept::Many(many) => {
                let run = many.run(|value| compare(value).is_lt());
                let at = many.runs.get(run)?.binary_search_by(compare).ok()?;
                let value = many.remove(run, at);
                self.shrink();
                Some(value)
            }
        }
    }

    /// Takes the first value out.
    pub fn pop_first(&mut self) -> Option<T> {
        match &mut self.0 {
            Kept::Few(few) => (!few.is_empty()).then(|| few.remove(0)),
            Kept::Many(many) => {
                let value = many.remove(0, 0);
                self.shrink();
                Some(value)
            }
        }
    }

    /// Keeps few as few again.
    fn shrink(&mut self) {
        if let Kept::Many(many) = &self.0
            && let [only] = &many.runs[..]
            && only.len() <= FEW / 4
        {
            self.0 = Kept::Few(only.to_vec());
        }
    }
}

impl<T: Clone + PartialEq> Sorted<T> {
    /// Keeps only once what `other` has as well.
    pub fn share(&mut self, other: &Self) {
        if let (Kept::Many(own), Kept::Many(other)) = (&mut self.0, &other.0) {
            for (own, other) in own.runs.iter_mut().zip(&other.runs) {
                if !Arc::ptr_eq(own, other) && own == other {
                    own.clone_from(other);
                }
            }
        }
    }
}

impl<T> Many<T> {
    /// The first run that holds a value which is not `before`.
    fn run(&self, before: impl Fn(&T) -> bool) -> usize {
        self.runs.partition_point(|run| run.last().is_some_and(&before))
    }
}

impl<T: Clone> Many<T> {
    fn put(&mut self, value: T, compare: impl Fn(&T) -> Ordering) {
        let run = self.run(|value| compare(value).is_lt());
        let Some(into) = self.runs.get_mut(run) else {
            // Behind all others, as most come: full runs stay full.
            match self.runs.last_mut().filter(|last| last.len() < RUN) {
                Some(last) => Arc::make_mut(last).push(value),
                None => self.runs.push(Arc::new(vec![value])),
            }
            return;
        };
        let into = Arc::make_mut(into);
        put(into, value, compare);
        if into.len() > RUN {
            let half = into.split_off(into.len() / 2);
            self.runs.insert(run + 1, Arc::new(half));
        }
    }

    fn remove(&mut self, run: usize, at: usize) -> T {
        let from = Arc::make_mut(&mut self.runs[run]);
        let value = from.remove(at);
        let left = from.len();
        if left == 0 {
            self.runs.remove(run);
        } else if left < RUN / 8 {
            // Goes together with a neighbour, if both have room for more then.
            let has_room = |other: usize| self.runs.get(other).is_some_and(|other| left + other.len() <= RUN / 2);
            let first =
                if has_room(run + 1) { Some(run) } else { run.checked_sub(1).filter(|&before| has_room(before)) };
            if let Some(first) = first {
                let second = self.runs.remove(first + 1);
                Arc::make_mut(&mut self.runs[first]).extend(Arc::unwrap_or_clone(second));
            }
        }
        value
    }
}

fn put<T>(values: &mut Vec<T>, value: T, compare: impl Fn(&T) -> Ordering) {
    match values.binary_search_by(compare) {
        Ok(at) => values[at] = value,
        Err(at) => values.insert(at, value),
    }
}

#[cfg(test)]
impl<T> Sorted<T> {
    /// How many of its runs it keeps together with `other`, and how many it has.
    pub fn shared_with(&self, other: &Self) -> (usize, usize) {
        let (Kept::Many(own), Kept::Many(other)) = (&self.0, &other.0) else { return (0, 0) };
        let shared = own.runs.iter().zip(&other.runs).filter(|(own, other)| Arc::ptr_eq(own, other));
        (shared.count(), own.runs.len())
    }
}

/// Of values that rise already.
impl<T> From<Vec<T>> for Sorted<T> {
    fn from(values: Vec<T>) -> Self {
        if values.len() <= FEW {
            return Self(Kept::Few(values));
        }
        let mut values = values.into_iter();
        let run = |values: &mut std::vec::IntoIter<T>| -> Vec<T> { values.take(RUN).collect() };
        let runs = std::iter::from_fn(|| Some(run(&mut values)).filter(|run| !run.is_empty()));
        Self(Kept::Many(Box::new(Many { runs: runs.map(Arc::new).collect() })))
    }
}

/// Equal values, however they are kept.
impl<T: PartialEq> PartialEq for Sorted<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
impl<T: Eq> Eq for Sorted<T> {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        /// Of the first, so many after it, each this far from the one before.
        Put(u32, u32, u32),
        /// So many from the first one on that is not below.
        Remove(u32, u32),
        PopFirst(u32),
        Change(u32, u32),
        /// From here on beside the one that was cloned, which must not change.
        Clone,
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = 0_u32..4_000;
        prop_oneof![
            4 => (key.clone(), 1_u32..900, 1_u32..5).prop_map(|(first, count, apart)| Step::Put(first, count, apart)),
            3 => (key.clone(), 1_u32..900).prop_map(|(first, count)| Step::Remove(first, count)),
            2 => (1_u32..700).prop_map(Step::PopFirst),
            2 => (key, any::<u32>()).prop_map(|(key, value)| Step::Change(key, value)),
            1 => Just(Step::Clone),
        ]
    }

    /// Runs are not too many and not too long, so that nothing costs more than it should.
    fn is_in_shape<T>(sorted: &Sorted<T>) -> bool {
        match &sorted.0 {
            Kept::Few(few) => few.len() <= FEW,
            Kept::Many(many) => {
                let sizes: Vec<usize> = many.runs.iter().map(|run| run.len()).collect();
                sizes.iter().all(|size| (1..=RUN).contains(size)) && sizes.iter().sum::<usize>() > FEW / 4
            }
        }
    }

    proptest! {
        /// The contract: a map from keys to values, whose clones are apart from each other.
        #[test]
        fn it_is_a_sorted_map(steps in prop::collection::vec(step(), 1..40)) {
            let (mut sorted, mut naive) = (Sorted::<(u32, u32)>::default(), BTreeMap::new());
            let mut clones = Vec::new();
            let is = |key: u32| move |value: &(u32, u32)| value.0.cmp(&key);
            for step in steps {
                match step {
                    Step::Put(first, count, apart) => for n in 0..count {
                        let key = first + n * apart;
                        sorted.put((key, n), is(key));
                        naive.insert(key, n);
                    },
                    Step::Remove(first, count) => {
                        let keys: Vec<u32> = naive.range(first..).map(|(key, _)| *key).take(count as usize).collect();
                        for key in keys {
                            prop_assert_eq!(sorted.remove(is(key)), naive.remove(&key).map(|value| (key, value)));
                            prop_assert_eq!(sorted.remove(is(key)), None);
                        }
                    },
                    Step::PopFirst(count) => for _ in 0..count {
                        prop_assert_eq!(sorted.pop_first(), naive.pop_first());
                    },
                    Step::Change(key, value) => {
                        let (own, other) = (sorted.get_mut(is(key)), naive.get_mut(&key));
                        prop_assert_eq!(own.is_some(), other.is_some());
                        if let (Some(own), Some(other)) = (own, other) {
                            (own.1, *other) = (value, value);
                        }
                    }
                    Step::Clone => clones.push((sorted.clone(), naive.clone())),
                }
                prop_assert!(is_in_shape(&sorted), "{sorted:?}");
                prop_assert_eq!(sorted.is_empty(), naive.is_empty());
                let all: Vec<(u32, u32)> = naive.iter().map(|(key, value)| (*key, *value)).collect();
                prop_assert!(sorted.iter().eq(&all) && sorted.iter().rev().eq(all.iter().rev()));
                for key in [0, 1_000, 2_500, 9_000] {
                    prop_assert!(sorted.skipping(|value| value.0 < key).eq(all.iter().filter(|value| value.0 >= key)));
                    prop_assert_eq!(sorted.get(is(key)).map(|value| value.1), naive.get(&key).copied());
                }
                prop_assert_eq!(&sorted, &Sorted::from(all));
            }
            for (clone, naive) in clones {
                prop_assert!(clone.iter().map(|value| (&value.0, &value.1)).eq(&naive));
            }
        }
    }

    /// Sixteen shards that know the same items keep them once.
    #[test]
    fn what_is_equal_is_kept_once() {
        let values =
            |changed: u32| Sorted::from((0..5_000).map(|n| n * 2 + u32::from(n == changed)).collect::<Vec<_>>());
        let (one, mut same, mut other) = (values(9_000), values(9_000), values(700));
        let before = other.clone();
        same.share(&one);
        other.share(&one);
        assert_eq!(same.shared_with(&one), (10, 10));
        assert_eq!(other.shared_with(&one), (9, 10), "all but the run that differs");
        assert!(same == one && other == before && other != one);
    }
}
