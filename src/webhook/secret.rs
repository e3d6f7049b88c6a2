//! What messages are signed with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use zeroize::Zeroizing;

/// The length of a secret, in bytes.
pub const SECRET_BYTES: usize = 32;

/// The secret of a webhook, and the one before it while that still signs. It is sealed as it is here: one
/// after the other. It has no `Debug`.
pub struct WebhookSecrets(Zeroizing<Vec<u8>>);

impl WebhookSecrets {
    /// A first secret.
    pub fn first(secret: [u8; SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(secret.to_vec()))
    }

    /// A new secret, before the one that is current until now.
    #[must_use]
    pub fn followed_by(&self, secret: [u8; SECRET_BYTES]) -> Self {
        let current = self.0.get(..SECRET_BYTES).unwrap_or_default();
        Self(Zeroizing::new([secret.as_slice(), current].concat()))
    }

    /// Reads what was sealed.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let is_whole = matches!(bytes.len(), SECRET_BYTES | 64);
        is_whole.then(|| Self(Zeroizing::new(bytes.to_vec())))
    }

    /// What is sealed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The current secret as its receiver is given it, once: `whsec_` and its bytes in base64.
    pub fn reveal(&self) -> Zeroizing<String> {
        let current = self.0.get(..SECRET_BYTES).unwrap_or_default();
        Zeroizing::new(format!("whsec_{}", STANDARD.encode(current)))
    }

    /// The signatures of a message: by the current secret, and by the one before it where that still counts.
    /// They are separated by a space, as the header has them.
    pub fn sign(&self, id: &str, at: u64, body: &[u8], with_previous: bool) -> String {
        let secrets = self.0.chunks(SECRET_BYTES);
        let count = if with_previous { 2 } else { 1 };
        let signatures = secrets.take(count).map(|secret| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let mut context = hmac::Context::with_key(&key);
            context.update(format!("{id}.{at}.").as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let secrets = WebhookSecrets(Zeroizing::new(secret));
        let body = br#"{"test": 2432232314}"#;
        let signed = secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body, false);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_rotated_secret_signs_beside_the_new_one_for_a_while() {
        let first = WebhookSecrets::first([1; SECRET_BYTES]);
        let second = first.followed_by([2; SECRET_BYTES]);
        let sign = |secrets: &WebhookSecrets, previous| secrets.sign("m", 1, b"x", previous);
        let (old, new) = (sign(&first, false), sign(&second, false));
        assert_eq!(sign(&second, true), format!("{new} {old}"));
        assert_eq!(sign(&first, true), old);
        let third = second.followed_by([3; SECRET_BYTES]);
        assert!(!sign(&third, true).contains(&old) && sign(&third, true).contains(&new));
        let read = WebhookSecrets::of_bytes(third.as_bytes()).unwrap();
        assert_eq!(read.reveal(), third.reveal());
        assert!(WebhookSecrets::of_bytes(&[0; 33]).is_none());
    }
}
