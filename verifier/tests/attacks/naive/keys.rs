//! Finding the keys that a token may be verified with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use num_bigint::BigUint;
use serde_json::{Map, Value, json};

use super::{Defence, Naive};
use crate::der;
use crate::service::{ISSUER, OTHER_ISSUER};
use crate::signers::{ec_jwk, octets};
use crate::textbook::P256;

/// A public key, as numbers.
pub(super) enum Key {
    Ec { x: Vec<u8>, y: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl Naive<'_> {
    /// The keys of the issuer that the claims name.
    pub(super) fn keys_of(&self, claims: &Map<String, Value>) -> Vec<Value> {
        let service = self.service;
        if self.lacks(Defence::KeysOfTheIssuerOnly) {
            return [&service.keys[..], &service.other_keys].concat();
        }
        match claims.get("iss").and_then(Value::as_str) {
            Some(ISSUER) => service.keys.clone(),
            Some(OTHER_ISSUER) => service.other_keys.clone(),
            _ if self.lacks(Defence::ExactIssuer) => service.keys.clone(),
            _ => Vec::new(),
        }
    }

    /// Every key that may be used for this header. One, unless a defence is missing.
    pub(super) fn candidates(&self, header: &Map<String, Value>, keys: &[Value]) -> Vec<Key> {
        if let Some(carried) = self.carried(header) {
            return self.usable(&carried).into_iter().collect();
        }
        let kid = header.get("kid");
        let is_named = |jwk: &&Value| kid.is_none_or(|kid| jwk["kid"] == *kid);
        let is_of_algorithm = |key: &Key| {
            header["alg"] == key.algorithm() || self.lacks(Defence::AllowListForWhatIsUsed)
        };
        let fitting: Vec<Key> = keys
            .iter()
            .filter(is_named)
            .filter_map(|jwk| self.usable(jwk))
            .filter(is_of_algorithm)
            .collect();
        if fitting.len() > 1 && !self.lacks(Defence::OneKeyOnly) {
            return Vec::new();
        }
        fitting
    }

    /// A key that the header brings with it or points to.
    fn carried(&self, header: &Map<String, Value>) -> Option<Value> {
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        let read = |name: &str| self.service.reachable.get(name);
        let in_certificate = |der: &[u8]| {
            let (x, y) = der::point_in_certificate(der)?;
            Some(ec_jwk("", &x, &y))
        };
        match self.missing? {
            Defence::IgnoresJwk => header.get("jwk").cloned(),
            Defence::IgnoresJku => {
                let set: Value = serde_json::from_slice(read(text("jku")?)?).ok()?;
                set["keys"].get(0).cloned()
            }
            Defence::IgnoresX5u => in_certificate(read(text("x5u")?)?),
            Defence::IgnoresX5c => {
                let first = header.get("x5c")?.get(0)?.as_str()?;
                in_certificate(&STANDARD.decode(first).ok()?)
            }
            Defence::KidIsNoPath => serde_json::from_slice(read(text("kid")?)?).ok(),
            Defence::KidIsNoQuery => {
                let query = format!("SELECT jwk FROM keys WHERE kid='{}'", text("kid")?);
                serde_json::from_str(&answer(&query)?).ok()
            }
            Defence::KidIsNoCommand => {
                // As Perl and Ruby open a name that begins with a bar.
                let command = text("kid")?.strip_prefix('|')?.replace("${IFS}", " ");
                serde_json::from_slice(read(command.strip_prefix("cat ")?)?).ok()
            }
            _ => None,
        }
    }

    /// A key for signatures that is worth something.
    fn usable(&self, jwk: &Value) -> Option<Key> {
        let is_for_signatures = jwk.get("use").is_none_or(|purpose| purpose == "sig")
            && jwk
                .get("key_ops")
                .is_none_or(|operations| *operations == json!(["verify"]));
        if !is_for_signatures && !self.lacks(Defence::KeyPurpose) {
            return None;
        }
        let member = |name: &str| jwk[name].as_str().map(octets);
        match jwk["kty"].as_str()? {
            "EC" => {
                let (x, y) = (member("x")?, member("y")?);
                let [left, right] = [&x, &y].map(|number| BigUint::from_bytes_be(number));
                let is_on_curve = P256.contains(&left, &right);
                (is_on_curve || self.lacks(Defence::PointOnCurve)).then_some(Key::Ec { x, y })
            }
            "RSA" => {
                let (n, e) = (member("n")?, member("e")?);
                let is_strong = n.len() >= 256 && BigUint::from_bytes_be(&e) > 65_536_u32.into();
                let is_small = n.len() <= 1024;
                ((is_strong || self.lacks(Defence::RsaStrength))
                    && (is_small || self.lacks(Defence::RsaSizeCap)))
                .then_some(Key::Rsa { n, e })
            }
            _ => None,
        }
    }
}

impl Key {
    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec { .. } => "ES256",
            Self::Rsa { .. } => "RS256",
        }
    }
}

/// A database that holds nothing and understands as much SQL as the attack needs.
fn answer(query: &str) -> Option<String> {
    let (_, row) = query.split_once("UNION/**/SELECT'")?;
    row.split_once('\'').map(|(row, _)| row.to_owned())
}
