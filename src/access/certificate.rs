//! Client certificates: what one says about its holder, and rules that name a holder.
//!
//! Whether a certificate is to be trusted at all is the handshake's question (`http/tls.rs`). Here
//! it has been answered.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keywright_api as api;
use ring::digest::{SHA256, digest};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The most characters of a name in a rule.
const MOST_CHARACTERS: usize = 255;

/// What a verified certificate says about its holder. The subject's common name is left out: it has
/// not been an identity since RFC 6125 (§6.4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 of the certificate in DER, `x5t#S256` of RFC 8705 §3.1.
    pub thumbprint: [u8; 32],
    /// The DNS names among the subject's alternative names, in lower case.
    pub dns_names: Vec<String>,
    /// The URIs among the subject's alternative names, as they are written.
    pub uris: Vec<String>,
}

/// A certificate that does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate does not read: {0}")]
pub struct UnreadableCertificate(String);

impl PeerCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When it is no X.509 certificate in DER, or has its alternative names twice.
    pub fn from_der(der: &[u8]) -> Result<Self, UnreadableCertificate> {
        let unreadable = |error: x509_cert::der::Error| UnreadableCertificate(error.to_string());
        let certificate = Certificate::from_der(der).map_err(unreadable)?;
        let names = certificate
            .tbs_certificate()
            .get_extension::<SubjectAltName>()
            .map_err(unreadable)?
            .map_or_else(Vec::new, |(_, SubjectAltName(names))| names);
        let mut peer = Self {
            thumbprint: thumbprint(der),
            dns_names: Vec::new(),
            uris: Vec::new(),
        };
        for name in names {
            match name {
                GeneralName::DnsName(name) => {
                    peer.dns_names.push(name.as_str().to_ascii_lowercase());
                }
                GeneralName::UniformResourceIdentifier(uri) => {
                    peer.uris.push(uri.as_str().to_owned());
                }
                _ => {}
            }
        }
        Ok(peer)
    }

    /// The thumbprint in base64url, as `x5t#S256` has it.
    pub fn thumbprint_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.thumbprint)
    }
}

fn thumbprint(der: &[u8]) -> [u8; 32] {
    let mut thumbprint = [0; 32];
    thumbprint.copy_from_slice(digest(&SHA256, der).as_ref());
    thumbprint
}

/// Names the holders of certificates: those that have this name, or one certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CertificateRule {
    /// A DNS name, in lower case; it stands for itself alone.
    Dns(String),
    /// A URI, such as a SPIFFE id; compared character by character.
    Uri(String),
    /// The SHA-256 thumbprint of one certificate.
    Thumbprint([u8; 32]),
}

/// Why a document is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRuleError {
    /// None of the three members, or more than one.
    #[error("a certificate rule has one of \"dns\", \"uri\" and \"sha256\"")]
    Kind,
    /// Not a DNS name.
    #[error(
        "dns: a name of letters, digits, hyphens and dots, at most 255 characters, without a \
         wildcard or a final dot"
    )]
    Dns,
    /// Not a URI.
    #[error("uri: a scheme, a colon and more, of visible ASCII, at most 255 characters")]
    Uri,
    /// Not a thumbprint.
    #[error("sha256: 32 bytes as base64url without padding, or as 64 hexadecimal digits")]
    Thumbprint,
}

impl CertificateRule {
    /// The rule of a document with one of the members `dns`, `uri` and `sha256`.
    ///
    /// # Errors
    /// [`CertificateRuleError`] names the member and the rule that it breaks.
    pub fn new(document: api::CertificateRule) -> Result<Self, CertificateRuleError> {
        match (document.dns, document.uri, document.sha256) {
            (Some(name), None, None) => parse_dns(&name).ok_or(CertificateRuleError::Dns),
            (None, Some(uri), None) => parse_uri(uri).ok_or(CertificateRuleError::Uri),
            (None, None, Some(text)) => {
                parse_thumbprint(&text).ok_or(CertificateRuleError::Thumbprint)
            }
            _ => Err(CertificateRuleError::Kind),
        }
    }

    /// Whether the certificate's holder is one of those that are named. A wildcard in a certificate
    /// matches nothing: a caller is a known client.
    pub fn matches(&self, certificate: &PeerCertificate) -> bool {
        match self {
            Self::Dns(name) => certificate.dns_names.contains(name),
            Self::Uri(uri) => certificate.uris.contains(uri),
            Self::Thumbprint(thumbprint) => certificate.thumbprint == *thumbprint,
        }
    }
}

/// The document that [`CertificateRule::new`] reads; a thumbprint in base64url.
impl From<&CertificateRule> for api::CertificateRule {
    fn from(rule: &CertificateRule) -> Self {
        let mut document = Self::default();
        match rule {
            CertificateRule::Dns(name) => document.dns = Some(name.clone()),
            CertificateRule::Uri(uri) => document.uri = Some(uri.clone()),
            CertificateRule::Thumbprint(thumbprint) => {
                document.sha256 = Some(URL_SAFE_NO_PAD.encode(thumbprint));
            }
        }
        document
    }
}

impl fmt::Display for CertificateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let document = serde_json::to_string(&api::CertificateRule::from(self));
        f.write_str(&document.unwrap_or_default())
    }
}

fn parse_dns(name: &str) -> Option<CertificateRule> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let legal = name.len() <= MOST_CHARACTERS && name.split('.').all(is_label);
    legal.then(|| CertificateRule::Dns(name.to_ascii_lowercase()))
}

fn parse_uri(uri: String) -> Option<CertificateRule> {
    let (scheme, rest) = uri.split_once(':')?;
    let legal = uri.len() <= MOST_CHARACTERS
        && uri.bytes().all(|byte| byte.is_ascii_graphic())
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !rest.is_empty();
    legal.then_some(CertificateRule::Uri(uri))
}

fn parse_thumbprint(text: &str) -> Option<CertificateRule> {
    let bytes = if text.len() == 64 {
        let (pairs, _) = text.as_bytes().as_chunks::<2>();
        pairs.iter().map(hexadecimal).collect::<Option<Vec<u8>>>()?
    } else {
        URL_SAFE_NO_PAD.decode(text).ok()?
    };
    bytes.try_into().ok().map(CertificateRule::Thumbprint)
}

fn hexadecimal([high, low]: &[u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use serde_json::{Value, json};

    use super::*;

    fn read_rule(document: Value) -> Result<CertificateRule, String> {
        let document =
            api::read(document, "certificate rule").map_err(|error| error.to_string())?;
        CertificateRule::new(document).map_err(|error| error.to_string())
    }

    fn certificate(names: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "common.internal");
        params.subject_alt_names = names;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn uri(uri: &str) -> SanType {
        SanType::URI(uri.try_into().unwrap())
    }

    fn rule(document: Value) -> CertificateRule {
        read_rule(document).unwrap()
    }

    #[test]
    fn a_certificate_says_its_names_and_its_thumbprint() {
        let der = certificate(vec![
            dns("Orders.Internal"),
            SanType::IpAddress([127, 0, 0, 1].into()),
            uri("spiffe://prod/orders"),
            dns("*.internal"),
        ]);
        let peer = PeerCertificate::from_der(&der).unwrap();
        assert_eq!(peer.dns_names, ["orders.internal", "*.internal"]);
        assert_eq!(peer.uris, ["spiffe://prod/orders"]);
        assert_eq!(peer.thumbprint, digest(&SHA256, &der).as_ref());
    }

    #[test]
    fn a_certificate_without_names_has_a_thumbprint_alone() {
        let peer = PeerCertificate::from_der(&certificate(Vec::new())).unwrap();
        assert!(peer.dns_names.is_empty() && peer.uris.is_empty());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let der = certificate(vec![dns("orders.internal")]);
        let longer = [der.as_slice(), b"\0"].concat();
        for bytes in [
            &b""[..],
            b"not a certificate",
            &der[..der.len() - 1],
            &longer,
        ] {
            assert!(PeerCertificate::from_der(bytes).is_err());
        }
    }

    #[test]
    fn a_rule_matches_the_holder_that_it_names_and_nobody_else() {
        let der = certificate(vec![dns("orders.internal"), uri("spiffe://prod/orders")]);
        let peer = PeerCertificate::from_der(&der).unwrap();
        let sha256 = URL_SAFE_NO_PAD.encode(peer.thumbprint);
        for document in [
            json!({ "dns": "ORDERS.internal" }),
            json!({ "uri": "spiffe://prod/orders" }),
            json!({ "sha256": sha256 }),
        ] {
            assert!(rule(document.clone()).matches(&peer), "{document}");
        }
        for document in [
            json!({ "dns": "common.internal" }),
            json!({ "dns": "internal" }),
            json!({ "dns": "a.orders.internal" }),
            json!({ "uri": "spiffe://prod/Orders" }),
            json!({ "uri": "spiffe://prod/orders/" }),
            json!({ "sha256": "0".repeat(64) }),
        ] {
            assert!(!rule(document.clone()).matches(&peer), "{document}");
        }
    }

    #[test]
    fn a_wildcard_in_a_certificate_names_nobody() {
        let der = certificate(vec![dns("*.internal")]);
        let peer = PeerCertificate::from_der(&der).unwrap();
        assert!(!rule(json!({ "dns": "orders.internal" })).matches(&peer));
    }

    #[test]
    fn a_rule_reads_as_it_is_written() {
        let bytes: [u8; 32] = std::array::from_fn(|index| index as u8 * 7);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let base64url = URL_SAFE_NO_PAD.encode(bytes);
        for (given, written) in [
            (
                json!({"dns": "Orders.internal"}),
                json!({"dns": "orders.internal"}),
            ),
            (
                json!({"uri": "spiffe://Prod/a"}),
                json!({"uri": "spiffe://Prod/a"}),
            ),
            (json!({"sha256": hex}), json!({"sha256": base64url})),
            (json!({"sha256": base64url}), json!({"sha256": base64url})),
        ] {
            let rule = rule(given);
            let document = serde_json::to_value(api::CertificateRule::from(&rule)).unwrap();
            assert_eq!(document, written);
            assert_eq!(read_rule(written).unwrap(), rule);
        }
    }

    #[test]
    fn what_names_no_holder_is_refused_with_the_member() {
        let long = "a".repeat(256);
        let label = format!("{}.internal", "a".repeat(64));
        for (document, part) in [
            (json!({}), "one of"),
            (json!({"dns": "a", "uri": "b:c"}), "one of"),
            (json!("orders.internal"), "certificate rule"),
            (json!({"dns": 1}), "dns"),
            (json!({"dsn": "a"}), "dsn"),
            (json!({"dns": ""}), "dns:"),
            (json!({"dns": "*.internal"}), "dns:"),
            (json!({"dns": "orders.internal."}), "dns:"),
            (json!({"dns": ".internal"}), "dns:"),
            (json!({"dns": "-a.internal"}), "dns:"),
            (json!({"dns": "a_b"}), "dns:"),
            (json!({"dns": "ördérs"}), "dns:"),
            (json!({"dns": label}), "dns:"),
            (json!({"dns": long}), "dns:"),
            (json!({"uri": "orders"}), "uri:"),
            (json!({"uri": "1a:b"}), "uri:"),
            (json!({"uri": "spiffe:"}), "uri:"),
            (json!({"uri": "spiffe://a b"}), "uri:"),
            (json!({"uri": format!("spiffe://{long}")}), "uri:"),
            (json!({"sha256": "abcd"}), "sha256:"),
            (json!({"sha256": "g".repeat(64)}), "sha256:"),
            (json!({"sha256": format!("{}=", "A".repeat(43))}), "sha256:"),
            (json!({"sha256": "é".repeat(32)}), "sha256:"),
        ] {
            let error = read_rule(document.clone()).unwrap_err();
            assert!(error.to_string().contains(part), "{document}: {error}");
        }
    }
}
