//! A file of (gift id, amount) against the gifts on the log.
//!
//! The file is read first and held in memory, one entry a row; the log then streams past it, in any
//! order. What is compared is what the payer was charged when the gift was given: a later refund
//! changes nothing here. Gifts of one atomic group share the id of its command and are compared as
//! one sum.
//!
//! Every id of either side comes out exactly once: as a match, as a difference, as missing on a
//! side, or as one that stands more than once. Command ids are unique within a payer only, so an id
//! may stand on the log more than once as well; such an id is listed and never matched.

use std::io::Read;

use hashbrown::HashMap;
use schemas::{CommandId, Event, Record};
use serde::Serialize;

use crate::{Error, Line, Sum, Table, sum_from_decimal};

/// Where a file keeps what is compared, and how it is read.
#[derive(Debug, Clone)]
pub struct FileColumns {
    /// The column of the gift's id.
    pub id: String,
    /// The column of the amount.
    pub amount: String,
    /// Decimals of an amount that make coins: with 2, `12.34` is 1,234 coins; with 0 it is refused.
    pub decimals: u32,
    /// What stands before the file's id in the ledger's: `gift-` where row 17 became `gift-17`.
    pub id_prefix: String,
}

/// The gift that a record tells of: the command's id and what was charged, in a group for all its
/// gifts together. Nothing where the record is no gift of a caller.
///
/// A group may sum to more than one amount holds: a wallet holds any number of lots.
pub fn gift_lines(record: &Record) -> impl Iterator<Item = (CommandId, Sum)> {
    let mut charged = record.events().filter_map(|(_, event)| match event {
        Event::GiftGiven(gift) if record.origin.is_caller() => Some(Sum::from(gift.charged)),
        _ => None,
    });
    let first = charged.next();
    first.map(|first| (record.id.clone(), charged.chain([first]).sum())).into_iter()
}

/// What a comparison found. The lists are sorted: by line what has one, the others by id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether both sides are the same.
    pub ok: bool,
    /// What the file holds.
    pub file: Side,
    /// What the log holds.
    pub log: Side,
    /// What both sides hold alike.
    pub matched: Side,
    /// Only on the log: missing there, in their file.
    pub missing_there: Vec<LogGift>,
    /// Only in the file: missing here, on our log.
    pub missing_here: Vec<FileGift>,
    /// On both sides, with two amounts.
    pub differs: Vec<Differs>,
    /// More than once on a side: not matched, whatever the amounts.
    pub twice: Vec<Twice>,
}

/// How many gifts, and their sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Side {
    /// How many.
    pub count: u64,
    /// Their coins.
    pub coins: Sum,
}

/// A gift that stands on the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogGift {
    /// The id of its command.
    pub id: CommandId,
    /// What was charged.
    pub coins: Sum,
}

/// A gift that stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileGift {
    /// Its line.
    pub line: u64,
    /// The id, as the log would have it.
    pub id: CommandId,
    /// The amount.
    pub coins: Sum,
}

/// A gift with two amounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differs {
    /// Its line in the file.
    pub line: u64,
    /// The id, as the log has it.
    pub id: CommandId,
    /// The amount in the file.
    pub file: Sum,
    /// What was charged on the log.
    pub log: Sum,
}

/// An id that stands more than once on a side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Twice {
    /// The id, as the log has it.
    pub id: CommandId,
    /// Where it stands in the file, and with what.
    pub file: Vec<FileGift>,
    /// What was charged under it on the log, smallest first.
    pub log: Vec<Sum>,
}

/// A comparison under way: the file is read, the log's gifts come in.
pub struct Comparison {
    entries: HashMap<CommandId, Entry>,
    file: Side,
    log: Side,
    missing_there: Vec<LogGift>,
}

/// The first row of an id; what goes beyond one row and one gift is rare and stands aside.
struct Entry {
    line: u64,
    coins: Sum,
    log: Option<Sum>,
    more: Option<Box<More>>,
}

#[derive(Default)]
struct More {
    file: Vec<(u64, Sum)>,
    log: Vec<Sum>,
}

/// Compares the file in `csv`, called `name` in messages, with the gifts of a log.
pub fn compare(
    csv: impl Read,
    name: &str,
    columns: &FileColumns,
    log: impl IntoIterator<Item = (CommandId, Sum)>,
) -> Result<Report, Error> {
    let mut comparison = Comparison::with_file(csv, name, columns)?;
    for (id, coins) in log {
        comparison.take_gift(id, coins);
    }
    Ok(comparison.finish())
}

impl Comparison {
    /// Reads the file in `csv`, called `name` in messages. It is UTF-8 with a header line.
    pub fn with_file(csv: impl Read, name: &str, columns: &FileColumns) -> Result<Self, Error> {
        let mut comparison =
            Self { entries: HashMap::new(), file: Side::default(), log: Side::default(), missing_there: Vec::new() };
        let mut table = Table::open(csv, name)?;
        let (id, amount) = (table.column(&columns.id)?, table.column(&columns.amount)?);
        while let Some(line) = table.next_line()? {
            comparison.take_row(file_gift(&line, id, amount, columns)?);
        }
        Ok(comparison)
    }

    fn take_row(&mut self, FileGift { line, id, coins }: FileGift) {
        self.file.add(coins);
        self.entries
            .entry(id)
            .and_modify(|first| first.more.get_or_insert_default().file.push((line, coins)))
            .or_insert(Entry { line, coins, log: None, more: None });
    }

    /// Takes the next record of the log, which may be of any kind.
    pub fn take_record(&mut self, record: &Record) {
        for (id, coins) in gift_lines(record) {
            self.take_gift(id, coins);
        }
    }

    /// Takes a gift of the log.
    pub fn take_gift(&mut self, id: CommandId, coins: Sum) {
        self.log.add(coins);
        match self.entries.get_mut(&id) {
            None => self.missing_there.push(LogGift { id, coins }),
            Some(entry) if entry.log.is_none() => entry.log = Some(coins),
            Some(entry) => entry.more.get_or_insert_default().log.push(coins),
        }
    }

    /// The result, once the whole log was taken.
    pub fn finish(self) -> Report {
        let Self { entries, file, log, missing_there } = self;
        let mut report = Report {
            ok: false,
            file,
            log,
            matched: Side::default(),
            missing_there,
            missing_here: Vec::new(),
            differs: Vec::new(),
            twice: Vec::new(),
        };
        for (id, entry) in entries {
            report.take_entry(id, entry);
        }
        report.take_ids_twice_on_the_log();
        report.missing_here.sort_unstable_by_key(|gift| gift.line);
        report.differs.sort_unstable_by_key(|gift| gift.line);
        report.twice.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        report.ok = report.missing_there.is_empty()
            && report.missing_here.is_empty()
            && report.differs.is_empty()
            && report.twice.is_empty();
        report
    }
}

fn file_gift(line: &Line<'_>, id: usize, amount: usize, columns: &FileColumns) -> Result<FileGift, Error> {
    if line.field(id).is_empty() {
        return Err(line.wrong(id, "an id must not be empty"));
    }
    let full_id = CommandId::new(&format!("{}{}", columns.id_prefix, line.field(id)));
    Ok(FileGift {
        line: line.number,
        id: full_id.map_err(|e| line.wrong(id, e.to_string()))?,
        coins: sum_from_decimal(line.field(amount), columns.decimals).map_err(|e| line.wrong(amount, e))?,
    })
}

impl Side {
    fn add(&mut self, coins: Sum) {
        self.count += 1;
        self.coins.add(coins);
    }
}

impl Report {
    fn take_entry(&mut self, id: CommandId, entry: Entry) {
        let Entry { line, coins, log, more } = entry;
        if let Some(more) = more {
            let gift = |(line, coins)| FileGift { line, id: id.clone(), coins };
            let file = std::iter::once((line, coins)).chain(more.file).map(gift).collect();
            let mut log: Vec<Sum> = log.into_iter().chain(more.log).collect();
            log.sort_unstable();
            self.twice.push(Twice { id, file, log });
            return;
        }
        match log {
            None => self.missing_here.push(FileGift { line, id, coins }),
            Some(log) if log == coins => self.matched.add(coins),
            Some(log) => self.differs.push(Differs { line, id, file: coins, log }),
        }
    }

    /// Moves ids that only the log has, but more than once, to where every such id stands.
    fn take_ids_twice_on_the_log(&mut self) {
        let mut only_here = std::mem::take(&mut self.missing_there);
        only_here.sort_unstable_by(|a, b| (&a.id, a.coins).cmp(&(&b.id, b.coins)));
        for same in only_here.chunk_by(|a, b| a.id == b.id) {
            if let [single] = same {
                self.missing_there.push(single.clone());
            } else {
                let log = same.iter().map(|gift| gift.coins).collect();
                self.twice.push(Twice { id: same[0].id.clone(), file: Vec::new(), log });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Coins, Origin};

    use super::*;

    fn coins(n: u64) -> Coins {
        Coins::new(n).unwrap()
    }

    fn sum(n: u64) -> Sum {
        coins(n).into()
    }

    fn columns() -> FileColumns {
        FileColumns { id: "gift_id".into(), amount: "amount".into(), decimals: 2, id_prefix: "gift-".into() }
    }

    fn against(csv: &str, log: &[(&str, u64)]) -> Result<Report, String> {
        let log = log.iter().map(|&(id, n)| (CommandId::new(id).unwrap(), sum(n)));
        compare(csv.as_bytes(), "their.csv", &columns(), log).map_err(|e| e.to_string())
    }

    #[test]
    fn the_same_on_both_sides() {
        let report = against("when,amount,gift_id\nx,1.00,1\nx,25,2\n", &[("gift-2", 2500), ("gift-1", 100)]).unwrap();
        assert!(report.ok, "{report:?}");
        assert_eq!([report.file, report.log, report.matched], [Side { count: 2, coins: sum(2600) }; 3]);
    }

    #[test]
    fn every_id_comes_out_once() {
        let csv = "gift_id,amount\n9,1\n8,1\n1,1\n2,2\n3,3\n3,3\n4,4\n6,6\n6,7\n";
        let log = [
            ("other", 70),
            ("gift-1", 100),
            ("gift-2", 201),
            ("gift-3", 300),
            ("gift-4", 400),
            ("gift-4", 399),
            ("also", 80),
            ("both", 2),
            ("both", 1),
        ];
        let report = against(csv, &log).unwrap();
        let mut backwards = log;
        backwards.reverse();
        assert_eq!(report, against(csv, &backwards).unwrap(), "the order of the log shows");
        assert!(!report.ok);
        assert_eq!(report.file, Side { count: 9, coins: sum(2800) });
        assert_eq!(report.log, Side { count: 9, coins: sum(1553) });
        assert_eq!(report.matched, Side { count: 1, coins: sum(100) });
        let here: Vec<_> = report.missing_here.iter().map(|g| (g.line, g.id.as_str())).collect();
        assert_eq!(here, [(2, "gift-9"), (3, "gift-8")]);
        let there: Vec<_> = report.missing_there.iter().map(|g| (g.id.as_str(), g.coins.get())).collect();
        assert_eq!(there, [("also", 80), ("other", 70)]);
        let differs: Vec<_> = report.differs.iter().map(|d| (d.line, d.file.get(), d.log.get())).collect();
        assert_eq!(differs, [(5, 200, 201)]);
        let twice = |t: &Twice| {
            let file: Vec<_> = t.file.iter().map(|g| (g.line, g.coins.get())).collect();
            (t.id.to_string(), file, t.log.iter().map(|c| c.get()).collect::<Vec<_>>())
        };
        let twice: Vec<_> = report.twice.iter().map(twice).collect();
        let expected = [
            ("both".to_owned(), vec![], vec![1, 2]),
            ("gift-3".to_owned(), vec![(6, 300), (7, 300)], vec![300]),
            ("gift-4".to_owned(), vec![(8, 400)], vec![399, 400]),
            ("gift-6".to_owned(), vec![(9, 600), (10, 700)], vec![]),
        ];
        assert_eq!(twice, expected);
    }

    #[test]
    fn files_say_what_is_wrong_and_where() {
        let long = format!("gift_id,amount\n{},1\n", "x".repeat(196));
        for (csv, said) in [
            ("", "their.csv has no column named \"gift_id\"; its columns are "),
            ("gift_id,sum\n", "their.csv has no column named \"amount\"; its columns are gift_id, sum"),
            (
                "gift_id,amount,amount\n",
                "their.csv has two columns named \"amount\"; its columns are gift_id, amount, amount",
            ),
            (
                "gift_id,amount\n1,1\n2\n",
                "their.csv, line 3: 1 fields where the header has 2; is a comma or a quote missing?",
            ),
            ("gift_id,amount\n1,1,000.00\n", "their.csv, line 2: 3 fields where the header has 2"),
            (
                "gift_id,amount\n1,1\n2,-1\n",
                "their.csv, line 3, column \"amount\", value \"-1\": an amount must not be negative",
            ),
            (
                "gift_id,amount\r\n1,1\r\n2,x\r\n",
                "their.csv, line 3, column \"amount\", value \"x\": not a decimal amount",
            ),
            ("gift_id,amount\n,1\n", "line 2, column \"gift_id\", value \"\": an id must not be empty"),
            (&long, "a command id has at most 200 bytes, this one has 201"),
        ] {
            let error = against(csv, &[]).unwrap_err();
            assert!(error.contains(said), "{csv:?}: {error}");
        }
    }

    fn by_caller() -> Origin {
        Origin::Caller(schemas::Source::cli())
    }

    fn record(origin: Origin, event: Event) -> Record {
        let asked = schemas::Command::Chargeback(schemas::Chargeback { channel: id("c"), transaction: id("t") });
        Record {
            shard: 0,
            sequence: 1,
            time: schemas::Timestamp::from_nanos(1),
            occurred_at: None,
            subject: schemas::Subject::User(id("u1")),
            origin,
            id: id("g-1"),
            digest: schemas::Digest::of(&asked, None),
            actor: None,
            on_behalf_of: None,
            client: None,
            body: schemas::Body::Event(Box::new(event)),
            moved: schemas::Moved::new(),
        }
    }

    fn id<K: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> K {
        text.parse().unwrap()
    }

    fn gift(charged: u64) -> Event {
        Event::GiftGiven(schemas::GiftGiven {
            item: id("rose"),
            version: 1,
            quantity: 1,
            price: coins(charged),
            charged: coins(charged),
            shares: [].into_iter().collect(),
            used: [].into_iter().collect(),
            room: None,
            combo: None,
            activity: None,
        })
    }

    fn grant(n: u64) -> Event {
        Event::Granted(schemas::Granted { coins: coins(n), expires: None, reason: id("r") })
    }

    #[test]
    fn gifts_of_callers_are_compared_groups_as_one() {
        for (record, expected) in [
            (record(by_caller(), gift(5)), vec![5]),
            (record(by_caller(), Event::Group(vec![gift(5), grant(9), gift(6)])), vec![11]),
            (record(by_caller(), grant(9)), vec![]),
            (record(Origin::Dispatch, gift(5)), vec![]),
        ] {
            let lines: Vec<_> = gift_lines(&record).map(|(id, coins)| (id.to_string(), coins.get())).collect();
            assert_eq!(lines, expected.into_iter().map(|n| ("g-1".to_owned(), n)).collect::<Vec<_>>());
        }
        let mut comparison = Comparison::with_file(
            &b"gift_id,amount\ng-1,5\n"[..],
            "f",
            &FileColumns { id_prefix: String::new(), decimals: 0, ..columns() },
        )
        .unwrap();
        comparison.take_record(&record(by_caller(), grant(9)));
        comparison.take_record(&record(by_caller(), gift(5)));
        assert!(comparison.finish().ok);
    }

    #[test]
    fn a_group_may_sum_to_more_than_one_amount_holds() {
        let most = Coins::MAX.get();
        let record = record(by_caller(), Event::Group(vec![gift(most), gift(most)]));
        let sums: Vec<u128> = gift_lines(&record).map(|(_, sum)| sum.get()).collect();
        assert_eq!(sums, [2 * u128::from(most)]);
        let plain = FileColumns { id_prefix: String::new(), decimals: 0, ..columns() };
        let mut comparison =
            Comparison::with_file(&b"gift_id,amount\ng-1,18014398509481982\n"[..], "f", &plain).unwrap();
        comparison.take_record(&record);
        let report = comparison.finish();
        assert!(report.ok, "{report:?}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["matched"]["coins"], "18014398509481982", "a sum is a decimal string");
    }
}
