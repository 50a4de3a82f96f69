//! See `giftledger_tests::fuzzing::snapshot`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| giftledger_tests::fuzzing::snapshot(bytes));
