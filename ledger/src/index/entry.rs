//! An entry as a number whose order is that of a run: by fingerprint, then by place.

use super::Place;

/// The bytes of an entry: place 8, fingerprint 8, little-endian.
pub(super) const BYTES: usize = 16;

pub(super) fn of(fingerprint: u64, place: Place) -> u128 {
    u128::from(fingerprint) << 64 | u128::from(u64::from(place))
}

pub(super) fn fingerprint(entry: u128) -> u64 {
    u64::try_from(entry >> 64).expect("64 bits are left")
}

pub(super) fn place(entry: u128) -> Place {
    Place::from(u64::try_from(entry & u128::from(u64::MAX)).expect("64 bits are left"))
}
