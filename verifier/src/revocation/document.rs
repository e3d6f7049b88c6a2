//! A head with its segments in one file, for a verifier that cannot reach the issuer.

use serde_json::{Map, Value};

use super::{SegmentMismatch, segment_hash};
use crate::base64url;
use crate::json::{self, BodyError, FieldError, Object};

/// A signed head and its segments, as a file has them:
/// `{"head": "<compact JWS>", "segments": {"<hash>": "<base64url of its bytes>"}}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevocationDocument {
    /// The head, with the `typ` [`FILE_TYP`](super::FILE_TYP).
    pub head: String,
    /// The bytes of each segment that the head names, in any order.
    pub segments: Vec<Vec<u8>>,
}

impl RevocationDocument {
    /// The document as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let segments: Map<String, Value> = self
            .segments
            .iter()
            .map(|bytes| {
                let hash = base64url::encode(&segment_hash(bytes));
                (hash, base64url::encode(bytes).into())
            })
            .collect();
        let document = Map::from_iter([
            ("head".to_owned(), self.head.clone().into()),
            ("segments".to_owned(), segments.into()),
        ]);
        Value::Object(document).to_string().into_bytes()
    }

    /// Reads a document, without verifying its head.
    ///
    /// # Errors
    ///
    /// [`InvalidRevocationDocument`]: it is no such document, or a segment is not the one that its name
    /// says.
    pub fn parse(content: &[u8]) -> Result<Self, InvalidRevocationDocument> {
        let mut document = Object::parse(
            content,
            json::DEFAULT_MAX_DEPTH,
            "a document of revocations",
        )?;
        let head = document.string("head")?;
        let Value::Object(segments) = document.required("segments")? else {
            return Err(FieldError::WrongType {
                field: "segments",
                expected: "an object",
            }
            .into());
        };
        document.finish()?;
        let segments = segments
            .into_iter()
            .map(|(hash, bytes)| {
                let bytes = base64url::decode(bytes.as_str()?)?;
                (base64url::encode(&segment_hash(&bytes)) == hash).then_some(bytes)
            })
            .collect::<Option<_>>()
            .ok_or(SegmentMismatch)?;
        Ok(Self { head, segments })
    }
}

/// Why bytes are no [`RevocationDocument`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRevocationDocument {
    /// They are not strict JSON, or a member is missing, unknown or of the wrong type.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A segment is not the one that its name says.
    #[error(transparent)]
    Segment(#[from] SegmentMismatch),
}

impl From<FieldError> for InvalidRevocationDocument {
    fn from(error: FieldError) -> Self {
        Self::Body(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_read_as_it_was_written() {
        let document = RevocationDocument {
            head: "a.b.c".to_owned(),
            segments: vec![vec![1; 24], vec![2; 48]],
        };
        let read = RevocationDocument::parse(&document.to_json()).unwrap();
        assert_eq!(read.head, document.head);
        let mut segments = read.segments;
        segments.sort();
        assert_eq!(segments, document.segments);
    }

    #[test]
    fn other_documents_are_refused() {
        for text in [
            "",
            "[]",
            r#"{"head":"a.b.c"}"#,
            r#"{"segments":{}}"#,
            r#"{"head":1,"segments":{}}"#,
            r#"{"head":"a.b.c","segments":[]}"#,
            r#"{"head":"a.b.c","segments":{},"more":1}"#,
            r#"{"head":"a.b.c","segments":{"x":"AAAA"}}"#,
            r#"{"head":"a.b.c","segments":{"x":1}}"#,
        ] {
            assert!(
                RevocationDocument::parse(text.as_bytes()).is_err(),
                "{text}"
            );
        }
    }
}
