//! Files and standard input, read up to a limit.

use std::fs::File;
use std::io::{self, Read};

use keywright_verifier::json;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::engine::KeyFormat;

/// The largest document that a command sends, in bytes.
const LARGEST_DOCUMENT: u64 = 1024 * 1024;

/// Reads a file, or standard input when `path` is `-`, of at most `limit` bytes.
pub(super) fn bytes(path: &str, limit: u64) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let unreadable = |source| Failure::Unreadable {
        what: name(path).to_owned(),
        source,
    };
    let mut content = Zeroizing::new(Vec::new());
    let read = if path == "-" {
        io::stdin().lock().take(limit + 1).read_to_end(&mut content)
    } else {
        File::open(path).and_then(|file| file.take(limit + 1).read_to_end(&mut content))
    };
    let length = read.map_err(unreadable)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > limit {
        let detail = format!("{} is larger than {limit} bytes", name(path));
        return Err(Failure::rejected("document-too-large", detail));
    }
    Ok(content)
}

/// Reads text, as [`bytes`] does.
pub(super) fn text(path: &str) -> Result<Zeroizing<String>, Failure> {
    let bytes = bytes(path, LARGEST_DOCUMENT)?;
    std::str::from_utf8(&bytes)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| Failure::rejected("invalid-text", format!("{} is not UTF-8", name(path))))
}

/// Reads a key file, as [`bytes`] does; `code` is that of the error when it is no text.
pub(super) fn key_file(path: &str, code: &'static str) -> Result<Zeroizing<String>, Failure> {
    let bytes = bytes(path, LARGEST_DOCUMENT)?;
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => {
            let detail = format!("{} {}", name(path), KeyFormat::of_binary(&bytes));
            Err(Failure::rejected(code, detail))
        }
    }
}

/// Reads a JSON object as strictly as the service does, as [`bytes`] does.
pub(super) fn object(path: &str) -> Result<Map<String, Value>, Failure> {
    parse_object(&bytes(path, LARGEST_DOCUMENT)?, name(path))
}

/// Parses a JSON object as strictly as the service does; `what` names it in an error.
pub(super) fn parse_object(bytes: &[u8], what: &str) -> Result<Map<String, Value>, Failure> {
    match json::parse(bytes, json::DEFAULT_MAX_DEPTH) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::rejected(
            "invalid-json",
            format!("{what} must be a JSON object"),
        )),
        Err(error) => Err(Failure::rejected(
            "invalid-json",
            format!("{what}: {error}"),
        )),
    }
}

fn name(path: &str) -> &str {
    if path == "-" { "standard input" } else { path }
}
