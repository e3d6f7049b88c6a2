//! A schema, a line break, and claims.

use keywright::access::claim_name;
use keywright::access::limits::{ClaimsSchema, LITTLE_WORK, MOST_WORK_OF_BATCH};
use keywright_verifier::json::{self, DEFAULT_MAX_DEPTH};
use serde_json::Value;

/// Whatever is accepted as a schema says of claims what the library says of them that checks
/// schemas; what takes too long or too much memory, the fuzzer notices.
pub(crate) fn check(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (schema, claims) = bytes.split_at(end.unwrap_or(bytes.len()));
    let schema = json::parse(schema, DEFAULT_MAX_DEPTH);
    let claims = json::parse(claims.trim_ascii(), DEFAULT_MAX_DEPTH);
    let (Ok(document), Ok(Value::Object(claims))) = (schema, claims) else {
        return;
    };
    let Ok(schema) = ClaimsSchema::compile(document.clone()) else {
        assert!(ClaimsSchema::stored(document).fault().is_some());
        return;
    };
    let work = schema.work(&claims);
    let checked = schema.check(claims.clone(), &mut MOST_WORK_OF_BATCH.clone());
    let _ = claim_name::check_claims(&claims, Some(schema.names()));
    let names_itself = document.get("$id").or(document.get("$schema")).is_some();
    if work > LITTLE_WORK || names_itself {
        return;
    }
    let library = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(&document)
        .expect("what compiles with bounds compiles without");
    let claims = Value::Object(claims);
    assert_eq!(
        checked.is_ok(),
        library.is_valid(&claims),
        "{document} {claims}"
    );
}
