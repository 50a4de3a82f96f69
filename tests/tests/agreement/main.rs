//! The published schemas and what is read agree: whatever a schema admits is read, and whatever is read the
//! schema admits. What a schema cannot say is listed in [`beyond_a_schema`], and nothing else is excused.
//!
//! Texts come from the schema itself, which knows everything that may be said, and from commands and
//! records that are right, changed in one or two places into what callers get wrong. Each case has a number
//! that makes it again: `GIFTLEDGER_CASES=100000 cargo test -p giftledger-tests --test agreement`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod from_schema;
mod mutate;

use std::env;

use chrono::NaiveDate;
use from_schema::FromSchema;
use jsonschema::Validator;
use mutate::mutated;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::{Change, Envelope, Event, Malformed, OriginKind, Record, json_schemas};
use serde_json::Value;

/// A command of each kind, with everything that it may have.
const COMMANDS: &[&str] = &[
    r#"{"id":"v","publish":{"version":1,"part":0,"last":true,"from":"2026-01-01T00:00:00Z","changes":[
        {"entity":{"currency":"CNY","zone":"Asia/Shanghai","coins_per_unit":100}},
        {"item":{"item":"rose","price":10,"value":9,"from":"2026-01-01T00:00:00Z","until":"2030-01-01T00:00:00Z"}},
        {"streamer":{"streamer":null,"share":"0.45","from":"2026-01-01"}},
        {"streamer":{"streamer":"s1","share":"1","from":"2026-01-01"}},
        {"guild":{"guild":"g1","share":"0.1","from":"2026-01-01"}},
        {"membership":{"streamer":"s1","guild":"g1","from":"2026-01-01"}},
        {"withdraw_item":"tulip"}]}}"#,
    r#"{"id":"t","occurred_at":"2025-12-31T23:59:59.5+08:00","actor":"pay","client":{"device":"ios","package":"app","version":"1.2"},
        "top_up":{"user":"u1","channel":"apple","transaction":"T/1:a","coins":1000,"paid":{"currency":"CNY","amount":"10.00"}}}"#,
    r#"{"id":"k","chargeback":{"channel":"apple","transaction":"T/1:a"}}"#,
    r#"{"id":"w","reinstate":{"channel":"apple","transaction":"T/1:a"}}"#,
    r#"{"id":"b","grant":{"user":"u1","coins":50,"expires":"2026-01-01T00:10:00Z","reason":"newcomer"}}"#,
    r#"{"id":"g","gift":{"user":"u1","item":"rose","quantity":6,"room":"r1","activity":"spring","expected_price":10,
        "combo":{"id":"c1","count":3},"to":[{"streamer":"s1","weight":6},{"streamer":"s2"}]}}"#,
    r#"{"id":"h","hold":{"user":"u1","provider":"arcade","coins":100,"deadline":"2026-01-02T00:00:00Z"}}"#,
    r#"{"id":"s","send":{"order":{"user":"u1","name":{"command":"h1"}}}}"#,
    r#"{"id":"q","query":{"order":{"user":"u1","name":{"number":"3-17.2"}}}}"#,
    r#"{"id":"n","unresolved":{"order":{"user":"u1","name":{"command":"h1"}},"reason":"timeout"}}"#,
    r#"{"id":"o","hand_over":{"order":{"user":"u1","name":{"command":"h1"}},"reason":"schedule_ended"}}"#,
    r#"{"id":"c","capture":{"order":{"user":"u1","name":{"command":"h1"}},"coins":60}}"#,
    r#"{"id":"l","release":{"order":{"user":"u1","name":{"command":"h2"}},"reason":"provider_rejected"}}"#,
    r#"{"id":"r","refund":{"order":{"user":"u1","name":{"command":"送礼"}},"coins":20,"reason":"offline"}}"#,
    r#"{"id":"rb","roll_back_refund":{"order":{"user":"u1","name":{"command":"g"}},"refund":"r","reason":"mistake"}}"#,
    r#"{"id":"rb","roll_back_refund":{"order":{"user":"u1","name":{"command":"x","part":0}},"refund":{"command":"rr","part":1},"reason":"m"}}"#,
    r#"{"id":"x","group":[{"gift":{"user":"u1","item":"rose","to":[]}},{"grant":{"user":"u1","coins":1,"reason":"r"}},
        {"hold":{"user":"u1","provider":"p","coins":1,"deadline":"2026-01-02T00:00:00Z"}},
        {"refund":{"order":{"user":"u1","name":{"command":"g"}},"reason":"r"}}]}"#,
];

/// Every rule that a schema cannot say, by the words of the answer that states it.
fn beyond_a_schema(malformed: &Malformed) -> Option<&'static str> {
    let Malformed { found, message, .. } = malformed;
    let says = |words: &str| message.contains(words);
    let found = found.as_deref().unwrap_or_default();
    let is_no_day = || found.get(1..11).is_some_and(|day| day.parse::<NaiveDate>().is_err());
    // To a schema 1.0 and 1e2 are whole numbers.
    if says("a whole number") && found.contains(['.', 'e']) && found.parse::<f64>().is_ok_and(|n| n.fract() == 0.0) {
        return Some("a whole number is written without a point or an exponent");
    }
    let rules = [
        ((says("RFC 3339") || says("is not a day")) && is_no_day(), "a month has its days"),
        (says("a time is at most") || says("a time is at least"), "the very ends of time, by zone and second"),
        (says("is not a currency code of ISO 4217"), "which currencies there are"),
        (says("more decimals than") || says("beyond what an amount"), "what amounts a currency has"),
        (says("is not a time zone"), "which time zones there are"),
        (says("bytes, this one has") && !found.is_ascii(), "an id's length is in bytes"),
        (says("is not an order number") || says("is not a lot number"), "what the parts of a number can hold"),
        (says("is named twice"), "a streamer is named once in a gift"),
        (says("are all 0"), "a weight is above 0"),
        (says("a group has one subject"), "a group's commands have one subject"),
        (says("a time after its `from`"), "an item's sale ends after it begins"),
        (says("is changed by changes["), "a part changes a thing once"),
    ];
    rules.into_iter().find_map(|(is_it, rule)| is_it.then_some(rule))
}

fn read_command(text: &str) -> Result<(), Malformed> {
    let envelope = Envelope::read(text.as_bytes()).map_err(|unread| unread.malformed)?;
    envelope.command.check(OriginKind::Caller).map(drop)
}

/// Records are no command lines: a failure has only its words. What they say of reference data was checked
/// with the command.
fn read_record(text: &str) -> Result<(), Malformed> {
    let record: Record = serde_json::from_str(text).map_err(|e| Malformed::line(e.to_string()))?;
    record.events().try_for_each(|(_, event)| match event {
        Event::ReferencePublished(published) => published.changes.iter().try_for_each(Change::check),
        Event::ReferenceTaken(taken) => taken.changes.iter().try_for_each(Change::check),
        _ => Ok(()),
    })
}

/// One text, judged by both.
struct Judge {
    name: &'static str,
    schema: Value,
    validator: Validator,
    read: fn(&str) -> Result<(), Malformed>,
    excused: fn(&Malformed) -> Option<&'static str>,
    /// How often both said yes, how often both said no, and how often a rule was beyond a schema.
    counts: [u32; 3],
}

impl Judge {
    fn new(
        file: &'static str,
        read: fn(&str) -> Result<(), Malformed>,
        excused: fn(&Malformed) -> Option<&'static str>,
    ) -> Self {
        let schema = json_schemas().into_iter().find(|(name, _)| *name == file).unwrap().1;
        let schema = serde_json::to_value(schema).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        Self { name: file, schema, validator, read, excused, counts: [0; 3] }
    }

    fn judge(&mut self, seed: u64, text: &str) {
        let value: Value = serde_json::from_str(text).unwrap();
        let admitted = self.validator.is_valid(&value);
        let twice = has_a_name_twice(text, &value);
        let verdict = match ((self.read)(text), admitted) {
            (Ok(()), true) => 0,
            (Err(_), false) => 1,
            (Err(malformed), true) => match (self.excused)(&malformed) {
                _ if twice => 2, // to a schema the first of them is not there
                Some(_) => 2,
                None => panic!("case {seed}: {} admits what is refused: {text}\n{malformed:?}", self.name),
            },
            (Ok(()), false) => {
                let error = self.validator.iter_errors(&value).next().unwrap();
                panic!("case {seed}: {} does not admit what is read: {text}\n{error}", self.name)
            }
        };
        self.counts[verdict] += 1;
    }
}

/// Once read, a name stands once.
fn has_a_name_twice(text: &str, value: &Value) -> bool {
    value.to_string().len() < text.len()
}

fn cases() -> u64 {
    env::var("GIFTLEDGER_CASES").map_or(6_000, |cases| cases.parse().unwrap())
}

/// Plays the cases: half from the schema, half from what is right; most of them changed.
fn play(mut judge: Judge, right: &[Value]) {
    for value in right {
        let text = value.to_string();
        assert!(judge.validator.is_valid(value) && (judge.read)(&text).is_ok(), "{text}: {:?}", (judge.read)(&text));
    }
    let mut generator = FromSchema::new(judge.schema.clone());
    let cases = cases();
    for seed in 0..cases {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let from_schema = seed % 2 == 0;
        let mut value = if from_schema {
            generator.generate(&mut random)
        } else {
            right[random.random_range(0..right.len())].clone()
        };
        let changes = if from_schema { random.random_range(0..2) } else { random.random_range(1..3) };
        for _ in 0..changes {
            value = mutated(value, &mut random);
        }
        judge.judge(seed, &mutate::written(&value));
    }
    let [yes, no, beyond] = judge.counts.map(u64::from);
    println!("{}: {yes} read, {no} refused, {beyond} refused by a rule beyond a schema", judge.name);
    assert!(yes > cases / 10 && no > cases / 10, "the cases prove little: {:?}", judge.counts);
}

#[test]
fn commands_are_read_as_their_schema_says() {
    let right: Vec<Value> = COMMANDS.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    play(Judge::new("command.schema.json", read_command, beyond_a_schema), &right);
}

/// With an array in the place of an object, an internal command, a quantity of nothing, and amounts in
/// the forms that were once read: each of these was read, or admitted, and not the other.
#[test]
fn what_once_disagreed_agrees() {
    let mut judge = Judge::new("command.schema.json", read_command, beyond_a_schema);
    let gift = |of: &str| format!(r#"{{"id":"a","gift":{{"user":"u1","item":"rose",{of}}}}}"#);
    let right = |kind: &str| COMMANDS.iter().find(|line| line.contains(&format!(r#""{kind}":{{"#))).unwrap();
    let paid = |amount: &str| right("top_up").replace("10.00", amount);
    for (text, read) in [
        (gift(r#""to":[]"#), true),
        (gift(r#""to":[],"quantity":null,"room":null"#), true),
        (gift(r#""to":[],"quantity":0"#), false),
        (gift(r#""quantity":1"#), false),
        (gift(r#""to":null"#), false),
        (gift(r#""to":[["s1",1]]"#), false),
        (gift(r#""to":[{"streamer":"house"}]"#), false),
        (gift(r#""to":[{"streamer":"s1","weight":4294967296}]"#), false),
        (r#"{"id":"a","gift":["u1","rose",1,[],null,null,null,null]}"#.to_owned(), false),
        (r#"{"id":"a","colour":"red","chargeback":{"channel":"c","transaction":"t"}}"#.to_owned(), false),
        (r#"{"id":"a","credit":{"user":"u","coins":1,"channel":"c","transaction":"t"}}"#.to_owned(), false),
        (r#"{"id":"a","expire_lot":{"user":"u","lot":"1"}}"#.to_owned(), false),
        (r#"{"id":"a","group":[]}"#.to_owned(), false),
        (r#"{"id":"a","group":[{"chargeback":{"channel":"c","transaction":"t"}}]}"#.to_owned(), false),
        (paid("1__0"), false),
        (paid("10."), false),
        (paid(".5"), false),
        (paid("+10"), false),
        (paid("1_000"), false),
        (paid("-10"), false),
        (right("grant").replace("2026-01-01T00:10:00Z", "9999-12-31T23:59:59Z"), false),
        (right("chargeback").replace("T/1:a", &"t".repeat(200)), true),
        (right("chargeback").replace("T/1:a", &"t".repeat(201)), false),
    ] {
        judge.judge(0, &text);
        assert_eq!((judge.read)(&text).is_ok(), read, "{text}");
    }
    assert_eq!(judge.counts[2], 0, "none of these is beyond a schema");
}

#[test]
fn records_are_read_as_their_schema_says() {
    let excused = |malformed: &Malformed| {
        let words = &malformed.message;
        // The text has no value at hand: what was found stands in the words.
        let whole = words.contains("floating point");
        whole.then_some("as for commands").or_else(|| beyond_a_schema(malformed)).or_else(|| {
            let rules = ["RFC 3339", "is not a day", "bytes, this one has", "is not a subject", "a group"];
            rules.iter().any(|rule| words.contains(rule)).then_some("as for commands")
        })
    };
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut newest: Vec<_> = std::fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path()).collect();
    newest.retain(|folder| folder.file_name().unwrap().to_str().unwrap().starts_with('v'));
    newest.sort();
    let files = std::fs::read_dir(newest.last().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let samples = files.filter(|file| file.extension().is_some_and(|extension| extension == "json"));
    let right: Vec<Value> =
        samples.map(|file| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()).collect();
    assert!(right.len() > 30);
    play(Judge::new("record.schema.json", read_record, excused), &right);
}
