//! Reads a file of gifts, plain or compressed with gzip, row by row in constant memory, and makes
//! the commands of each row.
//!
//! A [`Position`] says how far the rows were taken, with a hash over everything up to there: header
//! and rows, each field with its length before it, chained as [`schemas::Chain`] chains records. It
//! does not depend on compression or line ends. Whoever resumes gives it back, and a file that is
//! another one up to there is refused.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use flate2::bufread::MultiGzDecoder;
use reconcile::{Line, Table, coins_from_decimal};
use schemas::{
    ActivityId, ActorId, Chain, Coins, Command, CommandId, Envelope, Gift, Hash, Money, Origin, Recipient, RoomId,
    StreamerId, Timestamp, TopUp, TransactionId, UserId,
};
use serde::{Deserialize, Serialize};

use super::mapping::Mapping;

/// What one row became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The line on which it begins.
    pub line: u64,
    /// The top-up that is to be taken first, where the mapping lays one.
    pub top_up: Option<Envelope>,
    /// The gift.
    pub gift: Envelope,
}

/// How far a file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// The line of the last row that was read; 1 or above once the header was.
    pub line: u64,
    /// How many rows were read.
    pub rows: u64,
    /// The hash over header and rows.
    pub hash: Hash,
}

/// The rows of a file.
pub struct Rows {
    file: String,
    table: Table<Source>,
    mapping: Mapping,
    places: Places,
    progress: Progress,
    chain: Chain,
    taken: u64,
    bytes: Vec<u8>,
}

/// Bytes of a file, decompressed where it is compressed.
pub type Source = Box<dyn Read + Send>;

/// How many of a file's bytes were read, as they lie on disk; a clone shows the same count.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    read: Arc<AtomicU64>,
    total: u64,
}

/// Where the mapped columns are.
struct Places {
    gift: usize,
    time: usize,
    sender: usize,
    amount: usize,
    room: Option<usize>,
    streamers: Option<usize>,
    activity: Option<usize>,
}

/// What to do about a wrong row.
const ADVICE: &str = "correct the file and import it again; rows that were taken are not taken twice";

impl Rows {
    /// Opens `path`, reads its header and finds the mapped columns.
    pub fn open(path: &Path, mapping: &Mapping) -> Result<Self> {
        let (source, progress) = open_source(path)?;
        let mut rows = Self::of_source(source, &path.display().to_string(), mapping)?;
        rows.progress = progress;
        Ok(rows)
    }

    /// The rows of `source`, called `file` in messages.
    pub fn of_source(source: Source, file: &str, mapping: &Mapping) -> Result<Self> {
        let table = Table::open(source, file)?;
        let mut rows = Self {
            file: file.to_owned(),
            places: Places::of(&table, mapping)?,
            table,
            mapping: mapping.clone(),
            progress: Progress::default(),
            chain: Chain::new(),
            taken: 0,
            bytes: Vec::new(),
        };
        put_fields(&mut rows.bytes, rows.table.header().iter().map(String::as_str));
        rows.chain.push(&rows.bytes, 1);
        Ok(rows)
    }

    /// The next row; nothing at the end of the file. Behind a row that was wrong comes the next one;
    /// behind a file that could not be read on, nothing.
    pub fn next_row(&mut self) -> Result<Option<Row>> {
        let line = self.table.next_line().map_err(|e| match e {
            reconcile::Error::Fields { .. } | reconcile::Error::Value { .. } => with_advice(&e),
            unreadable => unreadable.into(),
        })?;
        let Some(line) = line else { return Ok(None) };
        let row = row(&line, &self.places, &self.mapping).map_err(|e| with_advice(&e))?;
        self.bytes.clear();
        put_fields(&mut self.bytes, line.fields());
        self.chain.push(&self.bytes, 1);
        self.taken += 1;
        Ok(Some(row))
    }

    /// Passes over the rows that an earlier run has read, to `position`, without making commands.
    ///
    /// # Errors
    /// If this file is another one up to there, or ends before.
    pub fn resume(&mut self, position: &Position) -> Result<()> {
        while self.taken < position.rows {
            let Some(line) = self.table.next_line()? else {
                bail!(
                    "{} has {} rows, and {} of it were read before: it is not the same file any more",
                    self.file,
                    self.taken,
                    position.rows
                );
            };
            self.bytes.clear();
            put_fields(&mut self.bytes, line.fields());
            self.chain.push(&self.bytes, 1);
            self.taken += 1;
        }
        if self.reached().hash != position.hash {
            bail!(
                "the first {} rows of {} are not those that were read before: it is another file, or was changed",
                position.rows,
                self.file
            );
        }
        Ok(())
    }

    /// How far the rows were read. Tells nothing once a row was wrong: a wrong row is not counted, so
    /// a resume begins with it.
    pub fn reached(&self) -> Position {
        Position { line: self.table.line(), rows: self.taken, hash: self.chain.hash() }
    }

    /// For a progress bar.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        self.next_row().transpose()
    }
}

impl Places {
    fn of(table: &Table<Source>, mapping: &Mapping) -> Result<Self> {
        let place = |key: &str, title: &str| {
            table.column(title).with_context(|| format!("[columns] {key} of the mapping {} does not fit", mapping.file))
        };
        let optional = |key: &str, title: &Option<String>| title.as_ref().map(|title| place(key, title)).transpose();
        let columns = &mapping.columns;
        Ok(Self {
            gift: place("gift", &columns.gift)?,
            time: place("time", &columns.time)?,
            sender: place("sender", &columns.sender)?,
            amount: place("amount", &columns.amount)?,
            room: optional("room", &columns.room)?,
            streamers: optional("streamers", &columns.streamers)?,
            activity: optional("activity", &columns.activity)?,
        })
    }
}

fn with_advice(why: &impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{why}; {ADVICE}")
}

fn row(line: &Line<'_>, places: &Places, mapping: &Mapping) -> Result<Row> {
    let id = line.field(places.gift);
    let command_id = |prefix: &str| {
        if id.is_empty() {
            return Err(line.wrong(places.gift, "a gift's id must not be empty"));
        }
        CommandId::new(&format!("{prefix}{id}")).map_err(|e| line.wrong(places.gift, e.to_string()))
    };
    let time: Timestamp = read(line, places.time)?;
    let user: UserId = read(line, places.sender)?;
    let coins = coins_from_decimal(line.field(places.amount), mapping.decimals)
        .map_err(|why| line.wrong(places.amount, why))?;
    if coins.is_zero() {
        return Err(line.wrong(places.amount, "a gift of nothing is no gift; leave the row out").into());
    }
    let gift = Command::Gift(Gift {
        user: user.clone(),
        item: mapping.gift.item.clone(),
        quantity: coins.get(),
        to: recipients(line, places, &mapping.separator)?.into_iter().collect(),
        room: read_optional::<RoomId>(line, places.room)?,
        combo: None,
        activity: read_optional::<ActivityId>(line, places.activity)?,
        expected_price: Some(Coins::new(1)?), // another price would make other coins of the amount
    });
    let envelope = |id: CommandId, actor: &ActorId, command: Command| -> Result<Envelope> {
        command.check(Origin::Caller).map_err(|why| anyhow::anyhow!("{}, line {}: {why}", line.file(), line.number))?;
        Ok(Envelope { id, occurred_at: Some(time), actor: Some(actor.clone()), client: None, command })
    };
    let gift = envelope(command_id(&mapping.gift.id_prefix)?, &mapping.gift.actor, gift)?;
    let Some(laid) = &mapping.top_up else { return Ok(Row { line: line.number, top_up: None, gift }) };
    let top_up = Command::TopUp(TopUp {
        user,
        channel: laid.channel.clone(),
        transaction: read::<TransactionId>(line, places.gift)?,
        coins,
        paid: paid(coins, mapping).map_err(|e| line.wrong(places.amount, e.to_string()))?,
    });
    let top_up = Some(envelope(command_id(&laid.id_prefix)?, &laid.actor, top_up)?);
    Ok(Row { line: line.number, top_up, gift })
}

/// Coins are the amount at the mapping's decimals, money is it at the currency's.
fn paid(coins: Coins, mapping: &Mapping) -> Result<Money> {
    let factor = 10_i64.checked_pow(mapping.currency.scale() - mapping.decimals);
    let minor = factor.and_then(|factor| i64::try_from(coins.get()).ok()?.checked_mul(factor));
    Ok(Money::from_minor(mapping.currency, minor.context("beyond what an amount of money can be")?))
}

/// The streamers of a row; one that is named twice has twice the weight.
fn recipients(line: &Line<'_>, places: &Places, separator: &str) -> Result<Vec<Recipient>> {
    let mut recipients: Vec<Recipient> = Vec::new();
    let Some((place, list)) = places.streamers.map(|place| (place, line.field(place))).filter(|(_, l)| !l.is_empty())
    else {
        return Ok(recipients);
    };
    for streamer in list.split(separator) {
        let streamer = StreamerId::new(streamer).map_err(|e| line.wrong(place, e.to_string()))?;
        match recipients.iter_mut().find(|recipient| recipient.streamer == streamer) {
            Some(recipient) => recipient.weight += 1,
            None => recipients.push(Recipient { streamer, weight: 1 }),
        }
    }
    Ok(recipients)
}

fn read<T: std::str::FromStr<Err: std::fmt::Display>>(line: &Line<'_>, place: usize) -> Result<T> {
    line.field(place).parse().map_err(|e: T::Err| line.wrong(place, e.to_string()).into())
}

/// An empty field is none.
fn read_optional<T: std::str::FromStr<Err: std::fmt::Display>>(
    line: &Line<'_>,
    place: Option<usize>,
) -> Result<Option<T>> {
    place.filter(|&place| !line.field(place).is_empty()).map(|place| read(line, place)).transpose()
}

fn put_fields<'a>(bytes: &mut Vec<u8>, fields: impl Iterator<Item = &'a str>) {
    for field in fields {
        bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
        bytes.extend_from_slice(field.as_bytes());
    }
}

/// Opens a file that may be compressed with gzip, which its first two bytes tell, not its name.
pub fn open_source(path: &Path) -> Result<(Source, Progress)> {
    let opening = || format!("opening {}", path.display());
    let file = File::open(path).with_context(opening)?;
    let total = file.metadata().with_context(opening)?.len();
    let progress = Progress { read: Arc::default(), total };
    let source = uncompressed(Counted { file, progress: progress.clone() });
    Ok((source.with_context(|| format!("reading {}", path.display()))?, progress))
}

fn uncompressed(reader: impl Read + Send + 'static) -> io::Result<Source> {
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let mut first = Vec::with_capacity(2);
    reader.by_ref().take(2).read_to_end(&mut first)?;
    let is_gzip = first == [0x1f, 0x8b];
    let whole = io::Cursor::new(first).chain(reader);
    Ok(if is_gzip { Box::new(Gunzip(MultiGzDecoder::new(whole))) } else { Box::new(whole) })
}

/// Decompresses, and says in words what the decoder's errors mean for whoever has the file.
struct Gunzip<R>(MultiGzDecoder<R>);

impl<R: io::BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(e.kind(), "its gzip data ends before its end: the file is cut off, get it whole")
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                io::Error::new(e.kind(), format!("its gzip data is damaged ({e}): get the file again"))
            }
            _ => e,
        })
    }
}

impl Progress {
    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of the file when it was opened.
    pub fn total(&self) -> u64 {
        self.total
    }
}

struct Counted {
    file: File,
    progress: Progress,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.progress.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const HEADER: &str = "gift_id,campaign,occurred_at,sender,amount_usd,room,streamers\n";

    fn mapping() -> Mapping {
        Mapping::parse(include_str!("../../../docs/marathon/mapping.toml"), "mapping.toml").unwrap()
    }

    fn source(bytes: impl Into<Vec<u8>>) -> Source {
        uncompressed(io::Cursor::new(bytes.into())).unwrap()
    }

    fn rows(bytes: impl Into<Vec<u8>>) -> Rows {
        Rows::of_source(source(bytes), "gifts.csv", &mapping()).unwrap()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn json(row: &Row) -> String {
        let top_up = row.top_up.as_ref().map(|top_up| serde_json::to_string(top_up).unwrap() + "\n");
        top_up.unwrap_or_default() + &serde_json::to_string(&row.gift).unwrap()
    }

    #[test]
    fn a_row_becomes_a_top_up_and_a_gift() {
        let text =
            HEADER.to_owned() + "3293,SGDQ2011,2011-08-04T19:01:38.250Z,u_1,50.05,sgdq2011-blaster,s_1|s_2|s_1\n";
        let row = rows(text).next_row().unwrap().unwrap();
        assert_eq!(row.line, 2);
        assert_eq!(
            json(&row).lines().collect::<Vec<_>>(),
            [
                r#"{"id":"topup-3293","occurred_at":"2011-08-04T19:01:38.250Z","actor":"overlay","top_up":{"user":"u_1","channel":"overlay","transaction":"3293","coins":5005,"paid":{"currency":"USD","amount":"50.05"}}}"#,
                r#"{"id":"gift-3293","occurred_at":"2011-08-04T19:01:38.250Z","actor":"import","gift":{"user":"u_1","item":"donation","quantity":5005,"to":[{"streamer":"s_1","weight":2},{"streamer":"s_2","weight":1}],"room":"sgdq2011-blaster","combo":null,"activity":"SGDQ2011","expected_price":1}}"#,
            ]
        );
    }

    #[test]
    fn what_a_row_leaves_out_is_left_out() {
        let text = HEADER.to_owned() + "1,,2011-08-04T19:01:38+02:00,anonymous,1,,\n";
        let row = rows(text).next_row().unwrap().unwrap();
        let Command::Gift(gift) = &row.gift.command else { panic!("{row:?}") };
        assert_eq!((gift.to.len(), &gift.room, &gift.activity, gift.quantity), (0, &None, &None, 100));
        let bare = Mapping { top_up: None, ..mapping() };
        let text = HEADER.to_owned() + "1,,2011-08-04T19:01:38+02:00,anonymous,1,,\n";
        let alone = Rows::of_source(source(text), "gifts.csv", &bare).unwrap().next().unwrap().unwrap();
        assert_eq!(alone, Row { top_up: None, ..row });
    }

    #[test]
    fn coins_coarser_than_the_currency_are_paid_in_full() {
        let tenths = Mapping { decimals: 1, ..mapping() };
        let text = HEADER.to_owned() + "1,,2011-08-04T19:01:38Z,u,12.30,,\n";
        let row = Rows::of_source(source(text), "gifts.csv", &tenths).unwrap().next().unwrap().unwrap();
        let Some(Command::TopUp(top_up)) = row.top_up.map(|t| t.command) else { panic!("no top-up") };
        assert_eq!((top_up.coins.get(), top_up.paid.to_string().as_str()), (123, "12.30 USD"));
    }

    #[test]
    fn a_wrong_row_says_where_what_and_what_to_do() {
        let many: Vec<String> = (0..65).map(|n| format!("s{n}")).collect();
        let many = format!("1,c,2011-08-04T19:01:38Z,u,1,r,{}", many.join("|"));
        for (row, said) in [
            ("1,c,2011-08-04T19:01:38Z,u,1", "gifts.csv, line 3: 5 fields where the header has 7"),
            (
                "1,c,2011-08-04T19:01:38Z,u,-1,r,s",
                "column \"amount_usd\", value \"-1\": an amount must not be negative",
            ),
            ("1,c,2011-08-04T19:01:38Z,u,0.00,r,s", "value \"0.00\": a gift of nothing is no gift"),
            ("1,c,2011-08-04T19:01:38Z,u,1.005,r,s", "value \"1.005\": more than 2 decimals"),
            ("1,c,2011-08-04T19:01:38Z,u,90071992547409.92,r,s", "more than 9007199254740991 coins"),
            ("1,c,2011-08-04T19:01:38Z,u,NaN,r,s", "value \"NaN\": not a decimal amount"),
            (
                "1,c,04.08.2011,u,1,r,s",
                "column \"occurred_at\", value \"04.08.2011\": \"04.08.2011\" is not a time of RFC 3339",
            ),
            ("1,c,2500-01-01T00:00:00Z,u,1,r,s", "is not a time of RFC 3339"),
            (",c,2011-08-04T19:01:38Z,u,1,r,s", "column \"gift_id\", value \"\": a gift's id must not be empty"),
            (
                "a b,c,2011-08-04T19:01:38Z,u,1,r,s",
                "column \"gift_id\", value \"a b\": ' ' in \"a b\": a transaction id",
            ),
            ("1,c,2011-08-04T19:01:38Z,,1,r,s", "column \"sender\", value \"\": a user id must not be empty"),
            ("1,c,2011-08-04T19:01:38Z,a:b,1,r,s", "column \"sender\", value \"a:b\": ':' in \"a:b\""),
            ("1,c,2011-08-04T19:01:38Z,u,1,r r,s", "column \"room\", value \"r r\""),
            ("1,c c,2011-08-04T19:01:38Z,u,1,r,s", "column \"campaign\", value \"c c\""),
            (
                "1,c,2011-08-04T19:01:38Z,u,1,r,s||t",
                "column \"streamers\", value \"s||t\": a streamer id must not be empty",
            ),
            (&many, "gifts.csv, line 3: a gift has at most 64 recipients, this one has 65"),
        ] {
            let good = "2,c,2011-08-04T19:01:38Z,u,1,r,s\n";
            let mut rows = rows(format!("{HEADER}{good}{row}\n{good}"));
            assert!(rows.next_row().is_ok());
            let error = rows.next_row().unwrap_err().to_string();
            for said in [said, "gifts.csv, line 3", "; correct the file and import it again"] {
                assert!(error.contains(said), "{row}: {error}");
            }
            assert_eq!(rows.next_row().unwrap().unwrap().line, 4, "{row}: the next row is lost");
        }
    }

    #[test]
    fn a_mapping_that_does_not_fit_says_what_the_file_has() {
        let error = Rows::of_source(source("gift_id,amount\n1,2\n"), "gifts.csv", &mapping()).err().unwrap();
        assert_eq!(
            format!("{error:#}"),
            "[columns] time of the mapping mapping.toml does not fit: \
             gifts.csv has no column named \"occurred_at\"; its columns are gift_id, amount"
        );
        let error = Rows::of_source(source(""), "gifts.csv", &mapping()).err().unwrap();
        assert!(format!("{error:#}").ends_with("the file is empty"), "{error:#}");
        let error = Rows::open(Path::new("no/such.csv"), &mapping()).err().unwrap();
        assert!(format!("{error:#}").starts_with("opening no/such.csv: "), "{error:#}");
    }

    fn long() -> String {
        let row = |n| format!("{n},c,2011-08-04T19:01:38Z,u_{n},{n}.{:02},r,s\n", n % 100);
        HEADER.to_owned() + &(1..=5000).map(row).collect::<String>()
    }

    #[test]
    fn content_tells_what_is_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let plain: Vec<Row> = rows(long()).map(Result::unwrap).collect();
        assert_eq!(plain.len(), 5000);
        let members = [gzip(&long()[..1000]), gzip(&long()[1000..])].concat();
        for (name, bytes) in
            [("a.csv", long().into_bytes()), ("b.csv.gz", gzip(&long())), ("c.csv", gzip(&long())), ("d.gz", members)]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes).unwrap();
            let mut rows = Rows::open(&path, &mapping()).unwrap();
            assert_eq!(rows.by_ref().map(Result::unwrap).collect::<Vec<_>>(), plain, "{name}");
            assert_eq!([rows.progress().read(), rows.progress().total()], [bytes.len() as u64; 2], "{name}");
        }
    }

    #[test]
    fn a_file_that_is_cut_off_or_damaged_is_an_error_not_an_end() {
        let whole = gzip(&long());
        for length in (3..whole.len()).step_by(whole.len() / 50).chain([whole.len() - 8, whole.len() - 1]) {
            let error = match Rows::of_source(source(&whole[..length]), "gifts.csv.gz", &mapping()) {
                Err(error) => error,
                Ok(mut rows) => {
                    let error = rows.by_ref().find_map(Result::err).expect("an error");
                    assert!(rows.next().is_none(), "it reads on");
                    error
                }
            };
            let error = format!("{error:#}");
            assert!(error.contains("the file is cut off, get it whole"), "{length}: {error}");
            assert!(error.starts_with("reading gifts.csv.gz after line "), "{length}: {error}");
        }
        let mut damaged = whole.clone();
        let middle = whole.len() / 2;
        damaged[middle..middle + 20].fill(0xff);
        let trailing = [&whole[..], b"something else entirely"].concat();
        let mut sum = whole.clone();
        let place = whole.len() - 6;
        sum[place] ^= 1;
        for bytes in [damaged, trailing, sum] {
            let mut rows = Rows::of_source(source(bytes), "gifts.csv.gz", &mapping()).unwrap();
            let error = format!("{:#}", rows.find_map(Result::err).expect("an error"));
            assert!(error.contains("its gzip data is damaged"), "{error}");
        }
    }

    #[test]
    fn a_resume_goes_on_where_it_was() {
        let mut first = rows(long());
        for _ in 0..1234 {
            first.next_row().unwrap().unwrap();
        }
        let position = first.reached();
        assert_eq!((position.line, position.rows), (1235, 1234));
        let stored = serde_json::to_string(&position).unwrap();
        let position: Position = serde_json::from_str(&stored).unwrap();
        // Compressed since, with other line ends: still the same rows.
        let mut second = rows(gzip(&long().replace('\n', "\r\n")));
        second.resume(&position).unwrap();
        assert_eq!(second.reached(), position);
        assert_eq!(second.next_row().unwrap(), first.next_row().unwrap());
        assert_eq!(second.reached(), first.reached());
        let mut longer = rows(long() + "5001,c,2011-08-04T19:01:38Z,u,1,r,s\n");
        longer.resume(&position).unwrap();
        assert_eq!(longer.by_ref().count(), 5001 - 1234);
        let end = longer.reached();
        for (text, position, said) in [
            (long().replace("u_77,", "u_78,"), position, "the first 1234 rows of gifts.csv are not those"),
            (long().replace("campaign", "campaigns"), position, "not fit"),
            (long().replace(",room,", ",place,"), position, "not fit"),
            (long().replace(",c,2", ",,c2"), position, "are not those that were read before"),
            (long(), end, "gifts.csv has 5000 rows, and 5001 of it were read before"),
        ] {
            let resumed = Rows::of_source(source(text), "gifts.csv", &mapping());
            let error = resumed.and_then(|mut rows| rows.resume(&position)).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{error:#}");
        }
        let start = rows(long()).reached();
        assert_eq!((start.line, start.rows), (1, 0));
        rows(long()).resume(&start).unwrap();
    }

    #[test]
    fn rows_can_move_to_another_thread() {
        fn sent<T: Send>() {}
        sent::<Rows>();
    }
}
