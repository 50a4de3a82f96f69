//! Changes something right in one place into what callers get wrong.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Stands before a name that is to be written a second time.
const AGAIN: char = '\u{1}';

/// Texts that look like something.
const TEXTS: &[&str] = &[
    "",
    " ",
    "u1",
    "a b",
    "house",
    "送礼",
    "null",
    "9007199254740991",
    // Amounts and shares.
    "0",
    "-0",
    "10",
    "-10",
    "10.00",
    "10.001",
    "1__0",
    "1_000",
    "10.",
    ".5",
    "+10",
    "010",
    "1e2",
    "0.45",
    "1.5",
    "1,000",
    // Times and days.
    "2026-11-21T08:30:00Z",
    "2026-11-21T08:30:00.123456789+08:00",
    "2026-11-21t08:30:00z",
    "2026-11-21 08:30:00Z",
    "2026-11-21T08:30:60Z",
    "2026-02-30T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:00+08:00",
    "2262-04-11T23:47:16.854775808Z",
    "9999-12-31T23:59:59Z",
    "2026-11-21",
    "2026-1-1",
    "2026-02-30",
    "9999-12-31",
    // Numbers of orders and lots, subjects, currencies, zones.
    "3-17",
    "3-17.2",
    "3-017",
    "3-17.0",
    "70000-1",
    "3-99999999999999999999",
    "3-17.256",
    "17",
    "17.2",
    "user:u1",
    "shard:7",
    "shard:07",
    "reference",
    "claim:transaction:apple/T/1",
    "CNY",
    "cny",
    "XXQ",
    "JPY",
    "UTC",
    "Asia/Shanghai",
    "Mars/Base",
];

/// What `value` becomes when something in it is changed.
pub fn mutated(mut value: Value, random: &mut ChaCha8Rng) -> Value {
    let count = count(&value);
    let nth = random.random_range(0..count);
    change(&mut value, nth, random);
    value
}

/// As JSON, with the names written twice that were marked.
pub fn written(value: &Value) -> String {
    value.to_string().replace(&json!(AGAIN).to_string()[..7], "\"")
}

fn count(value: &Value) -> usize {
    1 + children(value).map(count).sum::<usize>()
}

fn children(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(elements) => Box::new(elements.iter()),
        Value::Object(entries) => Box::new(entries.values()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Changes the `nth` of the values in `value`, itself counted first.
fn change(value: &mut Value, mut nth: usize, random: &mut ChaCha8Rng) {
    if nth == 0 {
        *value = changed(std::mem::take(value), random);
        return;
    }
    nth -= 1;
    let below: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(elements) => Box::new(elements.iter_mut()),
        Value::Object(entries) => Box::new(entries.values_mut()),
        _ => return,
    };
    for child in below {
        let inside = count(child);
        if nth < inside {
            return change(child, nth, random);
        }
        nth -= inside;
    }
}

fn changed(value: Value, random: &mut ChaCha8Rng) -> Value {
    match value {
        Value::Object(entries) if random.random_range(0..8) > 0 => in_object(entries, random),
        Value::Array(elements) if random.random_range(0..4) > 0 => in_array(elements, random),
        value => instead(value, random),
    }
}

fn in_object(mut entries: serde_json::Map<String, Value>, random: &mut ChaCha8Rng) -> Value {
    let name = entries.keys().nth(random.random_range(0..entries.len().max(1))).cloned();
    let name = name.unwrap_or_else(|| "name".to_owned());
    match random.random_range(0..7) {
        0 => return entries.into_iter().map(|(_, value)| value).collect(),
        1 => drop(entries.insert("colour".to_owned(), "red".into())),
        2 => drop(entries.remove(&name)),
        3 => drop(entries.insert(format!("{name}s"), Value::Null)),
        4 => drop(entries.insert(name, Value::Null)),
        5 => {
            let value = entries.get(&name).cloned().unwrap_or_default();
            entries.insert(format!("{AGAIN}{name}"), value);
        }
        _ => {
            let other = ["gift", "grant", "credit", "expire_hold", "bonus", "paid", "number", "id"];
            let value = entries.remove(&name).unwrap_or_default();
            entries.insert(other[random.random_range(0..other.len())].to_owned(), value);
        }
    }
    entries.into()
}

fn in_array(mut elements: Vec<Value>, random: &mut ChaCha8Rng) -> Value {
    match random.random_range(0..4) {
        0 => elements.clear(),
        1 => {
            let first = elements.first().cloned();
            elements.extend(first);
        }
        2 => elements = elements.into_iter().cycle().take(random.random_range(60..70)).collect(),
        _ => elements.push(Value::Null),
    }
    elements.into()
}

/// Something of another kind, or of the same at its limits.
fn instead(value: Value, random: &mut ChaCha8Rng) -> Value {
    match random.random_range(0..22) {
        0 => Value::Null,
        1 => true.into(),
        2 => 0.into(),
        3 => 1.into(),
        4 => (-1).into(),
        5 => 1.0.into(),
        6 => 1.5.into(),
        7 => 1e30.into(),
        8 => u64::MAX.into(),
        9 => (1_u64 << 53).into(),
        10 => (1_u64 << 32).into(),
        11 => "x".repeat(200).into(),
        12 => "x".repeat(201).into(),
        13 => "é".repeat(150).into(),
        14 => json!([]),
        15 => json!({}),
        16 => json!([value]),
        17 => json!({"name": value}),
        18 => (0..20).fold(value, |inner, _| json!([inner])),
        19 => match value {
            Value::String(text) => text.parse::<f64>().map_or(Value::Null, Value::from),
            value => value.to_string().into(),
        },
        _ => TEXTS[random.random_range(0..TEXTS.len())].into(),
    }
}
