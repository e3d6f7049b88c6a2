//! A verifier that does everything right, slowly, and can be told to leave one thing out.
//!
//! It shows that an attack is one: what the crate refuses, a verifier without the defence accepts. It
//! shares no code with the crate.

mod claims;
mod json;
mod keys;
mod signature;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::service::Service;

pub(crate) use signature::spellings;

/// Something that a verifier must do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Defence {
    // The form.
    SizeLimit,
    CompactFormOnly,
    ProtectedHeaderOnly,
    Alphabet,
    ThreeParts,
    CanonicalBase64,
    // JSON.
    UniqueNames,
    DepthLimit,
    ExactNumbers,
    WellFormedText,
    // The header.
    UnderstandsCritical,
    RefusesUnencodedPayload,
    RefusesNone,
    RefusesNoneInAnyCase,
    RefusesHmac,
    AlgorithmOfTheKey,
    AllowListForWhatIsUsed,
    TokenType,
    // Keys.
    RefusesUnknownKey,
    IgnoresJwk,
    IgnoresJku,
    IgnoresX5u,
    IgnoresX5c,
    KidIsNoPath,
    KidIsNoQuery,
    KidIsNoCommand,
    OneKeyOnly,
    KeyPurpose,
    KeysOfTheIssuerOnly,
    PointOnCurve,
    RsaStrength,
    RsaSizeCap,
    // Signatures.
    RefusesEmptySignature,
    ScalarRange,
    FixedFormOnly,
    SignatureLength,
    Padding,
    // Claims.
    ClaimTypes,
    ExpiryRequired,
    NotBefore,
    ExactIssuer,
    ExactAudience,
    LeewayCap,
    RequiredClaims,
}

/// The verifier, at the time of [`crate::service::NOW_SECONDS`].
pub(crate) struct Naive<'s> {
    service: &'s Service,
    missing: Option<Defence>,
}

/// The three parts, decoded, and what the signature covers.
struct Parts {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signature: Vec<u8>,
    signing_input: String,
}

impl<'s> Naive<'s> {
    pub(crate) const fn complete(service: &'s Service) -> Self {
        Self {
            service,
            missing: None,
        }
    }

    pub(crate) const fn without(service: &'s Service, defence: Defence) -> Self {
        Self {
            service,
            missing: Some(defence),
        }
    }

    fn lacks(&self, defence: Defence) -> bool {
        self.missing == Some(defence)
    }

    /// The claims, if it believes them.
    pub(crate) fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        if token.len() > self.service.max_token_bytes && !self.lacks(Defence::SizeLimit) {
            return None;
        }
        if token.starts_with('{') {
            return self.verify_json(token);
        }
        let parts = self.parts(token)?;
        self.verify_parts(&parts)?;
        Some(parts.claims)
    }

    /// The flattened JSON serialization (RFC 7515 §7.2.2), as two careless libraries read it.
    fn verify_json(&self, token: &str) -> Option<Map<String, Value>> {
        let members: Value = serde_json::from_str(token).ok()?;
        let [protected, payload, signature] =
            ["protected", "payload", "signature"].map(|name| members[name].as_str());
        let compact = format!("{}.{}.{}", protected?, payload?, signature?);
        if self.lacks(Defence::CompactFormOnly) {
            // One part of the library verifies the JSON, another takes the claims from where they
            // stand in the compact form (CVE-2022-39227).
            let genuine = self.verify(&compact)?;
            let between_dots = token.split('.').nth(1).and_then(|part| self.decode(part));
            return match between_dots {
                Some(part) => self.object(&part),
                None => Some(genuine),
            };
        }
        if !self.lacks(Defence::ProtectedHeaderOnly) {
            return None;
        }
        // The allow-list looks at the protected header, the algorithm comes from both together.
        let mut parts = self.parts(&compact)?;
        self.is_allowed(parts.header.get("alg")?.as_str()?)
            .then_some(())?;
        parts.header.extend(members["header"].as_object()?.clone());
        if parts.header["alg"] != "none" {
            self.verify_parts(&parts)?;
        }
        Some(parts.claims)
    }

    fn parts(&self, token: &str) -> Option<Parts> {
        let in_alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let token = if self.lacks(Defence::Alphabet) {
            let translated = token.replace('+', "-").replace('/', "_");
            translated.chars().filter(|c| in_alphabet(*c)).collect()
        } else {
            token.chars().all(in_alphabet).then(|| token.to_owned())?
        };
        let parts: Vec<&str> = token.split('.').collect();
        let (header, payload, signature) = match parts[..] {
            [header, payload, signature] => (header, payload, signature),
            [header, payload, signature, ..] if self.lacks(Defence::ThreeParts) => {
                (header, payload, signature)
            }
            _ => return None,
        };
        if signature.is_empty() && !self.may_be_unsigned() {
            return None;
        }
        Some(Parts {
            header: self.object(&self.decode(header)?)?,
            claims: self.object(&self.decode(payload)?)?,
            signature: self.decode(signature)?,
            signing_input: format!("{header}.{payload}"),
        })
    }

    fn may_be_unsigned(&self) -> bool {
        [
            Defence::RefusesEmptySignature,
            Defence::RefusesNone,
            Defence::RefusesNoneInAnyCase,
            Defence::ProtectedHeaderOnly,
        ]
        .into_iter()
        .any(|defence| self.lacks(defence))
    }

    fn decode(&self, part: &str) -> Option<Vec<u8>> {
        let sloppy = GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent);
        if self.lacks(Defence::CanonicalBase64) {
            let sloppy = GeneralPurpose::new(&alphabet::URL_SAFE, sloppy);
            sloppy.decode(part).ok()
        } else {
            URL_SAFE_NO_PAD.decode(part).ok()
        }
    }

    /// Everything after the form: header, key, signature, claims.
    fn verify_parts(&self, parts: &Parts) -> Option<()> {
        self.check_parameters(&parts.header)?;
        self.check_type(&parts.header)?;
        let algorithm = parts.header.get("alg")?.as_str()?;
        let signed = self.skips_signature(algorithm)
            || self.hmac_holds(parts, algorithm)
            || self.signature_holds(parts, algorithm);
        signed.then_some(())?;
        self.check_claims(&parts.claims)
    }

    /// RFC 7515 §4.1.11, RFC 7797 §6.
    fn check_parameters(&self, header: &Map<String, Value>) -> Option<()> {
        let critical = header.get("crit");
        let knows_the_name_only = self.lacks(Defence::RefusesUnencodedPayload);
        let is_understood = match critical {
            None => true,
            Some(_) if self.lacks(Defence::UnderstandsCritical) => true,
            Some(names) => knows_the_name_only && *names == Value::from(vec!["b64"]),
        };
        let is_encoded = knows_the_name_only || !header.contains_key("b64");
        (is_understood && is_encoded && !header.contains_key("zip")).then_some(())
    }

    fn check_type(&self, header: &Map<String, Value>) -> Option<()> {
        let is_expected = match (header.get("typ").map(Value::as_str), self.service.typ) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(typ), expected) => {
                let typ = typ?.to_ascii_lowercase();
                let short = typ.strip_prefix("application/").unwrap_or(&typ);
                short == expected.unwrap_or("jwt")
            }
        };
        (is_expected || self.lacks(Defence::TokenType)).then_some(())
    }

    fn skips_signature(&self, algorithm: &str) -> bool {
        match algorithm {
            "none" => self.lacks(Defence::RefusesNone),
            _ if algorithm.eq_ignore_ascii_case("none") => {
                self.lacks(Defence::RefusesNoneInAnyCase)
            }
            _ => false,
        }
    }

    fn is_allowed(&self, algorithm: &str) -> bool {
        let mut allowed = self.service.algorithms.iter();
        allowed.any(|one| one.as_str() == algorithm)
    }
}
