//! `client_secret_basic`: a client's id and credential in HTTP Basic (RFC 6749 §2.3.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::form;

/// What `Authorization: Basic` presents. It has no `Debug`: it is a secret.
pub struct BasicCredentials {
    /// The client's id.
    pub client_id: String,
    /// Its credential.
    pub secret: Zeroizing<String>,
}

/// The header does not have the form of HTTP Basic, or its parts are not form-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Authorization header is not HTTP Basic with a form-encoded client_id and secret")]
pub struct InvalidBasic;

impl BasicCredentials {
    /// Reads what follows `Basic ` in the header. Both parts are form-encoded before they are joined
    /// (RFC 6749 §2.3.1).
    ///
    /// # Errors
    /// [`InvalidBasic`].
    pub fn parse(encoded: &str) -> Result<Self, InvalidBasic> {
        let bytes = STANDARD.decode(encoded.trim()).map_err(|_| InvalidBasic)?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_| InvalidBasic)?;
        let (client_id, secret) = text.split_once(':').ok_or(InvalidBasic)?;
        let decode = |part| form::decode(part).map_err(|_| InvalidBasic);
        Ok(Self {
            client_id: decode(client_id)?,
            secret: Zeroizing::new(decode(secret)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(String, String)> {
        let basic = BasicCredentials::parse(&STANDARD.encode(text)).ok()?;
        Some((basic.client_id, basic.secret.to_string()))
    }

    #[test]
    fn both_parts_are_decoded_after_they_are_split() {
        for (text, client_id, secret) in [
            ("a:b", "a", "b"),
            ("a%3Ab:c:d", "a:b", "c:d"),
            ("a+b:%25", "a b", "%"),
            (":", "", ""),
        ] {
            let expected = (client_id.to_owned(), secret.to_owned());
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["a", "a:%", "a:%zz", "a:%00"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert!(BasicCredentials::parse("?").is_err());
    }
}
