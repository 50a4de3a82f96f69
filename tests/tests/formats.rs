//! What was once written stays readable: golden samples of every event and refusal, of a snapshot, and
//! the published JSON Schemas.
//!
//! `GIFTLEDGER_BLESS=1 cargo test --release -p giftledger-tests --test formats` writes samples and
//! schemas that are missing. It never overwrites a sample: those of a released version are history.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use giftledger_tests::world::World;
use ledger::{
    Snapshot,
    log::{Check, Disk, faulty::SimDisk},
};
use schemas::{Body, Coins, Event, Record, Rejection, Status, decode_record, encode_record, json_schemas};

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record(record, &mut bytes);
    bytes
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn blessing() -> bool {
    env::var_os("GIFTLEDGER_BLESS").is_some()
}

/// Commands that between them make every event there is.
const STORY: &[&str] = &[
    r#"{"id":"v1","actor":"apply","publish":{"version":1,"part":0,"last":false,"from":"2026-01-01T00:00:00Z","changes":[
        {"entity":{"currency":"CNY","zone":"Asia/Shanghai","coins_per_unit":100}},
        {"item":{"item":"rose","price":10,"value":9,"from":"2026-01-01T00:00:00Z","until":"2030-01-01T00:00:00Z"}},
        {"streamer":{"streamer":null,"share":"0.45","from":"2026-01-01"}},
        {"guild":{"guild":"g1","share":"0.1","from":"2026-01-01"}},
        {"membership":{"streamer":"s1","guild":"g1","from":"2026-01-01"}},
        {"withdraw_item":"tulip"}]}}"#,
    r#"{"id":"v1b","publish":{"version":1,"part":1,"last":true,"from":"2026-01-01T00:00:00Z","changes":[]}}"#,
    r#"{"id":"t1","occurred_at":"2025-12-31T23:59:59.5Z","actor":"pay","client":{"device":"ios","package":"app","version":"1.2"},
        "top_up":{"user":"u1","channel":"apple","transaction":"T/1:a","coins":1000,"paid":{"currency":"CNY","amount":"10.00"}}}"#,
    r#"{"id":"b1","grant":{"user":"u1","coins":50,"expires":"2026-01-01T00:10:00Z","reason":"newcomer"}}"#,
    r#"{"id":"b2","grant":{"user":"u1","coins":7,"reason":"goodwill"}}"#,
    r#"{"id":"b3","grant":{"user":"u1","coins":11,"expires":"2026-01-01T00:20:00Z","reason":"r"}}"#,
    r#"{"id":"g1","gift":{"user":"u1","item":"rose","quantity":6,"room":"r1","activity":"spring",
        "combo":{"id":"c1","count":3},"to":[{"streamer":"s1","weight":6},{"streamer":"s2","weight":2}]}}"#,
    r#"{"id":"r1","refund":{"order":{"user":"u1","name":{"command":"g1"}},"coins":20,"reason":"offline"}}"#,
    r#"{"id":"rb1","roll_back_refund":{"order":{"user":"u1","name":{"command":"g1"}},"refund":"r1","reason":"mistake"}}"#,
    r#"{"id":"h1","hold":{"user":"u1","provider":"arcade","coins":100,"deadline":"2026-01-02T00:00:00Z"}}"#,
    r#"{"id":"s1","send":{"order":{"user":"u1","name":{"command":"h1"}}}}"#,
    r#"{"id":"q1","query":{"order":{"user":"u1","name":{"command":"h1"}}}}"#,
    r#"{"id":"n1","unresolved":{"order":{"user":"u1","name":{"command":"h1"}},"reason":"timeout"}}"#,
    r#"{"id":"o1","hand_over":{"order":{"user":"u1","name":{"command":"h1"}},"reason":"schedule_ended"}}"#,
    r#"{"id":"c1","capture":{"order":{"user":"u1","name":{"command":"h1"}},"coins":60}}"#,
    r#"{"id":"h2","hold":{"user":"u1","provider":"arcade","coins":100,"deadline":"2026-01-02T00:00:00Z"}}"#,
    r#"{"id":"l1","release":{"order":{"user":"u1","name":{"command":"h2"}},"reason":"provider_rejected"}}"#,
    r#"{"id":"x1","group":[{"gift":{"user":"u1","item":"rose","to":[]}},{"grant":{"user":"u1","coins":1,"reason":"r"}}]}"#,
    r#"{"id":"k1","chargeback":{"channel":"apple","transaction":"T/1:a"}}"#,
    r#"{"id":"w1","reinstate":{"channel":"apple","transaction":"T/1:a"}}"#,
    r#"{"id":"x2","group":[{"hold":{"user":"u1","provider":"arcade","coins":20,"deadline":"2026-01-02T00:00:00Z"}},
        {"capture":{"order":{"user":"u1","name":{"command":"x2","part":0}},"coins":5}}]}"#,
    r#"{"id":"k2","chargeback":{"channel":"apple","transaction":"T/2"}}"#,
    r#"{"id":"t2","top_up":{"user":"u1","channel":"apple","transaction":"T/2","coins":10,"paid":{"currency":"CNY","amount":"0.10"}}}"#,
    r#"{"id":"k3","chargeback":{"channel":"apple","transaction":"T/3"}}"#,
    r#"{"id":"w3","reinstate":{"channel":"apple","transaction":"T/3"}}"#,
    r#"{"id":"b4","grant":{"user":"u1","coins":3,"expires":"2026-01-01T00:25:00Z","reason":"r"}}"#,
];

/// A sample of every event, from the story; and of every refusal, made by hand.
fn samples() -> Vec<(String, Record)> {
    let world = World::new(3);
    for line in STORY {
        let answer = world.say(line);
        assert!(matches!(answer, ledger::Answer::Taken(_)), "{line}: {answer:?}");
        world.advance_millis(1);
    }
    world.advance_to("2026-01-01T00:30:00Z");
    let records = world.records();
    let mut samples: Vec<(String, Record)> = Vec::new();
    for record in &records {
        if let Some(event) = record.event()
            && !samples.iter().any(|(name, _)| name == event.kind())
        {
            samples.push((event.kind().to_owned(), record.clone()));
        }
    }
    for rejection in rejections() {
        let name = format!("refused_{}", rejection.code());
        samples.push((name, Record { body: Body::Rejection(rejection), ..records[0].clone() }));
    }
    samples
}

fn rejections() -> Vec<Rejection> {
    let (first, coins) = (|| "first".parse().unwrap(), Coins::new(12).unwrap());
    let order = "2-17.1".parse().unwrap();
    let deadline = "2026-01-01T00:00:00.000000001Z".parse().unwrap();
    let all = vec![
        Rejection::TransactionClaimed { first: first() },
        Rejection::NotChargedBack,
        Rejection::AlreadyChargedBack { first: first() },
        Rejection::VersionNotNext { version: 2, part: 1 },
        Rejection::EntityFixed {
            currency: "CNY".parse().unwrap(),
            zone: serde_json::from_str(r#""Asia/Shanghai""#).unwrap(),
            coins_per_unit: 100,
        },
        Rejection::ItemNotFound,
        Rejection::ItemNotOnSale,
        Rejection::PriceChanged { price: coins },
        Rejection::ComboCounted { order },
        Rejection::OrderNotFound,
        Rejection::OrderStatus { status: Status::Released },
        Rejection::RefundNotFound,
        Rejection::AlreadyRolledBack { first: first() },
        Rejection::DatedBefore { happened_at: deadline },
        Rejection::DeadlinePassed { deadline },
        Rejection::ExceedsLeft { left: coins },
        Rejection::InDebt { debt: coins },
        Rejection::InsufficientFunds { available: coins },
        Rejection::AmountTooLarge,
        Rejection::TooManyLots { limit: 4_096 },
        Rejection::TooLarge { limit: 524_288 },
        Rejection::NothingToDo,
    ];
    // A member's refusal has its member's code, so it has no sample of its own name; it is checked here.
    let member = Rejection::Member { member: 3, rejection: Box::new(all[0].clone()) };
    let json = serde_json::to_string(&member).unwrap();
    assert_eq!(serde_json::from_str::<Rejection>(&json).unwrap(), member);
    all
}

#[test]
fn every_event_has_a_sample() {
    let names: BTreeSet<String> = samples().into_iter().map(|(name, _)| name).collect();
    let schema = serde_json::to_value(schemars_of_record()).unwrap();
    let kinds = schema["$defs"]["Event"]["oneOf"].as_array().unwrap();
    assert!(kinds.len() >= 24, "the schema lists the events");
    for kind in kinds {
        let kind = kind["required"][0].as_str().unwrap();
        assert!(names.contains(kind), "no sample of {kind}: add a command to STORY that makes one");
    }
    let refusals = schema["$defs"]["Rejection"].to_string();
    for name in names.iter().filter_map(|name| name.strip_prefix("refused_")) {
        assert!(refusals.contains(name), "{name} is not in the schema");
    }
}

fn schemars_of_record() -> schemars::Schema {
    json_schemas().into_iter().find(|(name, _)| name.starts_with("record")).expect("it is published").1
}

#[test]
fn samples_encode_to_their_golden_bytes_and_back() {
    let folder = root().join("tests/golden/v3");
    for (name, record) in samples() {
        let bytes = encoded(&record);
        let json = serde_json::to_string_pretty(&record).unwrap() + "\n";
        let (bin_path, json_path) = (folder.join(format!("{name}.bin")), folder.join(format!("{name}.json")));
        if blessing() && !bin_path.exists() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&bin_path, &bytes).unwrap();
            fs::write(&json_path, &json).unwrap();
        }
        let golden = fs::read(&bin_path).unwrap_or_else(|e| panic!("{}: {e}; bless it", bin_path.display()));
        assert_eq!(bytes, golden, "{name} is not encoded as it was released");
        assert_eq!(json, fs::read_to_string(&json_path).unwrap(), "{name} is not shown as it was released");
    }
}

#[test]
fn every_golden_sample_decodes_in_both_encodings() {
    let mut count = 0;
    for version in fs::read_dir(root().join("tests/golden")).unwrap() {
        for file in fs::read_dir(version.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "bin") {
                let bytes = fs::read(&path).unwrap();
                let record = decode_record(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                assert_eq!(encoded(&record), bytes, "{}", path.display());
                let json = fs::read_to_string(path.with_extension("json")).unwrap();
                assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record, "{}", path.display());
                count += 1;
            }
        }
    }
    assert!(count >= 38, "{count} samples");
}

/// Commands that leave something of everything that a state can hold.
const UNFINISHED_STORY: &[&str] = &[
    STORY[0],
    STORY[1],
    STORY[2],
    STORY[3],
    STORY[4],
    r#"{"id":"h1","hold":{"user":"u1","provider":"arcade","coins":100,"deadline":"2026-01-02T00:00:00Z"}}"#,
    r#"{"id":"s1","send":{"order":{"user":"u1","name":{"command":"h1"}}}}"#,
    r#"{"id":"k1","chargeback":{"channel":"apple","transaction":"T/1:a"}}"#,
    r#"{"id":"x1","group":[{"grant":{"user":"u2","coins":4,"reason":"r"}},{"grant":{"user":"u2","coins":5,"reason":"r"}}]}"#,
    r#"{"id":"v2","publish":{"version":2,"part":0,"last":false,"from":"2026-02-01T00:00:00Z","changes":[{"item":{"item":"car","price":1000,"value":900}}]}}"#,
    r#"{"id":"t2","top_up":{"user":"u3","channel":"apple","transaction":"T/2","coins":70,"paid":{"currency":"CNY","amount":"0.70"}}}"#,
];

#[test]
fn a_snapshot_has_its_golden_bytes() {
    let world = World::new(3);
    for line in UNFINISHED_STORY {
        let answer = world.say(line);
        assert!(matches!(answer, ledger::Answer::Taken(_)), "{line}: {answer:?}");
        world.advance_millis(1);
    }
    // Up to the last claim, whose credit is under way then.
    let reader = world.engine().reader();
    let frames: Vec<_> = reader.frames(Check::Full).map(Result::unwrap).collect();
    let mut snapshot = Snapshot::beginning(&reader);
    frames[..frames.len() - 1].iter().for_each(|frame| snapshot.take(frame));
    let users = || snapshot.states.iter().flat_map(ledger::State::users).map(|(_, user)| user);
    assert!(users().any(|user| user.wallet().debt() > 0) && users().any(|user| user.open_orders().next().is_some()));
    assert!(users().any(|user| user.wallet().lots().count() > 1) && snapshot.pending.len() == 1);
    // What differs from ledger to ledger, and with the log's compression.
    snapshot.head.lineage = "01a1fd3c-7c90-708e-af3d-cd80014c9144".parse().unwrap();
    snapshot.next = (0x1234_5678_u64 << 20).into();

    let disk = SimDisk::new(0);
    snapshot.write(&disk, "story.snap").unwrap();
    let bytes = disk.read("story.snap").unwrap();
    let path = root().join("tests/golden/snapshot_v2/story.snap");
    if blessing() && !path.exists() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &bytes).unwrap();
    }
    let golden = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}; bless it", path.display()));
    assert_eq!(bytes, golden, "a snapshot is not written as it was released");
    let disk = SimDisk::with(0, &[("story.snap".to_owned(), golden)].into());
    assert_eq!(Snapshot::read(&disk, "story.snap").unwrap(), snapshot);
}

#[test]
fn a_record_cut_short_or_followed_by_anything_is_no_record() {
    for (name, record) in samples() {
        let mut bytes = encoded(&record);
        for length in 0..bytes.len() {
            assert!(decode_record(&bytes[..length]).is_err(), "{name} cut at {length} was read");
        }
        bytes.push(0);
        assert!(decode_record(&bytes).is_err(), "{name} with a byte behind it was read");
        bytes[0] += 1;
        let error = decode_record(&bytes).unwrap_err().to_string();
        assert!(error.contains("use a newer release"), "{error}");
        bytes[0] = 1;
        let error = decode_record(&bytes).unwrap_err().to_string();
        assert!(error.contains("from before the first release"), "{error}");
    }
}

#[test]
fn published_schemas_are_those_of_the_types() {
    for (name, schema) in json_schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let path = root().join("schemas/json").join(name);
        if blessing() {
            fs::write(&path, &text).unwrap();
        }
        let published = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}; bless it", path.display()));
        assert!(text == published, "{} has drifted from the types; bless it", path.display());
    }
}

#[test]
fn samples_and_commands_are_valid_by_the_published_schemas() {
    let schemas = json_schemas();
    let validator = |name: &str| {
        let (_, schema) = schemas.iter().find(|(file, _)| *file == name).expect("it is published");
        jsonschema::validator_for(&serde_json::to_value(schema).unwrap()).unwrap()
    };
    let (commands, records) = (validator("command.schema.json"), validator("record.schema.json"));
    for line in STORY {
        let command = serde_json::from_str(line).unwrap();
        assert!(commands.is_valid(&command), "{line}: {:?}", commands.iter_errors(&command).next());
    }
    let wrong = serde_json::json!({"id": "a", "gift": {"user": "u1"}});
    assert!(!commands.is_valid(&wrong), "a gift without an item is valid by the schema");
    for (name, record) in samples() {
        let record = serde_json::to_value(&record).unwrap();
        assert!(records.is_valid(&record), "{name}: {:?}", records.iter_errors(&record).next());
    }
}

#[test]
fn the_kind_of_an_event_is_its_name_in_json() {
    for (name, record) in samples() {
        if let Body::Event(event) = &record.body {
            let json = serde_json::to_value::<&Event>(event).unwrap();
            assert_eq!(json.as_object().unwrap().keys().next().unwrap(), event.kind(), "{name}");
            assert!(Event::KINDS.contains(&event.kind()), "{name}");
        } else if let Body::Rejection(rejection) = &record.body {
            let json = serde_json::to_string(rejection).unwrap();
            assert!(json.contains(rejection.code()), "{json}");
        }
    }
}
