//! Standard Webhooks: what proves to a receiver who pushed, and when.
//!
//! `webhook-signature` is `v1,` and the base64 of the HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>`; the
//! key are the bytes whose base64 stands behind `whsec_`.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::super::definition::Secret;

/// The signature of a body that is sent under an id at a second since 1970.
pub(super) fn signature(secret: &Secret, id: &str, seconds: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("HMAC takes a key of any length");
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}
