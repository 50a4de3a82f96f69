//! A token's secret: `gl_` and 43 characters of base64url, which are 32 random bytes. Only its SHA-256 is kept. That
//! is enough: nobody guesses 256 bits, so it needs no slow hash, and a hash that is looked up by its bytes tells a
//! stranger by its time nothing about a secret.

use std::{fmt, io};

use data_encoding::BASE64URL_NOPAD;
use rand::TryRng;
use sha2::{Digest, Sha256};

/// How every secret begins, so that scanners of source code and logs know one when they see it.
const PREFIX: &str = "gl_";
const RANDOM_BYTES: usize = 32;
/// With its prefix.
const LENGTH: usize = PREFIX.len() + 43;

/// A secret, or what somebody presents as one. No output of ours shows it but [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What is kept of a secret.
pub type Sha256Hash = [u8; 32];

impl Secret {
    /// A new one, of the system's randomness.
    ///
    /// # Errors
    /// If the system has none.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; RANDOM_BYTES];
        rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))))
    }

    /// Takes what has the form of one, however long or strange the rest is.
    pub fn presented(text: &[u8]) -> Option<Self> {
        if text.len() != LENGTH || !text.starts_with(PREFIX.as_bytes()) {
            return None;
        }
        let is_ours = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let text = text.iter().all(is_ours).then_some(text)?;
        String::from_utf8(text.to_vec()).ok().map(Self)
    }

    /// What is kept of it.
    pub fn sha256(&self) -> Sha256Hash {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// By which people tell it from others.
    pub fn last_four(&self) -> &str {
        &self.0[LENGTH - 4..]
    }

    /// The secret itself, for whom it was made, once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::copies::hex;

    #[test]
    fn access_secrets_are_random_and_shown_to_nobody() {
        let (one, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.expose().len(), 46);
        assert_eq!(Secret::presented(one.expose().as_bytes()), Some(one.clone()));
        assert!(one.expose().ends_with(one.last_four()));
        assert_eq!(format!("{one:?} {one:#?}"), "Secret(…) Secret(…)");
    }

    #[test]
    fn access_hashes_are_what_others_would_compute() {
        let secret = Secret::presented(format!("gl_{}", "A".repeat(43)).as_bytes()).unwrap();
        // printf gl_AAA… | sha256sum
        assert_eq!(hex(&secret.sha256()), "a949a3344d0ea67be18d6b7eb77197d80c2635888bdfb594e9e7f9e8048ff99e");
    }

    #[test]
    fn access_takes_nothing_that_has_not_the_form_of_a_secret() {
        let long = format!("gl_{}", "A".repeat(1 << 20));
        for wrong in [
            "",
            "gl_",
            &format!("gl_{}", "A".repeat(42)),
            &format!("gl_{}", "A".repeat(44)),
            &format!("xx_{}", "A".repeat(43)),
            &format!("gl_{}=", "A".repeat(42)),
            &format!("gl_{} ", "A".repeat(42)),
            &format!("gl_{}\0", "A".repeat(42)),
            &format!("gl_{}é", "A".repeat(41)),
            &long,
        ] {
            assert_eq!(Secret::presented(wrong.as_bytes()), None, "{} bytes", wrong.len());
        }
        assert_eq!(Secret::presented(&[0xff; 46]), None);
    }
}
