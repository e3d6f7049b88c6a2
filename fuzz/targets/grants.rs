#![no_main]

#[path = "../../tests/access/corpus/grants.rs"]
mod grants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| grants::check(bytes));
