//! Anchors: signed statements of how far a ledger was, kept elsewhere, by which a log that was cut or
//! rewritten, hashes and all, is found out.
//!
//! ```json
//! {"anchor":1,"lineage":"…","time":"2026-11-21T08:00:00Z","shards":[{"sequence":7,"hash":"…"}],
//!  "public_key":"<64 hex digits>","signature":"<128 hex digits>"}
//! ```
//!
//! One line each; `shards` stand in order from shard 0. The signature is Ed25519 (RFC 8032, no prehash,
//! no context) over these bytes, ASCII, every line ended by one `\n`, so that any language can check it:
//!
//! ```text
//! giftledger anchor 1
//! lineage <UUID as in the JSON: lower case, with hyphens>
//! time <as in the JSON: RFC 3339, UTC, ending in Z>
//! shard 0 <sequence, decimal> <hash, 64 lower-case hex digits>
//! shard 1 …
//! ```
//!
//! A key file holds `{"ed25519_secret_key":"<64 hex digits>","ed25519_public_key":"<64 hex digits>"}`;
//! the secret key is RFC 8032's 32-byte seed.

use std::{fmt, fmt::Write as _, str::FromStr};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use ledger::log::{Head, Reader, ShardHead};
use rand::{TryRng, rngs::SysRng};
use schemas::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The version of the form, and of the signed bytes.
const VERSION: u32 = 1;

/// What a check of anchors is called among the proofs.
pub const ANCHORS: &str = "anchors";

/// A statement of how far a ledger was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Of the form.
    pub anchor: u32,
    /// The ledger's.
    pub lineage: Uuid,
    /// When it was made.
    pub time: Timestamp,
    /// Each shard, from 0.
    pub shards: Vec<ShardHead>,
    /// Who says so. Missing where nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PublicKey>,
    /// 64 bytes in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// Why an anchor proves nothing, or proves that the log is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No anchor.
    #[error("it is no anchor: {0}")]
    NotAnAnchor(String),
    /// Of a later release.
    #[error("it has version {0}, this release reads {VERSION}; use a newer release")]
    NewerVersion(u32),
    /// Without a signature or a key.
    #[error("it is not signed")]
    Unsigned,
    /// The signature is not of these bytes by this key.
    #[error("its signature is not of what it says: it was changed, or not signed with {0}")]
    WrongSignature(PublicKey),
    /// Signed by somebody else.
    #[error("it is signed with {found}, not with {expected}")]
    OtherKey {
        /// Who should have signed.
        expected: PublicKey,
        /// Who did.
        found: PublicKey,
    },
    /// Of another ledger.
    #[error("it is of ledger {found}, this one is {expected}")]
    Foreign {
        /// This ledger's lineage.
        expected: Uuid,
        /// The anchor's.
        found: Uuid,
    },
    /// It speaks of records that a restore or a repair has cut off.
    #[error(
        "shard {shard} had reached {sequence}; the ledger was cut at {cut_at} since, by a restore or a repair, and has another \
         lineage: records that had been answered are lost"
    )]
    BehindCut {
        /// The shard.
        shard: u16,
        /// What was reached.
        sequence: u64,
        /// What was left.
        cut_at: u64,
    },
    /// The log is shorter than it was.
    #[error("shard {shard} had reached {sequence}, and the log does not: its end was cut off")]
    Shorter {
        /// The shard.
        shard: u16,
        /// What was reached.
        sequence: u64,
    },
    /// The log has other records than it had.
    #[error("the records of shard {shard} up to {sequence} have another hash than they had: the log was rewritten")]
    Rewritten {
        /// The shard.
        shard: u16,
        /// Where the hash differs.
        sequence: u64,
    },
    /// Another number of shards.
    #[error("it has {found} shards, the ledger {expected}")]
    Shards {
        /// The ledger's.
        expected: usize,
        /// The anchor's.
        found: usize,
    },
    /// The log cannot be read there.
    #[error("{0}")]
    Unreadable(String),
}

/// How an anchor holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// The log has exactly these records.
    Exactly,
    /// So it has, and it lost others behind them since: the anchor is of the lineage before.
    BeforeTheCut,
}

impl Anchor {
    /// Signs how far a ledger is.
    pub fn sign(head: &Head, time: Timestamp, key: &SecretKey) -> Self {
        let mut anchor = Self {
            anchor: VERSION,
            lineage: head.lineage,
            time,
            shards: head.shards.clone(),
            public_key: Some(key.public_key()),
            signature: None,
        };
        anchor.signature = Some(to_hex(&key.0.sign(&anchor.signed_bytes()).to_bytes()));
        anchor
    }

    /// Reads a line.
    ///
    /// # Errors
    /// [`Fault::NotAnAnchor`], [`Fault::NewerVersion`].
    pub fn parse(line: &str) -> Result<Self, Fault> {
        let not_an_anchor = |error: serde_json::Error| Fault::NotAnAnchor(error.to_string());
        let value: serde_json::Value = serde_json::from_str(line).map_err(not_an_anchor)?;
        let version = value.get("anchor").and_then(serde_json::Value::as_u64).and_then(|n| u32::try_from(n).ok());
        match version {
            Some(VERSION) => serde_json::from_value(value).map_err(not_an_anchor),
            Some(newer) if newer > VERSION => Err(Fault::NewerVersion(newer)),
            _ => Err(Fault::NotAnAnchor("it does not begin with \"anchor\":1".to_owned())),
        }
    }

    /// The bytes that are signed.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut text = format!("giftledger anchor {}\nlineage {}\ntime {}\n", self.anchor, self.lineage, self.time);
        for (shard, head) in self.shards.iter().enumerate() {
            writeln!(text, "shard {shard} {} {}", head.sequence, head.hash).expect("a string takes everything");
        }
        text.into_bytes()
    }

    /// Checks the signature, and that it is the expected key's, if one is expected. Gives the key that
    /// signed; whose it is, is proven only where one was expected.
    ///
    /// # Errors
    /// [`Fault::Unsigned`], [`Fault::OtherKey`], [`Fault::WrongSignature`].
    pub fn check_signature(&self, expected: Option<&PublicKey>) -> Result<PublicKey, Fault> {
        let (Some(key), Some(signature)) = (self.public_key, &self.signature) else { return Err(Fault::Unsigned) };
        if let Some(&expected) = expected.filter(|&&expected| expected != key) {
            return Err(Fault::OtherKey { expected, found: key });
        }
        let signature = from_hex::<64>(signature).map(|bytes| Signature::from_bytes(&bytes));
        let verifier = VerifyingKey::from_bytes(&key.0).ok();
        let valid = signature
            .zip(verifier)
            .is_some_and(|(signature, verifier)| verifier.verify_strict(&self.signed_bytes(), &signature).is_ok());
        if valid { Ok(key) } else { Err(Fault::WrongSignature(key)) }
    }

    /// Checks that a log has exactly these hashes at these sequences.
    ///
    /// # Errors
    /// What the log has instead.
    pub fn check_log(&self, reader: &mut Reader) -> Result<Holds, Fault> {
        let unreadable = |error: ledger::Error| Fault::Unreadable(error.to_string());
        let head = reader.head();
        let (expected, found) = (head.shards.len(), self.shards.len());
        let mut holds = Holds::Exactly;
        if self.lineage != head.lineage {
            let former = reader.former_lineages().map_err(unreadable)?;
            let Some(former) = former.into_iter().find(|former| former.lineage == self.lineage) else {
                return Err(Fault::Foreign { expected: head.lineage, found: self.lineage });
            };
            holds = Holds::BeforeTheCut;
            let cut = former.sequences.unwrap_or_default();
            for (shard, (stated, cut_at)) in (0..).zip(self.shards.iter().zip(cut)) {
                if stated.sequence > cut_at {
                    return Err(Fault::BehindCut { shard, sequence: stated.sequence, cut_at });
                }
            }
        }
        if expected != found {
            return Err(Fault::Shards { expected, found });
        }
        for (shard, stated) in (0..).zip(&self.shards) {
            let sequence = stated.sequence;
            match reader.hash_at(shard, sequence).map_err(unreadable)? {
                None => return Err(Fault::Shorter { shard, sequence }),
                Some(hash) if hash != stated.hash => return Err(Fault::Rewritten { shard, sequence }),
                Some(_) => {}
            }
        }
        Ok(holds)
    }
}

/// Who signs.
pub struct SecretKey(SigningKey);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    ed25519_secret_key: String,
    ed25519_public_key: PublicKey,
}

impl SecretKey {
    /// A new key, from the system's randomness.
    ///
    /// # Errors
    /// If the system has none.
    pub fn generate() -> std::io::Result<Self> {
        let mut seed = [0; 32];
        SysRng.try_fill_bytes(&mut seed).map_err(std::io::Error::other)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// What a key file says; `None` if it is none, or its two keys do not belong together.
    pub fn parse(text: &str) -> Option<Self> {
        let file: KeyFile = serde_json::from_str(text).ok()?;
        let key = Self(SigningKey::from_bytes(&from_hex(&file.ed25519_secret_key)?));
        (key.public_key() == file.ed25519_public_key).then_some(key)
    }

    /// The content of its key file.
    pub fn to_file(&self) -> String {
        let ed25519_secret_key = to_hex(self.0.as_bytes());
        let file = KeyFile { ed25519_secret_key, ed25519_public_key: self.public_key() };
        serde_json::to_string(&file).expect("a key has a JSON form") + "\n"
    }

    /// By which others know it.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

/// Whom one believes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// From 64 hex digits, or from the content of a key file.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        text.parse().ok().or_else(|| serde_json::from_str::<KeyFile>(text).ok().map(|file| file.ed25519_public_key))
    }
}

impl FromStr for PublicKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        from_hex(text).map(Self).ok_or_else(|| format!("{text:?} is not a public key of 64 hexadecimal digits"))
    }
}
impl TryFrom<String> for PublicKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        to_hex(&key.0)
    }
}
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Exactly `N` bytes in lower-case hex digits.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let plain = text.len() == 2 * N && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)).take(if plain { N } else { 0 }) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    plain.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature was made by another implementation, Python's `cryptography`, from the bytes as the
    /// module's documentation has them. They never change for a version.
    #[test]
    fn the_signed_bytes_are_fixed() {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"; // RFC 8032, 7.1, test 1
        let file = format!(r#"{{"ed25519_secret_key":"{seed}","ed25519_public_key":"{public}"}}"#);
        let key = SecretKey::parse(&file).unwrap();
        assert_eq!(key.to_file().trim_end(), file);
        let shards = vec![ShardHead::default(), ShardHead { sequence: 7, hash: "ab".repeat(32).parse().unwrap() }];
        let head = Head { lineage: "0199aa00-0000-7000-8000-000000000001".parse().unwrap(), shards };
        let time = "2026-11-21T08:00:00.5Z".parse().unwrap();
        let anchor = Anchor::sign(&head, time, &key);
        let zeros = "0".repeat(64);
        let hash = "ab".repeat(32);
        let expected = format!(
            "giftledger anchor 1\nlineage 0199aa00-0000-7000-8000-000000000001\ntime 2026-11-21T08:00:00.500Z\n\
             shard 0 0 {zeros}\nshard 1 7 {hash}\n"
        );
        assert_eq!(String::from_utf8(anchor.signed_bytes()).unwrap(), expected);
        assert_eq!(anchor.signature.as_deref(), Some(SIGNATURE));
        assert_eq!(anchor.check_signature(Some(&public.parse().unwrap())), Ok(key.public_key()));
    }

    const SIGNATURE: &str = "3f33d0bbc20d3a6ae4f5af9d6bb8491dee2f9c9434a6b4ff05567cb7fe78004f\
                             ad767df58b0ee9765c431e8f0c86721c984865a28d4f885dd6486a1a20cc1200";

    #[test]
    fn whatever_is_changed_the_signature_is_not_of_it() {
        let key = SecretKey::generate().unwrap();
        let shards = vec![ShardHead { sequence: 7, hash: "ab".repeat(32).parse().unwrap() }];
        let head = Head { lineage: Uuid::from_u128(1), shards };
        let anchor = Anchor::sign(&head, Timestamp::from_nanos(1), &key);
        let line = serde_json::to_string(&anchor).unwrap();
        assert_eq!(Anchor::parse(&line), Ok(anchor.clone()));
        let other = SecretKey::generate().unwrap().public_key();
        let fault = anchor.check_signature(Some(&other)).unwrap_err();
        assert_eq!(fault, Fault::OtherKey { expected: other, found: key.public_key() });
        let changes: [fn(&mut Anchor, PublicKey); 6] = [
            |anchor, _| anchor.lineage = Uuid::from_u128(2),
            |anchor, _| anchor.time = Timestamp::from_nanos(2),
            |anchor, _| anchor.shards[0].sequence = 8,
            |anchor, _| anchor.shards[0].hash.0[31] ^= 1,
            |anchor, _| anchor.shards.push(ShardHead::default()),
            |anchor, other| anchor.public_key = Some(other),
        ];
        for change in changes {
            let mut changed = anchor.clone();
            change(&mut changed, other);
            assert!(matches!(changed.check_signature(None), Err(Fault::WrongSignature(_))), "{changed:?}");
        }
        for unsigned in [Anchor { public_key: None, ..anchor.clone() }, Anchor { signature: None, ..anchor }] {
            assert_eq!(unsigned.check_signature(None), Err(Fault::Unsigned));
        }
        assert_eq!(Anchor::parse(&line.replace(r#""anchor":1"#, r#""anchor":2"#)), Err(Fault::NewerVersion(2)));
        for none in ["", "{}", "[]", &line.replace("lineage", "line"), &line[1..]] {
            assert!(matches!(Anchor::parse(none), Err(Fault::NotAnAnchor(_))), "{none}");
        }
    }
}
