//! Strict JSON.

use keywright_verifier::json::{self, DEFAULT_MAX_DEPTH, JsonError};
use serde_json::Value;

#[path = "shape.rs"]
mod shape;

use shape::{Shape, has_exact_numbers, members};

/// Exactly those documents are accepted that `serde_json` reads and that mean one thing only, and
/// they mean the same.
pub(crate) fn check(bytes: &[u8]) {
    let strict = json::parse(bytes, DEFAULT_MAX_DEPTH);
    let tolerant = serde_json::from_slice::<Value>(bytes);
    let Ok(tolerant) = tolerant else {
        assert!(strict.is_err(), "accepted what is not JSON");
        return;
    };
    let shape = Shape::of(bytes);
    let is_strict = shape.members == members(&tolerant)
        && shape.depth <= DEFAULT_MAX_DEPTH
        && has_exact_numbers(&tolerant);
    match strict {
        Ok(value) => {
            assert!(is_strict, "accepted what can be read in two ways");
            assert_eq!(value, tolerant);
        }
        // Whether such a name changes the tree depends on how `serde_json` was compiled.
        Err(JsonError::ReservedMember) => {}
        Err(error) => assert!(!is_strict, "{error}"),
    }
}
