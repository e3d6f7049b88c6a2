#![no_main]

#[path = "../../tests/access/corpus/schema.rs"]
mod schema;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| schema::check(bytes));
