//! What can be counted in a JSON document without building its tree.

use serde_json::Value;

/// 2^53: up to here a double holds every integer.
const LARGEST_EXACT_DOUBLE: f64 = 9_007_199_254_740_992.0;

/// A second member of one name has no place in a tree, and is counted here.
#[derive(Default)]
pub(crate) struct Shape {
    pub(crate) members: usize,
    pub(crate) depth: usize,
}

impl Shape {
    /// Counts in a document that is known to be JSON.
    pub(crate) fn of(document: &[u8]) -> Self {
        let mut shape = Self::default();
        let (mut open, mut in_string, mut is_escaped) = (0_usize, false, false);
        for byte in document {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if in_string => is_escaped = true,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b':' => shape.members += 1,
                b'[' | b'{' => {
                    open += 1;
                    shape.depth = shape.depth.max(open);
                }
                b']' | b'}' => open -= 1,
                _ => {}
            }
        }
        shape
    }
}

/// How many members all objects of a value have.
pub(crate) fn members(value: &Value) -> usize {
    match value {
        Value::Array(values) => values.iter().map(members).sum(),
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        _ => 0,
    }
}

/// Whether no number of a value can have lost anything.
pub(crate) fn has_exact_numbers(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(has_exact_numbers),
        Value::Object(object) => object.values().all(has_exact_numbers),
        Value::Number(number) if number.is_f64() => number
            .as_f64()
            .is_some_and(|double| double.abs() <= LARGEST_EXACT_DOUBLE),
        _ => true,
    }
}
