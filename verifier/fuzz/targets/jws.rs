#![no_main]

#[path = "../../tests/corpus/jws.rs"]
mod jws;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jws::check(bytes));
