//! Whose tokens another system means (RFC 9493), as tokens name their subject: by `sub`.

use keywright_api::SubjectIdentifier;
use serde_json::Value;

/// A subject identifier that names no `sub` of tokens of this issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedSubject {
    /// It is no subject identifier.
    #[error("sub_id is an object with a format")]
    Malformed,
    /// The subject is of another issuer.
    #[error("sub_id names a subject of another issuer")]
    Issuer,
    /// A member is missing.
    #[error("a sub_id of the format iss_sub has iss and sub")]
    IssuerAndSubject,
    /// A member is missing.
    #[error("a sub_id of the format opaque has id")]
    Identifier,
    /// It names more than a user, or none.
    #[error("a sub_id of the format complex has user and no other member here")]
    Complex,
    /// No member of that format is a `sub`.
    #[error("sub_id has the format iss_sub or opaque: tokens name a subject by their sub alone")]
    Format,
}

/// The `sub` of the tokens of a subject (RFC 9493 §3.2). `is_issuer` says whose subjects are those of tokens.
///
/// # Errors
/// [`UnsupportedSubject`].
pub fn subject_of(
    named: SubjectIdentifier,
    is_issuer: impl Fn(&str) -> bool,
) -> Result<String, UnsupportedSubject> {
    let SubjectIdentifier {
        format,
        iss,
        sub,
        id,
    } = named;
    match (format.as_str(), iss, sub, id) {
        ("iss_sub", Some(iss), Some(sub), _) if is_issuer(&iss) => Ok(sub),
        ("iss_sub", Some(_), Some(_), _) => Err(UnsupportedSubject::Issuer),
        ("opaque", _, _, Some(id)) => Ok(id),
        ("iss_sub", ..) => Err(UnsupportedSubject::IssuerAndSubject),
        ("opaque", ..) => Err(UnsupportedSubject::Identifier),
        _ => Err(UnsupportedSubject::Format),
    }
}

/// The same of the `sub_id` of a security event token, which may be complex (SSF 1.0 §3.3) with its user alone:
/// with a device or a session it means less than all tokens of the user.
///
/// # Errors
/// [`UnsupportedSubject`].
pub fn subject_of_event(
    sub_id: &Value,
    is_issuer: impl Fn(&str) -> bool,
) -> Result<String, UnsupportedSubject> {
    let members = sub_id.as_object().ok_or(UnsupportedSubject::Malformed)?;
    let simple = match members.get("format").and_then(Value::as_str) {
        Some("complex") => {
            let user = members.get("user").filter(|_| members.len() == 2);
            user.ok_or(UnsupportedSubject::Complex)?
        }
        _ => sub_id,
    };
    let named: Result<SubjectIdentifier, _> = serde_json::from_value(simple.clone());
    subject_of(named.map_err(|_| UnsupportedSubject::Malformed)?, is_issuer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_is_named_by_its_issuer_or_opaquely_and_by_nothing_else() {
        let of = |sub_id: Value| subject_of_event(&sub_id, |iss| iss == "https://id.example");
        let user = json!({"format": "iss_sub", "iss": "https://id.example", "sub": "user-1"});
        let opaque = json!({"format": "opaque", "id": "user-1"});
        let complex = json!({"format": "complex", "user": user});
        for sub_id in [user.clone(), opaque, complex] {
            assert_eq!(of(sub_id.clone()), Ok("user-1".to_owned()), "{sub_id}");
        }
        let device = json!({"format": "opaque", "id": "d"});
        for (sub_id, expected) in [
            (json!("user-1"), UnsupportedSubject::Malformed),
            (json!({"id": "user-1"}), UnsupportedSubject::Malformed),
            (
                json!({"format": "opaque", "id": 7}),
                UnsupportedSubject::Malformed,
            ),
            (json!({"format": "opaque"}), UnsupportedSubject::Identifier),
            (
                json!({"format": "iss_sub", "sub": "u"}),
                UnsupportedSubject::IssuerAndSubject,
            ),
            (
                json!({"format": "iss_sub", "iss": "https://a.example", "sub": "u"}),
                UnsupportedSubject::Issuer,
            ),
            (
                json!({"format": "email", "email": "u@a.example"}),
                UnsupportedSubject::Format,
            ),
            (json!({"format": "complex"}), UnsupportedSubject::Complex),
            (
                json!({"format": "complex", "user": user, "device": device}),
                UnsupportedSubject::Complex,
            ),
            (
                json!({"format": "complex", "user": {"format": "complex", "user": user}}),
                UnsupportedSubject::Format,
            ),
        ] {
            assert_eq!(of(sub_id.clone()), Err(expected), "{sub_id}");
        }
    }
}
