//! What a client proves itself with.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

/// A credential: one word of visible ASCII. Wiped when dropped; its `Debug` shows nothing.
#[derive(Clone)]
pub struct Credential(Zeroizing<String>);

/// The text is no credential. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a credential is one word of visible ASCII")]
pub struct InvalidCredential;

impl Credential {
    /// Reads a credential, white space around it aside.
    ///
    /// # Errors
    ///
    /// [`InvalidCredential`].
    pub fn parse(text: &str) -> Result<Self, InvalidCredential> {
        let text = text.trim();
        match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self(Zeroizing::new(text.to_owned()))),
            false => Err(InvalidCredential),
        }
    }

    /// The id of the client whose it is, which a credential of keywright names.
    pub fn client_id(&self) -> Option<&str> {
        let (client, _) = self.0.strip_prefix("kw_")?.split_once('_')?;
        Some(client)
    }

    /// The value of the header `Authorization`; `None` never happens, because the text is visible ASCII.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        sensitive(&Zeroizing::new(format!("Bearer {}", *self.0)))
    }

    /// The same for a token endpoint, as a client's secret (RFC 6749 §2.3.1).
    pub(crate) fn basic(&self, client_id: &str) -> Option<HeaderValue> {
        let encoded =
            |text: &str| Zeroizing::new(byte_serialize(text.as_bytes()).collect::<String>());
        let (id, secret) = (encoded(client_id), encoded(&self.0));
        let pair = Zeroizing::new(format!("{}:{}", *id, *secret));
        let pair = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        sensitive(&Zeroizing::new(format!("Basic {}", *pair)))
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_one_visible_word_and_never_shown() {
        let credential = Credential::parse(" kw_1_abc\n").unwrap();
        let header = credential.header().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer kw_1_abc");
        assert_eq!(credential.client_id(), Some("1"));
        assert_eq!(Credential::parse("1_abc").unwrap().client_id(), None);
        let basic = Credential::parse("a:b").unwrap().basic("c d").unwrap();
        // c+d:a%3Ab
        assert_eq!(basic.to_str().unwrap(), "Basic YytkOmElM0Fi");
        for shown in [format!("{credential:?}"), format!("{header:?}")] {
            assert!(!shown.contains("abc"), "{shown}");
        }
        for text in ["", " \n", "a b", "a\r\nx: y", "é"] {
            assert!(Credential::parse(text).is_err(), "{text:?}");
        }
    }
}
