//! JSON Schemas of what callers send and consumers read, generated from the types.

use schemars::{Schema, schema_for};

use crate::{Envelope, Record, reference::Change};

/// Every published schema with the name of its file.
pub fn json_schemas() -> [(&'static str, Schema); 3] {
    [
        ("command.schema.json", schema_for!(Envelope)),
        ("record.schema.json", schema_for!(Record)),
        ("change.schema.json", schema_for!(Change)),
    ]
}
