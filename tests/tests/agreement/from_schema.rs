//! Makes what a schema admits, of the part of JSON Schema that ours use. What stands beside a `$ref` only
//! narrows it and is passed over, so now and then something is made that is not admitted: the judge knows.

use std::collections::HashMap;

use proptest::{
    strategy::{SBoxedStrategy, Strategy, ValueTree},
    string::string_regex,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

/// Deeper than this, what may be left out is.
const DEPTH: usize = 8;

pub struct FromSchema {
    schema: Value,
    patterns: HashMap<String, SBoxedStrategy<String>>,
}

impl FromSchema {
    pub fn new(schema: Value) -> Self {
        Self { schema, patterns: HashMap::new() }
    }

    pub fn generate(&mut self, random: &mut ChaCha8Rng) -> Value {
        let schema = self.schema.clone();
        self.of(&schema, random, 0)
    }

    fn of(&mut self, schema: &Value, random: &mut ChaCha8Rng, depth: usize) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let definition = self.schema.pointer(&reference[1..]).expect("a definition").clone();
            return self.of(&definition, random, depth + 1);
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        let one_of = ["oneOf", "anyOf", "enum"].iter().find_map(|key| schema[*key].as_array());
        let chosen = one_of.map(|choices| {
            // Deep down, what is small: a text before an object, nothing before something.
            let small = choices.iter().find(|c| c["type"] == "null" || c["type"] == "string");
            let few = if depth > DEPTH { small } else { None };
            few.unwrap_or_else(|| &choices[random.random_range(0..choices.len())])
        });
        if let (Some(chosen), None) = (chosen, schema.get("properties")) {
            return if schema.get("enum").is_some() { chosen.clone() } else { self.of(chosen, random, depth) };
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => kinds[random.random_range(0..kinds.len())].clone(),
            kind => kind.clone(),
        };
        match kind.as_str() {
            Some("null") => Value::Null,
            Some("boolean") => random.random::<bool>().into(),
            Some("integer") => Self::integer(schema, random),
            Some("string") => self.string(schema, random).into(),
            Some("array") => self.array(schema, random, depth),
            Some("object") => {
                let mut object = self.object(schema, random, depth);
                if let Some(Value::Object(more)) = chosen.map(|chosen| self.of(chosen, random, depth)) {
                    object.extend(more);
                }
                object.into()
            }
            _ => panic!("a schema that the generator does not know: {schema}"),
        }
    }

    fn integer(schema: &Value, random: &mut ChaCha8Rng) -> Value {
        let number = |key: &str| schema[key].as_i64().map(i128::from).or(schema[key].as_u64().map(i128::from));
        let least = number("minimum").expect("every number has a least");
        let most = number("maximum").expect("every number has a most");
        let small = most.min(least.max(0) + 1_000);
        let chosen = match random.random_range(0..8) {
            0 => least,
            1 => most,
            2 => random.random_range(least..=most),
            _ => random.random_range(least.max(-1_000)..=small),
        };
        u64::try_from(chosen).map_or_else(|_| i64::try_from(chosen).expect("of 64 bits").into(), Value::from)
    }

    fn string(&mut self, schema: &Value, random: &mut ChaCha8Rng) -> String {
        let pattern = schema["pattern"].as_str().unwrap_or("[A-Z][a-z]{1,12}");
        let bare = pattern.trim_start_matches('^').trim_end_matches('$');
        let strategy = self.patterns.entry(bare.to_owned());
        let strategy = strategy.or_insert_with(|| string_regex(bare).expect("a pattern").sboxed());
        let mut seed = [0; 32];
        random.fill_bytes(&mut seed);
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let text = strategy.new_tree(&mut runner).expect("a text").current();
        match schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok()) {
            // The longest there are, too: of an id's characters any number are an id.
            Some(most) if random.random_range(0..8) == 0 => text.chars().cycle().take(most).collect(),
            Some(most) => text.chars().take(most).collect(),
            None => text,
        }
    }

    fn array(&mut self, schema: &Value, random: &mut ChaCha8Rng, depth: usize) -> Value {
        let least = schema["minItems"].as_u64().unwrap_or(0);
        let most = if depth > DEPTH { least } else { least + 3 };
        let count = random.random_range(least..=most.min(schema["maxItems"].as_u64().unwrap_or(most)));
        (0..count).map(|_| self.of(&schema["items"], random, depth + 1)).collect()
    }

    fn object(&mut self, schema: &Value, random: &mut ChaCha8Rng, depth: usize) -> Map<String, Value> {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let mut object = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let needed = required.contains(&json!(name));
            if needed || (depth <= DEPTH && random.random::<bool>()) {
                object.insert(name.clone(), self.of(property, random, depth + 1));
            }
        }
        object
    }
}
