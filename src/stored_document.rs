//! What the documents of records have in common: the number of their format, and an error that says which
//! record it is.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A record that this program could not have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record of {kind} {id} cannot be read: {reason}")]
pub struct InvalidRecord {
    kind: &'static str,
    id: String,
    reason: String,
}

/// Which record is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordName<'n> {
    /// What it is of, in a word.
    pub(crate) kind: &'static str,
    /// Under what it is stored.
    pub(crate) id: &'n str,
}

impl RecordName<'_> {
    /// Reads its document.
    pub(crate) fn read<'d, D: Deserialize<'d>>(
        &self,
        document: &'d str,
    ) -> Result<D, InvalidRecord> {
        let document = serde_json::from_str(document);
        document.map_err(|error| self.invalid(error.to_string()))
    }

    /// It is invalid for this reason.
    pub(crate) fn invalid(&self, reason: impl Into<String>) -> InvalidRecord {
        InvalidRecord {
            kind: self.kind,
            id: self.id.to_owned(),
            reason: reason.into(),
        }
    }
}

/// The first member of a document: a number that tells the formats of different builds apart. Another one
/// than its own is no document.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Format<const NUMBER: u32>;

impl<const NUMBER: u32> Serialize for Format<NUMBER> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(NUMBER)
    }
}

impl<'de, const NUMBER: u32> Deserialize<'de> for Format<NUMBER> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            number if number == NUMBER => Ok(Self),
            number => Err(D::Error::custom(format_args!("it has format {number}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document {
        format: Format<2>,
        text: String,
    }

    impl PartialEq for Format<2> {
        fn eq(&self, _: &Self) -> bool {
            true
        }
    }

    impl Eq for Format<2> {}

    #[test]
    fn a_document_of_another_build_is_told_by_its_format_before_anything_else() {
        let record = RecordName {
            kind: "shelf",
            id: "a",
        };
        let written = serde_json::to_string(&Document::default()).unwrap();
        assert_eq!(written, r#"{"format":2,"text":""}"#);
        assert_eq!(record.read(&written), Ok(Document::default()));
        let later = r#"{"format":3,"unknown":1}"#;
        let error = record.read::<Document>(later).unwrap_err().to_string();
        let begins = "the record of shelf a cannot be read: it has format 3";
        assert!(error.starts_with(begins), "{error}");
        assert!(record.read::<Document>(r#"{"format":2}"#).is_err());
    }
}
