//! The platform file as JSON: the same sections under the same names, shares, days and times as texts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemas::{
    Change, Coins, Entity, GiftItem, GuildTerms, ItemId, Malformed, Membership, StreamerTerms, Timestamp, read_json,
};
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PlatformFile")]
pub struct Sections {
    entity: Option<Entity>,
    #[serde(default)]
    item: Vec<Item>,
    #[serde(default)]
    streamer: Vec<StreamerTerms>,
    #[serde(default)]
    guild: Vec<GuildTerms>,
    #[serde(default)]
    membership: Vec<Membership>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PlatformItem")]
struct Item {
    #[serde(rename = "item")]
    id: ItemId,
    price: Coins,
    value: Option<Coins>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

/// Reads the reference data, in the order of a file in TOML.
///
/// # Errors
/// Says where what is wrong: `item[3].price`.
pub fn changes(text: &str) -> Result<Vec<Change>, Malformed> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Sections { entity, item, streamer, guild, membership } = read_json(text.as_bytes())?;
    let mut checked = Checked::default();
    if let Some(entity) = entity {
        checked.take("entity", None, Change::Entity(entity))?;
    }
    for (nth, Item { id, price, value, from, until }) in item.into_iter().enumerate() {
        let item = GiftItem { item: id, price, value: value.unwrap_or(price), from, until };
        checked.take("item", Some(nth), Change::Item(item))?;
    }
    for (nth, terms) in streamer.into_iter().enumerate() {
        checked.take("streamer", Some(nth), Change::Streamer(terms))?;
    }
    for (nth, terms) in guild.into_iter().enumerate() {
        checked.take("guild", Some(nth), Change::Guild(terms))?;
    }
    for (nth, one) in membership.into_iter().enumerate() {
        checked.take("membership", Some(nth), Change::Membership(one))?;
    }
    Ok(checked.changes)
}

/// Changes that no publish forbids, each of something else.
#[derive(Default)]
struct Checked {
    changes: Vec<Change>,
    /// What was named, and where.
    seen: BTreeMap<String, String>,
}

impl Checked {
    fn take(&mut self, section: &str, nth: Option<usize>, change: Change) -> Result<(), Malformed> {
        let path = nth.map_or_else(|| section.to_owned(), |nth| format!("{section}[{nth}]"));
        // A change names its own kind, which is the section's name.
        let within = |malformed: Malformed| {
            let field = malformed.path.as_deref().and_then(|path| path.strip_prefix(section)).unwrap_or_default();
            let said = malformed.message.strip_prefix(malformed.path.as_deref().unwrap_or_default());
            let path = format!("{path}{field}");
            Malformed { message: format!("{path}{}", said.unwrap_or_default()), path: Some(path), ..malformed }
        };
        change.check().map_err(within)?;
        if let Some(earlier) = self.seen.insert(change.title(), path.clone()) {
            return Err(Malformed::rule(path, format!("{} stands here and at {earlier}", change.title())));
        }
        self.changes.push(change);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::parsing::tests, *};

    const WHOLE: &str = r#"{
        "entity": {"currency": "CNY", "zone": "Asia/Shanghai", "coins_per_unit": 100},
        "item": [
            {"item": "rose", "price": 10, "value": 9, "from": "2026-11-01T00:00:00+08:00", "until": "2026-12-01T00:00:00Z"},
            {"item": "car", "price": 1000}
        ],
        "streamer": [{"share": "0.45", "from": "2026-11-01"},
                     {"streamer": "s1", "share": "0.500", "from": "2026-11-16"}],
        "guild": [{"guild": "g1", "share": "0.1", "from": "2026-11-01"}],
        "membership": [{"streamer": "s1", "guild": "g1", "from": "2026-11-01"},
                       {"streamer": "s1", "from": "2026-11-16"}]
    }"#;

    #[test]
    fn json_and_toml_say_the_same() {
        assert_eq!(changes(WHOLE).unwrap(), tests::parse(tests::WHOLE).unwrap());
        assert_eq!(changes("{}").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_path() {
        let item = |rest: &str| format!(r#"{{"item": [{{"item": "a", "price": 1}}, {{"item": "rose"{rest}}}]}}"#);
        for (text, path, said) in [
            (item(r#", "price": 0"#), "item[1].price", "at least 1"),
            (item(r#", "price": -1"#), "item[1].price", "found -1"),
            (item(r#", "price": 1, "colour": "red""#), "item[1].colour", "nothing is known by the name `colour`"),
            (item(""), "item[1].price", "is missing"),
            (
                item(r#", "price": 1, "from": "2026-11-02T00:00:00Z", "until": "2026-11-02T00:00:00Z""#),
                "item[1].until",
                "a time after its `from`",
            ),
            (item(r#", "price": 1}, {"item": "a", "price": 2"#), "item[2]", "item a stands here and at item[0]"),
            (r#"{"guild": [{"guild": "g", "share": "1.1", "from": "2026-11-01"}]}"#.into(), "guild[0].share", "1.1"),
            (
                r#"{"streamer": [{"streamer": "house", "share": "0.1", "from": "2026-11-01"}]}"#.into(),
                "streamer[0].streamer",
                "`house` is reserved",
            ),
            (
                r#"{"entity": {"currency": "USD", "zone": "UTC", "coins_per_unit": 0}}"#.into(),
                "entity.coins_per_unit",
                "at least 1",
            ),
        ] {
            let wrong = changes(&text).unwrap_err();
            assert_eq!(wrong.path.as_deref(), Some(path), "{text}: {wrong}");
            assert!(wrong.message.starts_with(path) && wrong.message.contains(said), "{text}: {wrong}");
        }
        assert!(changes("{").unwrap_err().message.contains("cannot be read as JSON"));
    }
}
