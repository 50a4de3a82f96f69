//! The index from outside: against a model, with collisions, damage, crashes and failing disks.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ledger::{
    Error,
    index::{Fingerprint, Frozen, Index, Merged, Options, Place, Sealer},
    log::{
        self, Batch, Disk, Log,
        faulty::{Content, Fault, SimDisk},
    },
};
use proptest::prelude::*;
use schemas::{Body, Coins, Event, Granted, Moved, Origin, Record, Shard, Subject, Timestamp};

const SHARDS: Shard = 2;

/// Fingerprints that are spread over all there are, the first and the last included.
fn fingerprint(n: u64) -> u64 {
    match n {
        0 => 0,
        1 => u64::MAX,
        n => n.wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

/// A log whose records have keys of our choice, its index, and what the index must answer.
struct World {
    disk: SimDisk,
    log: Log,
    index: Index,
    sealer: Sealer,
    options: Options,
    frozen: Option<Arc<Frozen>>,
    /// Of each shard its last sequence.
    upto: Vec<u64>,
    keys: Keys,
}

/// The keys of all records on the log, in their order.
#[derive(Clone, Default)]
struct Keys(Vec<(u64, Place)>);

impl Keys {
    fn model(&self) -> BTreeMap<u64, Vec<Place>> {
        let mut model: BTreeMap<u64, Vec<Place>> = BTreeMap::new();
        for &(fingerprint, place) in &self.0 {
            model.entry(fingerprint).or_default().push(place);
        }
        model
    }
}

fn options(fan_out: usize) -> Options {
    Options { memory_entries: 64, fan_out, seed: Some(7) }
}

fn record(shard: Shard, sequence: u64, salt: u64) -> Record {
    let coins = Coins::new(1 + salt).unwrap();
    Record {
        shard,
        sequence,
        time: Timestamp::from_nanos(1_700_000_000_000_000_000 + i64::try_from(sequence).unwrap()),
        occurred_at: None,
        subject: Subject::User("u".parse().unwrap()),
        origin: Origin::Caller(schemas::Source::cli()),
        id: format!("c-{sequence}").parse().unwrap(),
        digest: format!("{sequence:032x}").parse().unwrap(),
        actor: None,
        on_behalf_of: None,
        client: None,
        body: Body::Event(Box::new(Event::Granted(Granted {
            coins,
            expires: None,
            reason: "goodwill".parse().unwrap(),
        }))),
        moved: Moved::new(),
    }
}

fn log_options() -> log::Options {
    log::Options { shards: Some(SHARDS), segment_bytes: 0, max_frame_bytes: 1 << 20 }
}

impl World {
    fn new(seed: u64, options: Options) -> Self {
        Self::open(SimDisk::new(seed), options, Keys::default())
    }

    /// Starts as a process does: opens the log and the index, and folds what the index does not cover.
    fn open(disk: SimDisk, options: Options, keys: Keys) -> Self {
        let (log, _) = Log::open(Arc::new(disk.clone()), &log_options()).unwrap();
        let reader = log.reader();
        let (index, sealer) = Index::open(Arc::new(disk.clone()), &reader, &options).unwrap();
        let upto: Vec<u64> = reader.head().shards.iter().map(|head| head.sequence).collect();
        assert!(index.covered().iter().zip(&upto).all(|(covered, upto)| covered <= upto), "no more than the log has");
        let mut world = Self { disk, log, index, sealer, options, frozen: None, upto, keys };
        world.keys.0.retain(|(_, place)| place.sequence() <= world.upto[usize::from(place.shard())]);
        world.expect_sealed();
        for &(fingerprint, place) in &world.keys.0 {
            if place.sequence() > world.index.covered()[usize::from(place.shard())] {
                world.index.insert(fingerprint.into(), place);
            }
        }
        world
    }

    /// The process ends here and starts again.
    fn reopen(self) -> Self {
        let Self { disk, options, keys, .. } = self;
        disk.kill();
        Self::open(disk, options, keys)
    }

    /// Puts a record on the log for each fingerprint, and the fingerprint into the index.
    fn add(&mut self, shard: Shard, fingerprints: impl IntoIterator<Item = u64>) {
        let fingerprints: Vec<u64> = fingerprints.into_iter().collect();
        let at = usize::from(shard);
        for fingerprints in fingerprints.chunks(5_000) {
            let mut batch = vec![Vec::new(); usize::from(SHARDS)];
            for &fingerprint in fingerprints {
                self.upto[at] += 1;
                batch[at].push(record(shard, self.upto[at], 0));
                let place = Place::new(shard, self.upto[at]);
                self.keys.0.push((fingerprint, place));
                self.index.insert(fingerprint.into(), place);
            }
            self.log.ensure_room().unwrap();
            self.log.append(&Batch::of(&batch)).unwrap();
        }
    }

    fn freeze(&mut self) {
        if self.index.can_freeze() {
            self.frozen = Some(self.index.freeze(self.upto.clone()));
        }
    }

    fn seal(&mut self) -> ledger::Result<()> {
        if let Some(frozen) = &self.frozen {
            self.index.adopt(self.sealer.seal(frozen)?);
            assert!(self.index.can_freeze(), "a sealed table is gone from memory");
            self.frozen = None;
        }
        Ok(())
    }

    /// A piece of merging; whether there may be more.
    fn merge(&mut self) -> ledger::Result<bool> {
        match self.sealer.merge()? {
            Merged::Nothing => return Ok(false),
            Merged::Piece => {}
            Merged::Level(runs) => self.index.adopt(runs),
        }
        Ok(true)
    }

    /// Everything in memory becomes runs, and full levels are merged.
    fn seal_and_merge(&mut self) -> ledger::Result<()> {
        self.seal()?; // what is frozen already
        self.freeze();
        self.seal()?;
        while self.merge()? {}
        Ok(())
    }

    /// All places of the model are found, newest first, and nothing else.
    fn expect(&self) {
        let model = self.keys.model();
        let mut sealed = Vec::new();
        let keys: Vec<Fingerprint> = model.keys().map(|&key| key.into()).collect();
        self.index.probe(&keys, &mut sealed);
        let known =
            |(&key, &sealed): (&Fingerprint, &bool)| sealed || !self.index.in_memory(key, usize::MAX).is_empty();
        assert!(keys.iter().zip(&sealed).all(known), "a probe never misses");
        for (&key, places) in &model {
            let all = self.index.candidates(key.into(), usize::MAX).unwrap();
            assert_places(&all, places.iter().copied());
            // Whoever wants the newest only reads no more than it needs of a key with many places.
            for most in [1, 3, 8, 9, 400] {
                let newest = &all[..all.len().min(most)];
                assert_eq!(&self.index.candidates(key.into(), most).unwrap()[..], newest);
                let in_memory = self.index.in_memory(key.into(), most);
                assert_eq!(in_memory[..], newest[..in_memory.len()]);
            }
            assert_eq!(
                self.index.candidates((key ^ 1 << 20).into(), usize::MAX).unwrap().len(),
                0,
                "nobody inserted this one"
            );
        }
    }

    /// The runs alone have everything up to what they cover.
    fn expect_sealed(&self) {
        let covered = self.index.covered();
        for (key, places) in self.keys.model() {
            let places = places.into_iter().filter(|at| at.sequence() <= covered[usize::from(at.shard())]);
            let found = self.index.runs().candidates(key.into(), usize::MAX).unwrap();
            assert!(found.is_empty() || self.index.runs().may_contain(key.into()));
            assert_places(&found, places);
        }
    }

    /// In the folder stand the manifest and the runs, and nothing else.
    fn expect_no_strangers(&self) {
        let names = self.disk.list("index").unwrap();
        let runs = names.iter().filter(|name| is_run(name)).count();
        assert_eq!(runs, self.index.runs().count(), "{names:?}");
        let manifest = usize::from(names.contains(&"manifest".to_owned()));
        assert_eq!(names.len(), runs + manifest, "{names:?}");
        assert!(runs == 0 || manifest == 1, "{names:?}");
    }
}

fn assert_places(found: &[Place], expected: impl Iterator<Item = Place>) {
    let mut sorted = found.to_vec();
    sorted.sort_unstable();
    let mut expected: Vec<Place> = expected.collect();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    for shard in 0..SHARDS {
        let of_shard: Vec<Place> = found.iter().filter(|place| place.shard() == shard).copied().collect();
        assert!(of_shard.is_sorted_by(|a, b| a >= b), "newest first: {of_shard:?}");
    }
}

fn is_run(name: &str) -> bool {
    name.strip_suffix(".run").is_some()
}

#[derive(Debug, Clone)]
enum Step {
    Add { shard: Shard, key: u64, times: u64, spread: bool },
    Freeze,
    Seal,
    Merge,
    Reopen,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let add = (0..SHARDS, 0..40_u64, prop_oneof![4 => 1..20_u64, 1 => 200..700_u64], any::<bool>());
    prop_oneof![
        6 => add.prop_map(|(shard, key, times, spread)| Step::Add { shard, key, times, spread }),
        4 => Just(Step::Freeze),
        4 => Just(Step::Seal),
        6 => Just(Step::Merge),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn the_index_answers_like_a_multimap(
        steps in prop::collection::vec(step(), 1..60),
        fan_out in 2..5_usize,
        seed in any::<u64>(),
    ) {
        let mut world = World::new(seed, options(fan_out));
        for step in steps {
            match step {
                // One key again and again, so that it fills blocks; or many keys, so that they mix.
                Step::Add { shard, key, times, spread } => {
                    world.add(shard, (0..times).map(|n| fingerprint(if spread { key + n * 7 } else { key })));
                }
                Step::Freeze => world.freeze(),
                Step::Seal => world.seal().unwrap(),
                Step::Merge => drop(world.merge().unwrap()),
                Step::Reopen => world = world.reopen(),
                Step::Crash => {
                    world.disk.crash();
                    world = world.reopen();
                }
            }
            world.expect();
        }
        world.seal_and_merge().unwrap();
        world.expect();
        world.expect_sealed();
        world.expect_no_strangers();
        let world = world.reopen();
        prop_assert_eq!(world.index.covered(), &*world.upto);
        world.expect();
    }
}

#[test]
fn one_fingerprint_is_found_in_tables_runs_and_merged_runs_at_once() {
    let mut world = World::new(1, options(2));
    let collides = |world: &mut World| {
        // More than a block of one fingerprint, in both shards, among others.
        world.add(0, (0..300).map(|n| fingerprint(2 + n)));
        world.add(0, [fingerprint(5); 300]);
        world.add(1, [fingerprint(5); 20]);
    };
    for _ in 0..3 {
        collides(&mut world);
        world.seal_and_merge().unwrap();
    }
    assert_eq!(world.index.runs().count(), 2, "one merged, one not");
    collides(&mut world);
    world.freeze();
    collides(&mut world);
    world.expect();
    let found = world.index.candidates(fingerprint(5).into(), usize::MAX).unwrap();
    assert_eq!(found.len(), 5 * 321, "in the open table, the frozen one and two runs");
    assert_eq!(world.index.in_memory(fingerprint(5).into(), usize::MAX).len(), 2 * 321);
    assert_eq!(found.iter().find(|place| place.shard() == 0).unwrap().sequence(), world.upto[0]);
}

#[test]
fn a_large_merge_keeps_no_frozen_table_waiting() {
    let mut world = World::new(2, options(2));
    for _ in 0..2 {
        world.add(0, (0..40_000).map(fingerprint));
        world.freeze();
        world.seal().unwrap();
    }
    assert!(world.merge().unwrap(), "a piece of two runs that are larger than a piece");
    assert_eq!(world.index.runs().count(), 2);
    for _ in 0..3 {
        world.add(1, (0..500).map(fingerprint));
        world.freeze();
        world.seal().unwrap();
    }
    assert_eq!(world.index.runs().count(), 5, "sealed while the merge is under way");
    while world.merge().unwrap() {}
    assert_eq!(world.index.runs().count(), 2, "three merges of two runs each");
    for n in [0, 1, 2, 3, 499, 500, 39_999] {
        let expected = world.keys.0.iter().filter(|key| key.0 == fingerprint(n)).map(|key| key.1);
        assert_places(&world.index.candidates(fingerprint(n).into(), usize::MAX).unwrap(), expected);
    }
    world.expect_no_strangers();
}

#[test]
fn few_strange_keys_may_be_known() {
    let mut world = World::new(3, options(8));
    for _ in 0..4 {
        let from = world.upto[0];
        world.add(0, (from..from + 20_000).map(|n| fingerprint(n + 2)));
        world.seal_and_merge().unwrap();
    }
    let keys: Vec<Fingerprint> = (0..50_000).map(|n| fingerprint(n + 1_000_000).into()).collect();
    let mut maybe = Vec::new();
    world.index.probe(&keys, &mut maybe);
    let wrong = maybe.iter().filter(|&&maybe| maybe).count();
    assert!(wrong < 150, "{wrong} of 50,000 in four runs, where 84 are expected");
    assert!(world.index.runs().bytes() * 10 < 80_000 * 26, "2.6 bytes an entry");
}

/// A ledger with runs of two levels, of some blocks each, and how far they were merged.
fn with_runs() -> World {
    let mut world = World::new(4, options(2));
    for n in 0..3 {
        world.add(0, (0..280).map(|m| fingerprint(m * 3 + n)));
        world.add(1, [fingerprint(9); 10]);
        world.seal_and_merge().unwrap();
    }
    assert_eq!(world.index.runs().count(), 2);
    world
}

/// Opens the index of these files only, beside a log that is not changed.
fn rebuilt(world: World) -> bool {
    let upto = world.upto.clone();
    let mut world = world.reopen();
    let rebuilt = world.index.covered() == vec![0; upto.len()];
    if rebuilt {
        assert_eq!(world.index.runs().count(), 0);
        world.expect_no_strangers();
    }
    world.expect();
    world.seal_and_merge().unwrap();
    world.expect();
    rebuilt
}

#[test]
fn every_damaged_byte_is_found() {
    let sound = with_runs();
    let keys = sound.keys.clone();
    let content = sound.disk.snapshot();
    let asked: BTreeSet<u64> = keys.0.iter().map(|key| key.0).collect();
    // One of each block and some more.
    let asked: Vec<u64> = asked.iter().copied().step_by(60).chain(asked.iter().rev().copied().take(60)).collect();
    let model = keys.model();
    let (mut at_open, mut at_lookup) = (0, 0);
    let reader = sound.log.reader();
    let files: Content = content.into_iter().filter(|(name, _)| name.starts_with("index/")).collect();
    for (name, bytes) in &files {
        for at in 0..bytes.len() as u64 {
            let disk = SimDisk::with(at, &files);
            disk.flip(name, at, 1 << (at % 8));
            let (index, _) = Index::open(Arc::new(disk.clone()), &reader, &options(2)).unwrap();
            if index.covered() == [0, 0] {
                at_open += 1;
                assert!(disk.list("index").unwrap().is_empty(), "{name} at {at}");
                continue;
            }
            let mut found = Ok(());
            for &key in &asked {
                match index.candidates(key.into(), usize::MAX) {
                    Ok(places) => assert_places(&places, model[&key].iter().copied()),
                    Err(error) => found = Err(error),
                }
            }
            let error = found.expect_err("a block with a wrong byte is not believed");
            assert!(matches!(&error, Error::Damaged { path, .. } if path.ends_with(name)), "{error}");
            assert!(error.to_string().contains("rebuilt"), "{error}");
            assert!(!disk.list("index").unwrap().contains(&"manifest".to_owned()), "{name} at {at}");
            at_lookup += 1;
            if at % 97 == 0 {
                let (index, _) = Index::open(Arc::new(disk.clone()), &reader, &options(2)).unwrap();
                assert_eq!(index.covered(), [0, 0], "as the error said");
                assert!(disk.list("index").unwrap().is_empty(), "{name} at {at}");
            }
        }
    }
    assert!(at_open > 4_096 && at_lookup > 3 * 4_096, "{at_open} at the start, {at_lookup} at a look-up");
}

#[test]
fn cut_lengthened_and_missing_files_are_found() {
    let content = with_runs().disk.snapshot();
    let keys = with_runs().keys;
    let names: Vec<&String> = content.keys().filter(|name| name.starts_with("index/")).collect();
    assert_eq!(names.len(), 3);
    for name in names {
        for change in 0..3 {
            let mut changed = content.clone();
            match change {
                0 => drop(changed.remove(name)),
                1 => drop(changed.get_mut(name).unwrap().pop()),
                _ => changed.get_mut(name).unwrap().push(0),
            }
            let world = World::open(SimDisk::with(0, &changed), options(2), keys.clone());
            assert_eq!(world.index.covered(), [0, 0], "{name}, change {change}");
            assert!(rebuilt(world));
        }
    }
}

#[test]
fn a_merge_that_reads_damage_says_so_and_the_next_start_rebuilds() {
    let mut world = with_runs();
    let newest = world.disk.list("index").unwrap().into_iter().rfind(|name| is_run(name));
    world.disk.flip(&format!("index/{}", newest.unwrap()), 5_000, 4);
    world.add(0, [fingerprint(3)]);
    world.freeze();
    world.seal().unwrap();
    let error = loop {
        match world.merge() {
            Ok(more) => assert!(more, "the merge ended without reading the damage"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Damaged { offset: 4_096, .. }), "{error}");
    world.add(0, [fingerprint(3)]);
    world.freeze();
    assert!(matches!(world.seal(), Err(Error::Damaged { .. })), "no manifest names a damaged run");
    assert!(rebuilt(world));
}

#[test]
fn an_index_of_another_ledger_or_of_other_records_is_not_used() {
    let index_of = |content: &Content| -> Content {
        let files = content.iter().filter(|(name, _)| name.starts_with("index/"));
        files.map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
    };
    let ours = with_runs();
    let mut other = ours.disk.snapshot();
    other.retain(|name, _| !name.starts_with("index/"));
    // Another ledger of the same content: only its lineage differs.
    other.extend(index_of(&with_runs().disk.snapshot()));
    // Nothing in it says whose it is: it may have seen records of a segment that is gone.
    let refused = Log::open(Arc::new(SimDisk::with(0, &other)), &log_options()).map(drop).unwrap_err();
    assert!(refused.to_string().contains("index/manifest"), "{refused}");

    // A log that was put back from a backup and went on with other records than the index knows.
    let early = ours.disk.snapshot();
    let mut first = World::open(SimDisk::with(1, &early), options(2), ours.keys.clone());
    first.add(0, [fingerprint(77)]);
    first.seal_and_merge().unwrap();
    let sequence = first.upto[0];
    let second = World::open(SimDisk::with(2, &early), options(2), ours.keys.clone());
    let World { disk, mut log, keys, .. } = second;
    log.ensure_room().unwrap();
    log.append(&Batch::of(&[vec![record(0, sequence, 1)], Vec::new()])).unwrap();
    let mut mixed = disk.snapshot();
    mixed.retain(|name, _| !name.starts_with("index/"));
    mixed.extend(index_of(&first.disk.snapshot()));
    let world = World::open(SimDisk::with(3, &mixed), options(2), keys);
    assert_eq!(world.index.covered(), [0, 0]);
    assert!(rebuilt(world));
}

#[test]
fn files_that_no_manifest_names_are_removed() {
    let mut content = with_runs().disk.snapshot();
    let keys = with_runs().keys;
    content.insert("index/00000000000000ff.run".to_owned(), vec![1; 5_000]);
    content.insert("index/manifest.tmp".to_owned(), b"{".to_vec());
    let world = World::open(SimDisk::with(0, &content), options(2), keys);
    assert_eq!(world.index.covered(), &*world.upto);
    world.expect_no_strangers();
}

/// A ledger that is about to seal its third run, which makes two merges due, one after the other.
fn before_a_seal(seed: u64, start: &(Content, Keys)) -> World {
    let mut world = World::open(SimDisk::with(seed, &start.0), options(2), start.1.clone());
    world.add(1, (0..300).map(|n| fingerprint(n * 5)));
    world.freeze();
    world.add(0, [fingerprint(3), fingerprint(9)]);
    world
}

fn start_of_faults() -> (Content, Keys) {
    let world = with_runs();
    (world.disk.snapshot(), world.keys)
}

/// Seals and merges, until the end or the first error.
fn work(world: &mut World) -> ledger::Result<()> {
    world.seal()?;
    while world.merge()? {}
    Ok(())
}

#[test]
fn a_power_cut_at_any_step_leaves_an_index_that_has_what_it_covers() {
    let start = start_of_faults();
    let mut survived = BTreeSet::new();
    for seed in 0..4 {
        for n in 1.. {
            let mut world = before_a_seal(seed, &start);
            let before = world.index.covered().to_vec();
            world.disk.inject(n, Fault::PowerCut);
            let done = work(&mut world);
            if world.disk.waiting_faults() > 0 {
                done.unwrap();
                assert_eq!(world.index.runs().count(), 1, "two merges");
                assert!(n > 20, "the power was cut at only {n} steps");
                break;
            }
            let sealed = world.index.covered().to_vec();
            world.disk.crash();
            let mut world = world.reopen();
            let covered = world.index.covered();
            assert!(covered == before || covered == [before[0], world.upto[1]], "at step {n}: {covered:?}");
            assert!(covered.iter().zip(&sealed).all(|(now, then)| now >= then), "what was sealed stays sealed");
            survived.insert(covered.to_vec());
            world.expect();
            world.seal_and_merge().unwrap();
            world.expect();
            world.expect_no_strangers();
            assert!(!rebuilt(world), "it was only interrupted");
        }
    }
    assert_eq!(survived.len(), 2, "before and after the manifest");
}

#[test]
fn a_full_or_failing_disk_loses_nothing_and_can_be_tried_again() {
    let start = start_of_faults();
    for fault in [Fault::NoSpace, Fault::ShortWrite, Fault::SyncError, Fault::ReadError] {
        for n in 1.. {
            let mut world = before_a_seal(n, &start);
            world.disk.inject(n, fault);
            let done = work(&mut world);
            if world.disk.waiting_faults() > 0 {
                done.unwrap();
                assert!(n > 4, "{fault:?} struck only {n} times");
                break;
            }
            match (fault, done.unwrap_err()) {
                (Fault::NoSpace, Error::Full { .. }) => {
                    let files = world.disk.list("index").unwrap();
                    let runs = files.iter().filter(|name| is_run(name)).count();
                    assert_eq!(runs, world.index.runs().count(), "the space is given back: {files:?}");
                }
                (Fault::NoSpace, error) => panic!("{fault:?} at {n}: {error}"),
                (_, Error::Io { .. }) => {}
                (_, error) => panic!("{fault:?} at {n}: {error}"),
            }
            world.expect();
            work(&mut world).unwrap();
            world.expect();
            world.seal_and_merge().unwrap();
            world.expect_sealed();
            let world = world.reopen();
            assert_eq!(world.index.covered(), &*world.upto);
            world.expect_no_strangers();
        }
    }
}

#[test]
fn one_wrong_bit_from_the_disk_is_damage_or_goes_unused() {
    let start = start_of_faults();
    let mut damaged = 0;
    for n in 1.. {
        let mut world = before_a_seal(n, &start);
        world.disk.inject(n, Fault::BitFlip);
        let done = work(&mut world);
        if world.disk.waiting_faults() > 0 {
            done.unwrap();
            break;
        }
        if let Err(error) = done {
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
            damaged += 1;
        }
        let world = world.reopen();
        world.expect();
    }
    assert!(damaged > 3, "only {damaged} wrong bits were found");
}

#[test]
fn look_ups_and_the_sealer_can_be_on_threads_of_their_own() {
    let mut world = with_runs();
    world.add(0, [fingerprint(9)]);
    world.freeze();
    let World { mut index, mut sealer, frozen, keys, .. } = world;
    let runs = Arc::clone(index.runs());
    let expected = keys.0.iter().filter(|key| key.0 == fingerprint(9)).count();
    let (sealed, known) = std::thread::scope(|scope| {
        let sealing = scope.spawn(move || sealer.seal(&frozen.unwrap()).unwrap());
        let looking = scope.spawn(move || runs.candidates(fingerprint(9).into(), usize::MAX).unwrap().len());
        (sealing.join().unwrap(), looking.join().unwrap())
    });
    assert_eq!(known, expected - 1, "the frozen one is not in these runs");
    index.adopt(sealed);
    assert_eq!(index.runs().candidates(fingerprint(9).into(), usize::MAX).unwrap().len(), expected);
}

#[test]
fn the_log_keeps_a_position_for_the_index() {
    let world = with_runs();
    let upto = world.upto.clone();
    let content = world.disk.snapshot();
    let position: serde_json::Value = serde_json::from_slice(&content["positions/index.json"]).unwrap();
    let stored = position["stated"]["position"]["shards"].as_array().unwrap_or_else(|| panic!("{position}"));
    let stored: Vec<u64> = stored.iter().map(|shard| shard["sequence"].as_u64().unwrap()).collect();
    assert_eq!(stored, upto);
}
