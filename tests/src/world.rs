//! A ledger to play scenarios in: an engine, a disk, and a clock that is moved by hand.

use std::{path::Path, sync::Arc};

use ledger::{
    Answer, Caller, Clock, Engine, Lines, ManualClock, State,
    log::{Check, Disk, Head, Options, OsDisk, Recovery, faulty::SimDisk},
    state::Wallet,
};
use projections::Accounts;
use schemas::{Account, Asset, Envelope, Order, OrderId, Record, Shard, Subject, Timestamp, UserId};
use tempfile::TempDir;

/// Where every world's clock begins.
pub const BEGIN: &str = "2026-01-01T00:00:00Z";

/// A ledger with all that it needs. What cannot be in a test panics.
#[derive(Debug)]
pub struct World {
    disk: Arc<dyn Disk>,
    clock: Arc<ManualClock>,
    options: Options,
    /// None only while it is reopened.
    engine: Option<Engine>,
    /// What the last start found at the end of the log.
    pub recovery: Recovery,
    folder: Option<TempDir>,
}

impl World {
    /// A ledger in memory.
    ///
    /// # Panics
    /// If it does not start.
    pub fn new(shards: Shard) -> Self {
        Self::on(Arc::new(SimDisk::new(0)), Options { shards: Some(shards), ..Self::small() })
    }

    /// A ledger in memory whose frames are as large as those of a ledger that is served, so that the largest
    /// records fit in.
    ///
    /// # Panics
    /// If it does not start.
    pub fn with_usual_frames(shards: Shard) -> Self {
        let options = Options { shards: Some(shards), segment_bytes: 1 << 20, ..Options::default() };
        Self::on(Arc::new(SimDisk::new(0)), options)
    }

    /// A ledger in a folder of its own, which goes with it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn in_folder(shards: Shard) -> Self {
        let folder = TempDir::new().expect("a temporary folder is made");
        let disk = Arc::new(OsDisk::new(folder.path()));
        let mut world = Self::on(disk, Options { shards: Some(shards), ..Self::small() });
        world.folder = Some(folder);
        world
    }

    /// A ledger on some disk, new or not.
    ///
    /// # Panics
    /// If it does not start.
    pub fn on(disk: Arc<dyn Disk>, options: Options) -> Self {
        let begin: Timestamp = BEGIN.parse().expect("a time");
        let clock = Arc::new(ManualClock::at(begin));
        let (engine, recovery) = start(&disk, &options, &clock);
        Self { disk, clock, options, engine: Some(engine), recovery, folder: None }
    }

    /// Options that make a start cheap.
    pub fn small() -> Options {
        Options { shards: None, segment_bytes: 64 << 10, max_frame_bytes: 256 << 10 }
    }

    /// The engine.
    ///
    /// # Panics
    /// Never: it is there between any two calls.
    pub fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("it is there between any two calls")
    }

    /// The disk.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The folder, where it is in one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(TempDir::path)
    }

    /// Says one command, a line of JSON, and waits for its end.
    ///
    /// # Panics
    /// If the line is no command.
    pub fn say(&self, line: &str) -> Answer {
        self.say_all(&[line]).remove(0)
    }

    /// Says some commands at once, a user's in their order.
    ///
    /// # Panics
    /// If a line is no command.
    pub fn say_all(&self, lines: &[&str]) -> Vec<Answer> {
        self.execute(lines.iter().map(|line| envelope(line)).collect())
    }

    /// Says some commands at once, a user's in their order.
    pub fn execute(&self, envelopes: Vec<Envelope>) -> Vec<Answer> {
        self.execute_as(&Caller::cli(), envelopes)
    }

    /// The same of some caller.
    pub fn execute_as(&self, caller: &Caller, envelopes: Vec<Envelope>) -> Vec<Answer> {
        self.engine().execute(caller, envelopes, Lines::InOrder)
    }

    /// The time on the clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Moves the clock, and waits until the timers that are due by then have run.
    pub fn advance_millis(&self, millis: i64) {
        self.advance_unseen(millis);
        self.rest();
    }

    /// Moves the clock to an instant, and waits until the timers that are due by then have run.
    pub fn advance_to(&self, at: &str) {
        self.clock.set(at.parse().expect("a time"));
        self.rest();
    }

    /// Moves the clock without waking anybody: what is due may be decided later.
    pub fn advance_unseen(&self, millis: i64) {
        self.clock.advance_millis(millis);
    }

    /// Waits until everything that is due and under way is done and durable.
    ///
    /// # Panics
    /// If the ledger has stopped.
    pub fn rest(&self) {
        // A read wakes the decider, which runs what is due before it answers.
        self.read(|_| ());
        self.engine().settle().expect("the ledger runs");
    }

    /// What `look` makes of the states of all shards.
    ///
    /// # Panics
    /// If the ledger has stopped.
    pub fn read<T: Send + 'static>(&self, look: impl FnOnce(&[State]) -> T + Send + 'static) -> T {
        self.engine().read(look).expect("the ledger runs")
    }

    /// What a user has.
    ///
    /// # Panics
    /// If it is no user's id.
    pub fn wallet(&self, user: &str) -> Wallet {
        let user: UserId = user.parse().expect("a user's id");
        let shard = Subject::User(user.clone()).shard(self.engine().shards());
        self.read(move |states| states[usize::from(shard)].user(&user).map(|known| known.wallet().clone()))
            .unwrap_or_default()
    }

    /// Coins that a user can spend now.
    ///
    /// # Panics
    /// If it is no user's id.
    pub fn available(&self, user: &str) -> u128 {
        self.wallet(user).available(self.now())
    }

    /// The coins of an account such as `streamer:s1:turnover`.
    ///
    /// # Panics
    /// If it is no account.
    pub fn balance(&self, account: &str) -> i128 {
        self.balance_in(account, Asset::Coin)
    }

    /// What an account holds of an asset.
    ///
    /// # Panics
    /// If it is no account.
    pub fn balance_in(&self, account: &str, asset: Asset) -> i128 {
        let account: Account = account.parse().expect("an account");
        self.accounts().balance_in(&account, asset)
    }

    /// All accounts.
    pub fn accounts(&self) -> Accounts {
        let mut accounts = Accounts::new();
        self.records().iter().for_each(|record| accounts.apply(record));
        accounts
    }

    /// An order as its newest record left it.
    ///
    /// # Panics
    /// If it is no order's number.
    pub fn order(&self, id: &str) -> Option<Order> {
        let id: OrderId = id.parse().expect("an order's number");
        let moved = self.records();
        moved.iter().flat_map(|record| record.orders().collect::<Vec<_>>()).rfind(|order| order.id == id)
    }

    /// Every durable record, in the order of the log.
    ///
    /// # Panics
    /// If the log is damaged.
    pub fn records(&self) -> Vec<Record> {
        let frames = self.engine().reader().frames(Check::Full);
        frames.flat_map(|frame| frame.expect("the log is sound").records).collect()
    }

    /// The bytes of each shard's state.
    pub fn states(&self) -> Vec<Vec<u8>> {
        self.read(|states| states.iter().map(State::to_bytes).collect())
    }

    /// Closes the ledger in order and opens it again.
    ///
    /// # Panics
    /// If it does not close, or does not start.
    pub fn reopen(&mut self) -> Head {
        let head = self.engine.take().expect("it is there").close().expect("it closes");
        self.restart();
        head
    }

    /// Ends the ledger where it is and opens it again.
    ///
    /// # Panics
    /// If it does not start.
    pub fn crash(&mut self) {
        drop(self.engine.take());
        self.restart();
    }

    fn restart(&mut self) {
        let (engine, recovery) = start(&self.disk, &self.options, &self.clock);
        (self.engine, self.recovery) = (Some(engine), recovery);
    }
}

fn start(disk: &Arc<dyn Disk>, options: &Options, clock: &Arc<ManualClock>) -> (Engine, Recovery) {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as Arc<dyn Clock>;
    match Engine::start(Arc::clone(disk), options, clock) {
        Ok(started) => started,
        Err(error) => panic!("the ledger does not start: {error}"),
    }
}

/// Reads a command from a line of JSON.
///
/// # Panics
/// If the line is no command.
pub fn envelope(line: &str) -> Envelope {
    match serde_json::from_str(line) {
        Ok(envelope) => envelope,
        Err(error) => panic!("{line} is no command: {error}"),
    }
}
