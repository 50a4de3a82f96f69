//! The record decoder.

use schemas::{Record, decode_record, encode_record};

/// Any bytes as a record. What decodes encodes to the same bytes, and its JSON reads back equal.
///
/// # Panics
/// If it does not.
pub fn record(bytes: &[u8]) {
    let Ok(record) = decode_record(bytes) else { return };
    let mut again = Vec::new();
    encode_record(&record, &mut again);
    assert_eq!(again, bytes, "{record:?}");
    let json = serde_json::to_string(&record).expect("every record has a JSON form");
    let read: Record = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(read, record, "{json}");
}
