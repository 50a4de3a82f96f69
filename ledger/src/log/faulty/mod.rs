//! A disk in memory that fails when it is told to and forgets what was not synced. Everything that
//! it chooses comes from one seed.
//!
//! It is at least as unkind as Linux on a journalling file system: pages are written back in any
//! order, and torn at sectors; names are durable in the order in which they changed, once their
//! folder was synced; a failed sync leaves pages clean that were never written; the length of a
//! file may or may not have changed. Folders themselves are durable at once.

mod calls;
mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::disk::folder_of;
use file::SimFile;

/// What goes wrong. Each waits for its turn among the calls that it can hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A write writes some of its bytes, then fails.
    ShortWrite,
    /// A write fails and has written nothing.
    WriteError,
    /// A write, a reservation or a new file finds no space.
    NoSpace,
    /// A sync of a file or a folder fails, and what it should have written is lost in a power cut.
    SyncError,
    /// A read fails.
    ReadError,
    /// A read returns one wrong bit.
    BitFlip,
    /// At a call that changes anything: the power goes. It may have been done in part; all calls
    /// fail until [`SimDisk::crash`].
    PowerCut,
}

/// What calls do, as far as faults care.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    Allocate,
    Create,
    Sync,
    Other,
}

impl Fault {
    fn hits(self, call: Call) -> bool {
        match self {
            Self::ShortWrite | Self::WriteError => call == Call::Write,
            Self::NoSpace => matches!(call, Call::Write | Call::Allocate | Call::Create),
            Self::SyncError => call == Call::Sync,
            Self::ReadError | Self::BitFlip => call == Call::Read,
            Self::PowerCut => call != Call::Read,
        }
    }
}

/// All files of a disk with their content, to look at, change and put back.
pub type Content = BTreeMap<String, Vec<u8>>;

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    random: ChaCha8Rng,
    folders: BTreeSet<String>,
    files: BTreeMap<u64, SimFile>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// Changes of names that no sync of their folder covers yet, in order.
    renamings: Vec<Renaming>,
    next_file: u64,
    capacity: u64,
    /// With how many calls that they can hit from now they strike.
    faults: Vec<(u64, Fault)>,
    /// How often which has struck.
    struck: BTreeMap<Fault, u64>,
    /// How often something found no room within the capacity.
    full: u64,
    /// Somebody looks on from outside: faults wait.
    observed: bool,
    changes: u64,
    powered: bool,
    locked: bool,
    /// Counts the processes; handles of former ones are dead.
    life: u64,
}

/// A name that now stands for another file, or for none. A rename is two, which stay together.
struct Renaming {
    folder: String,
    names: Vec<(String, Option<u64>)>,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: ChaCha8Rng::seed_from_u64(seed),
            folders: BTreeSet::new(),
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renamings: Vec::new(),
            next_file: 0,
            capacity: u64::MAX,
            faults: Vec::new(),
            struck: BTreeMap::new(),
            full: 0,
            observed: false,
            changes: 0,
            powered: true,
            locked: false,
            life: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A disk with these files, all durable.
    pub fn with(seed: u64, content: &Content) -> Self {
        let disk = Self::new(seed);
        disk.restore(content);
        disk
    }

    /// Lets a fault strike at the n-th call from now that it can hit.
    ///
    /// # Panics
    /// If `n` is 0: the next call is the first.
    pub fn inject(&self, n: u64, fault: Fault) {
        assert!(n > 0, "the next call is the first");
        self.state().faults.push((n, fault));
    }

    /// How many faults have not struck yet.
    pub fn waiting_faults(&self) -> usize {
        self.state().faults.len()
    }

    /// Takes back all faults that have not struck yet.
    pub fn forget_faults(&self) {
        self.state().faults.clear();
    }

    /// How often each fault has struck.
    pub fn struck(&self) -> BTreeMap<Fault, u64> {
        self.state().struck.clone()
    }

    /// How often anything has struck, the capacity included.
    pub fn strikes(&self) -> u64 {
        let state = self.state();
        state.struck.values().sum::<u64>() + state.full
    }

    /// How often a call found the capacity used up.
    pub fn times_full(&self) -> u64 {
        self.state().full
    }

    /// Whether the power is there: a cut that hit a call whose error nobody needs shows nowhere else.
    pub fn has_power(&self) -> bool {
        self.state().powered
    }

    /// What `look` sees without any fault: for whoever looks on from outside.
    pub fn observe<T>(&self, look: impl FnOnce() -> T) -> T {
        self.state().observed = true;
        let seen = look();
        self.state().observed = false;
        seen
    }

    /// How many calls have changed anything: the steps at which a test can let the power go.
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Limits the bytes of all files together.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// The bytes of all files together, reserved ones included.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// The power goes and comes back: what was not synced is lost, in part or whole, and so are all
    /// open files, locks and waiting faults.
    pub fn crash(&self) {
        let state = &mut *self.state();
        let kept = state.random.random_range(0..=state.renamings.len());
        for renaming in std::mem::take(&mut state.renamings).into_iter().take(kept) {
            renaming.apply(&mut state.durable_names);
        }
        state.names = state.durable_names.clone();
        for file in state.files.values_mut() {
            file.lose_power(&mut state.random);
        }
        state.restart();
    }

    /// The process is killed and the machine goes on: only open files, locks and waiting faults go.
    pub fn kill(&self) {
        self.state().restart();
    }

    /// All files as a process sees them.
    ///
    /// # Panics
    /// If they are beyond this machine's memory.
    pub fn snapshot(&self) -> Content {
        let state = self.state();
        let read = |id: &u64| {
            let file = &state.files[id];
            let mut bytes = vec![0; usize::try_from(file.len()).expect("a simulated file fits in memory")];
            file.read(0, &mut bytes);
            bytes
        };
        state.names.iter().map(|(name, id)| (name.clone(), read(id))).collect()
    }

    /// Puts back files as they were, all durable, and takes everything else away.
    pub fn restore(&self, content: &Content) {
        let state = &mut *self.state();
        state.restart();
        state.renamings.clear();
        state.files.clear();
        state.names.clear();
        for (name, bytes) in content {
            let id = state.new_file(SimFile::durable(bytes));
            state.names.insert(name.clone(), id);
            state.folders.insert(folder_of(name).to_owned());
        }
        state.durable_names = state.names.clone();
    }

    /// The files that a process sees, with their lengths.
    pub fn files(&self) -> Vec<(String, u64)> {
        let state = self.state();
        state.names.iter().map(|(name, id)| (name.clone(), state.files[id].len())).collect()
    }

    /// Flips bits of a file, as they rot on the medium: nothing else of the file becomes durable.
    ///
    /// # Panics
    /// If there is no such byte.
    pub fn flip(&self, name: &str, offset: u64, bits: u8) {
        let state = &mut *self.state();
        let id = state.names[name];
        let file = state.files.get_mut(&id).expect("a name stands for a file");
        assert!(offset < file.len(), "{name} has no byte {offset}");
        file.flip(offset, bits);
    }

    /// Takes a file away, durably, as an operator does; who has it open keeps it.
    ///
    /// # Panics
    /// If there is none.
    pub fn lose(&self, name: &str) {
        let state = &mut *self.state();
        assert!(state.names.remove(name).is_some(), "{name} is no file");
        state.durable_names.remove(name);
        for renaming in &mut state.renamings {
            renaming.names.retain(|(changed, _)| changed != name);
        }
    }

    /// Which file a name stands for: another number is another file.
    pub fn identity(&self, name: &str) -> Option<u64> {
        self.state().names.get(name).copied()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Renaming {
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        for (name, id) in self.names {
            match id {
                Some(id) => names.insert(name, id),
                None => names.remove(&name),
            };
        }
    }
}

impl State {
    /// Counts a call, and says which fault strikes it.
    fn strike(&mut self, call: Call) -> io::Result<Option<Fault>> {
        if !self.powered {
            return Err(failed("the power is gone"));
        }
        if self.observed {
            return Ok(None);
        }
        if call != Call::Read {
            self.changes += 1;
        }
        let mut struck = None;
        for (left, fault) in &mut self.faults {
            if fault.hits(call) {
                *left -= 1;
                if *left == 0 {
                    struck = Some(*fault);
                }
            }
        }
        self.faults.retain(|(left, _)| *left > 0);
        if let Some(fault) = struck {
            *self.struck.entry(fault).or_default() += 1;
        }
        match struck {
            Some(Fault::NoSpace) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::ReadError) => return Err(failed("the disk cannot read")),
            Some(Fault::PowerCut) => self.powered = false,
            _ => {}
        }
        Ok(struck)
    }

    fn used(&self) -> u64 {
        self.names.values().map(|id| self.files[id].len()).sum()
    }

    /// Whether a file may grow to a length.
    fn room(&mut self, id: u64, len: u64) -> io::Result<()> {
        let grown = len.saturating_sub(self.files[&id].len());
        if grown > 0 && self.capacity < u64::MAX && self.used() + grown > self.capacity {
            self.full += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.faults.clear();
        self.powered = true;
        self.locked = false;
        self.life += 1;
    }

    fn new_file(&mut self, file: SimFile) -> u64 {
        self.next_file += 1;
        self.files.insert(self.next_file, file);
        self.next_file
    }

    fn rename(&mut self, folder: &str, names: Vec<(String, Option<u64>)>) {
        let renaming = |names| Renaming { folder: folder.to_owned(), names };
        renaming(names.clone()).apply(&mut self.names);
        self.renamings.push(renaming(names));
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.names.get(name).copied().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, name.to_owned()))
    }
}

/// An error that is none of the kinds that anybody handles.
fn failed(what: &str) -> io::Error {
    io::Error::other(format!("simulated: {what}"))
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimDisk").field("names", &state.names).field("faults", &state.faults).finish_non_exhaustive()
    }
}
