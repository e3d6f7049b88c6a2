//! Reading JSON.

use serde_json::{Map, Value};

use super::{Defence, Naive};
use crate::shape::{Shape, has_exact_numbers, members};

/// As deep as the crate reads.
const MAX_DEPTH: usize = 32;

impl Naive<'_> {
    pub(super) fn object(&self, bytes: &[u8]) -> Option<Map<String, Value>> {
        let mut text = if self.lacks(Defence::WellFormedText) {
            mended(bytes)
        } else {
            std::str::from_utf8(bytes).ok()?.to_owned()
        };
        if self.lacks(Defence::ExactNumbers) {
            // What JavaScript makes of it is infinite; this is as good.
            text = text.replace("1e400", "1e308");
        }
        let value: Value = serde_json::from_str(&text).ok()?;
        let shape = Shape::of(text.as_bytes());
        let unique = shape.members == members(&value) || self.lacks(Defence::UniqueNames);
        let shallow = shape.depth <= MAX_DEPTH || self.lacks(Defence::DepthLimit);
        let exact = has_exact_numbers(&value) || self.lacks(Defence::ExactNumbers);
        match value {
            Value::Object(object) if unique && shallow && exact => Some(object),
            _ => None,
        }
    }
}

/// Text as a parser reads it that means well.
fn mended(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .trim_start_matches('\u{feff}')
        .replace('\0', "")
        .replace(r"\ud800", r"\ufffd")
}
