#![no_main]

#[path = "../../tests/access/corpus/requests.rs"]
mod requests;
#[path = "../../tests/access/world.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod world;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| requests::check(bytes));
