//! Appends what changes as one numbered version, in parts that fit a record each.
//!
//! A part's command id names the version, a digest over all changes of the version and how they are cut
//! into parts, how often the version was begun before, and the part. So whoever is killed between two
//! parts goes on with the next one when the same file is applied again; another file gives up what was
//! begun, since part 0 begins a version anew.

use std::time::Duration;

use ledger::{Answer, Caller, Clock, Engine, Lines, SystemClock};
use projections::Reference;
use replay::AsOf;
use schemars::JsonSchema;
use schemas::{
    ActorId, Chain, Change, Command, CommandId, Envelope, Event, MAX_CHANGES_A_PART, Publish, Record, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::Current;
use crate::{
    app::{Error, Ledger, Result},
    signals,
};

/// How far ahead a version holds: long enough for every shard to take it first.
const AHEAD_MS: i64 = 200;
/// Changes of a part in JSON, which is longer than the canonical bytes: a quarter of what a record may
/// have, as it is there with its dispatches to all shards, and again at each of these.
const PART_BYTES: usize = 128 << 10;
/// Hex digits of the digest in an id: two files that somebody applies do not meet in 64 bits.
const DIGEST_DIGITS: usize = 16;

/// How large the parts of a version are at most.
#[derive(Debug, Clone, Copy)]
pub struct Parts {
    /// How many changes one has.
    pub changes: usize,
    /// How many bytes these are in JSON.
    pub bytes: usize,
}

impl Default for Parts {
    fn default() -> Self {
        Self { changes: MAX_CHANGES_A_PART, bytes: PART_BYTES }
    }
}

/// What was published, and how far a version has come that was left open: a fold of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// All complete versions.
    pub reference: Reference,
    /// The clock of the answer: what holds at it is what a file is compared with.
    pub clock: Timestamp,
    open: Option<Open>,
}

/// A version whose last part has not come.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Open {
    version: u64,
    /// How often it was begun.
    starts: u32,
    /// The id of the part that began it last.
    begun_by: CommandId,
    /// Parts that are there since then.
    parts: u32,
}

impl Published {
    /// What the log of a ledger has published.
    pub fn read(ledger: &Ledger) -> Result<Self> {
        let mut published = Self::default();
        published.clock = ledger.fold(AsOf::End, |record| {
            published.apply(record);
        })?;
        Ok(published)
    }

    /// What holds, and what is scheduled.
    pub fn current(&self) -> Current {
        Current::of(&self.reference, self.clock)
    }

    /// Takes the next record of the log.
    pub fn apply(&mut self, record: &Record) {
        self.reference.apply(record);
        for (_, event) in record.events() {
            let Event::ReferencePublished(part) = event else { continue };
            if part.last {
                self.open = None;
            } else if part.part == 0 {
                let before = self.open.take().filter(|open| open.version == part.version);
                let starts = before.map_or(0, |open| open.starts) + 1;
                self.open = Some(Open { version: part.version, starts, begun_by: record.id.clone(), parts: 1 });
            } else if let Some(open) = &mut self.open {
                open.parts = part.part + 1;
            }
        }
    }
}

/// What was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ReferenceVersion")]
pub struct Applied {
    /// The version that holds now.
    pub version: u64,
    /// How many changes it made; 0 where nothing had to be changed.
    pub changes: usize,
    /// From when it holds.
    pub from: Option<Timestamp>,
    /// The part that an earlier run had not come to, where this one went on with the same file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_at_part: Option<u32>,
    /// What was left open by others and is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_up: Option<GivenUp>,
}

/// A version that was begun by another file, and begins anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "VersionGivenUp")]
pub struct GivenUp {
    /// How many parts it had.
    pub parts: u32,
    /// Of how many, where its ids say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
    /// The command that had begun it.
    pub begun_by: CommandId,
}

impl std::fmt::Display for Applied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let version = self.version;
        if let Some(GivenUp { parts, of, begun_by }) = &self.given_up {
            let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
            let by = if of.is_empty() {
                format!("command {}", schemas::visible(begun_by.as_str()))
            } else {
                "an earlier apply".to_owned()
            };
            writeln!(f, "version {version} was left open after {parts}{of} parts by {by}; it is given up")?;
        }
        if let Some(part) = self.resumed_at_part {
            writeln!(
                f,
                "version {version} was left open by an earlier apply of the same changes: goes on at part {part}"
            )?;
        }
        let changes = if self.changes == 1 { "change" } else { "changes" };
        write!(f, "version {version} holds in every shard: {} {changes}", self.changes)
    }
}

/// Appends `changes` as the next version, or goes on with it, and returns once every shard has taken it
/// and it holds.
pub fn publish(
    engine: &Engine,
    caller: &Caller,
    published: &Published,
    changes: &[Change],
    parts: Parts,
) -> Result<Applied> {
    let mut version = Version::next(published, changes, parts);
    while version.publish_next_part(engine, caller)? {}
    let from = version.from;
    let wait = from.nanos().saturating_sub(SystemClock.now().nanos());
    let wait = Duration::from_nanos(u64::try_from(wait).unwrap_or(0));
    signals::pause(wait, || format!("version {} is on the log, and holds from {from}", version.number))?;
    Ok(Applied {
        version: version.number,
        changes: changes.len(),
        from: Some(from),
        resumed_at_part: version.resumed_at,
        given_up: version.given_up,
    })
}

/// A version under way.
struct Version<'a> {
    number: u64,
    /// The beginning of its parts' ids.
    ids: String,
    parts: Vec<&'a [Change]>,
    next: usize,
    from: Timestamp,
    resumed_at: Option<u32>,
    given_up: Option<GivenUp>,
}

impl<'a> Version<'a> {
    fn next(published: &Published, changes: &'a [Change], parts: Parts) -> Self {
        let number = published.reference.newest() + 1;
        let (parts, digest) = cut(changes, parts);
        let of = parts.len();
        let ids = |start: u32| format!("apply:{number}:{digest}:{start}:{of}:");
        let open = published.open.as_ref().filter(|open| open.version == number);
        let mut version = Self {
            number,
            ids: ids(open.map_or(0, |open| open.starts)),
            parts,
            next: 0,
            from: SystemClock.now().plus_millis(AHEAD_MS),
            resumed_at: None,
            given_up: None,
        };
        if let Some(open) = open {
            let begun = ids(open.starts - 1);
            if open.begun_by.as_str().starts_with(&begun) {
                version.ids = begun;
                version.next = open.parts as usize;
                version.resumed_at = Some(open.parts);
            } else {
                let begun_by = open.begun_by.clone();
                version.given_up = Some(GivenUp { parts: open.parts, of: parts_of(begun_by.as_str()), begun_by });
            }
        }
        version
    }

    /// Appends the next part; whether there is one behind it.
    fn publish_next_part(&mut self, engine: &Engine, caller: &Caller) -> Result<bool> {
        let (number, part) = (self.number, u32::try_from(self.next).expect("parts are counted in 32 bits"));
        let Some(changes) = self.parts.get(self.next) else { return Ok(false) };
        let last = self.next + 1 == self.parts.len();
        let publish = Publish { version: number, part, last, from: self.from, changes: changes.to_vec() };
        let envelope = Envelope {
            id: CommandId::new(&format!("{}{part}", self.ids)).expect("the ids are short, and ours"),
            occurred_at: None,
            actor: Some(ActorId::new("apply").expect("the name is ours")),
            client: None,
            command: Command::Publish(publish),
        };
        let of = self.parts.len();
        let whole = || format!("{part} of {of} parts of version {number} are taken; apply the file again, it goes on");
        signals::check(whole)?;
        let doing = format!("part {part} (from 0) of {of} of version {number}");
        match engine.execute(caller, vec![envelope], Lines::Independent).pop().expect("each command has an answer") {
            Answer::Taken(_) => {}
            Answer::Refused(refused) => return Err(Error::Refused { doing, why: refused.rejection }),
            Answer::Malformed(malformed) => return Err(Error::Unasked(format!("{doing}: {malformed}"))),
            Answer::Unavailable(why) => {
                let doing = format!("{doing}; apply the file again, it goes on from here");
                return Err(Error::Undecided { doing, why });
            }
            Answer::Conflict(conflict) => return Err(Error::Unasked(format!("{doing}: {}", conflict.message))),
        }
        self.next += 1;
        Ok(!last)
    }
}

/// Cuts the changes into parts, and digests them and the cuts.
fn cut(changes: &[Change], limit: Parts) -> (Vec<&[Change]>, String) {
    let mut parts = Vec::new();
    let mut digest = Chain::new();
    let (mut begun, mut bytes, mut line) = (0, 0, Vec::new());
    for (at, change) in changes.iter().enumerate() {
        line.clear();
        serde_json::to_writer(&mut line, change).expect("a change is JSON, and memory takes it");
        if at > begun && (at - begun >= limit.changes || bytes + line.len() > limit.bytes) {
            parts.push(&changes[begun..at]);
            (begun, bytes) = (at, 0);
            digest.push(b"part", 1);
        }
        bytes += line.len();
        digest.push(&line, 1);
    }
    parts.push(&changes[begun..]);
    let digest = digest.hash().to_string();
    (parts, digest[..DIGEST_DIGITS].to_owned())
}

/// Of how many parts a version was to be that an `apply` had begun.
fn parts_of(begun_by: &str) -> Option<u32> {
    let mut fields = begun_by.split(':');
    (fields.next()? == "apply").then_some(())?;
    fields.nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{
        super::{Unnamed, difference, parsing::tests::parse},
        *,
    };
    use crate::{app, ledger_dir::LedgerDir};

    const TWO: Parts = Parts { changes: 2, bytes: PART_BYTES };

    /// A ledger that is opened for each run of `apply`.
    struct Desk {
        _folder: TempDir,
        dir: LedgerDir,
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let dir = LedgerDir::new(&folder.path().join("ledger"));
            dir.make(Some(3)).unwrap().close().unwrap();
            Self { _folder: folder, dir }
        }

        /// Applies `text` in parts of two changes, and is stopped after `parts` of them.
        fn apply(&self, text: &str, parts: Option<usize>) -> Option<Applied> {
            let engine = self.dir.start(None).unwrap();
            let published = Published::read(&app::Ledger::of(&self.dir)).unwrap();
            let current = published.current();
            let changes = difference(&current, &parse(text).unwrap(), Unnamed::IsWithdrawn).changes;
            let applied = if let Some(parts) = parts {
                let mut version = Version::next(&published, &changes, TWO);
                for _ in 0..parts {
                    version.publish_next_part(&engine, &Caller::cli()).unwrap();
                }
                None
            } else {
                Some(publish(&engine, &Caller::cli(), &published, &changes, TWO).unwrap())
            };
            engine.close().unwrap();
            applied
        }

        fn items(&self) -> Vec<String> {
            let (reference, clock) = app::Ledger::of(&self.dir).reference(AsOf::End).unwrap();
            reference.at(clock).items().map(|item| format!("{} {}", item.item, item.price)).collect()
        }

        /// What every shard sells at the end.
        fn sold(&self) -> Vec<Vec<String>> {
            let engine = self.dir.start(None).unwrap();
            let sold = engine.read(|states| {
                let of = |state: &ledger::State| {
                    let items = (0..9).map(|n| format!("item-{n}").parse().unwrap());
                    let offers = items.filter_map(|item| {
                        let (_, sold) = state.catalogue().offer(&item, SystemClock.now()).ok()?;
                        Some(format!("{} {}", sold.item, sold.price))
                    });
                    offers.collect()
                };
                states.iter().map(of).collect()
            });
            let sold = sold.unwrap();
            engine.close().unwrap();
            sold
        }
    }

    fn items(of: std::ops::Range<u32>, price: u32) -> String {
        of.map(|n| format!("[[item]]\nitem = 'item-{n}'\nprice = {price}\n")).collect::<Vec<_>>().concat()
    }

    /// A version of four parts that is stopped after each goes on with the same file.
    #[test]
    fn a_stopped_apply_goes_on_with_the_same_file() {
        let file = items(0..7, 5);
        for stopped in 1..4 {
            let ledger = Desk::new();
            ledger.apply(&file, Some(stopped));
            assert_eq!(ledger.items(), Vec::<String>::new(), "a version counts as a whole");
            let applied = ledger.apply(&file, None).unwrap();
            let part = u32::try_from(stopped).unwrap();
            assert_eq!((applied.version, applied.resumed_at_part, &applied.given_up), (1, Some(part), &None));
            assert!(applied.to_string().contains(&format!("goes on at part {part}")), "{applied}");
            assert_eq!(ledger.items().len(), 7, "stopped after {stopped}");
            assert_eq!(ledger.sold(), vec![ledger.items(); 3]);
        }
    }

    /// Another file gives up what was begun and says so; what was given up holds nowhere.
    #[test]
    fn another_file_gives_up_what_was_left_open() {
        let (first, second) = (items(0..7, 5), items(3..6, 6));
        for stopped in 1..4 {
            let ledger = Desk::new();
            ledger.apply(&first, Some(stopped));
            let applied = ledger.apply(&second, None).unwrap();
            let said =
                format!("version 1 was left open after {stopped} of 4 parts by an earlier apply; it is given up");
            assert!(applied.to_string().starts_with(&said), "{applied}");
            assert_eq!(ledger.items(), ["item-3 6", "item-4 6", "item-5 6"], "stopped after {stopped}");
            assert_eq!(ledger.sold(), vec![ledger.items(); 3]);
        }
    }

    /// First one file, then the other, then the first again: each start is another one.
    #[test]
    fn a_version_may_be_begun_again_and_again() {
        let (first, second) = (items(0..7, 5), items(3..9, 6));
        let ledger = Desk::new();
        for _ in 0..3 {
            ledger.apply(&first, Some(2));
            ledger.apply(&second, Some(1));
        }
        ledger.apply(&second, Some(1)); // goes on: two of its three parts are there
        let applied = ledger.apply(&second, None).unwrap();
        assert_eq!((applied.version, applied.resumed_at_part), (1, Some(2)));
        let sold: Vec<String> = (3..9).map(|n| format!("item-{n} 6")).collect();
        assert_eq!((ledger.items(), ledger.sold()), (sold.clone(), vec![sold; 3]));
        let next = ledger.apply(&first, None).unwrap();
        assert_eq!((next.version, next.resumed_at_part, next.given_up), (2, None, None));
    }

    /// With ids of the longest kind a part is bounded by its bytes, else by its changes.
    #[test]
    fn parts_are_bounded_by_changes_and_bytes() {
        let changes = parse(&items(0..2_500, 5)).unwrap();
        let sizes = |limit| cut(&changes, limit).0.iter().map(|part| part.len()).collect::<Vec<_>>();
        assert_eq!(sizes(Parts::default()), [1_000, 1_000, 500]);
        let one = serde_json::to_vec(&changes[9]).unwrap().len();
        let small = sizes(Parts { changes: 1_000, bytes: 10 * one });
        assert!(small[..small.len() - 1].iter().all(|part| (8..=10).contains(part)), "{small:?}");
        assert_eq!(small.iter().sum::<usize>(), 2_500);
        assert_eq!(sizes(Parts { changes: 1_000, bytes: 1 }), vec![1; 2_500], "one always fits");
        let digests = [Parts::default(), TWO].map(|limit| cut(&changes, limit).1);
        assert_ne!(digests[0], digests[1], "cut otherwise, its parts are others");
    }
}
