//! The document is what the router does: every route is asked, well and badly, on a ledger that runs, and every answer
//! is one that the document says. What a checker from outside would try is tried here.

mod codes;
mod requests;
mod world;

use std::{env, fs, path::PathBuf};

use serde_json::Value;

use super::{document, examples, text};

fn committed(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("schemas/json").join(name)
}

#[test]
fn published_documents_are_those_of_the_routes() {
    for (name, document) in [
        ("openapi.json", document::document()),
        ("answer.schema.json", document::answer_schema()),
        ("event.schema.json", document::event_schema()),
    ] {
        let (path, made) = (committed(name), text(&document));
        if env::var_os("GIFTLEDGER_BLESS").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let published = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}; bless it", path.display()));
        assert!(made == published, "{} has drifted from the routes; bless it", path.display());
    }
}

/// Every reference leads somewhere, and no type is there that nothing names.
#[test]
fn references_of_the_document_are_whole() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(all) => all.iter().for_each(|one| references(one, found)),
            _ => {}
        }
    }
    let document = document::document();
    let mut found = Vec::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads outside"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(found.contains(&&*format!("#/components/schemas/{name}")), "nothing names {name}");
    }
}

#[test]
fn examples_are_valid_by_their_schemas() {
    let world = world::Document::new();
    let document = &world.document;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let said = |status: &str| format!("/paths/{}/{method}/responses/{status}/content", world::escaped(path));
            for status in operation["responses"].as_object().unwrap().keys() {
                world.check_examples(&said(status));
            }
            world.check_examples(&format!("/paths/{}/{method}/requestBody/content", world::escaped(path)));
        }
    }
    for status in document["components"]["responses"].as_object().unwrap().keys() {
        world.check_examples(&format!("/components/responses/{status}/content"));
    }
    assert_eq!(examples::commands().len(), 9);
}
