//! What a key file is: where its key stands, or what it is instead, and which command leads on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::parse_json;

/// A kind of file that keys are kept in and that is not imported as it is. Each names a command that
/// works on a file of this kind; `FILE` stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFormat {
    /// PKCS#8 or traditional PEM under a password.
    #[error("is encrypted; decrypt it with `openssl pkey -in FILE -out key.pem`")]
    Encrypted,
    /// `BEGIN OPENSSH PRIVATE KEY`.
    #[error(
        "is in the format of OpenSSH; convert a copy of it with `ssh-keygen -p -N '' -m PKCS8 -f FILE`"
    )]
    Openssh,
    /// A line of `authorized_keys`.
    #[error(
        "is a public key in the format of OpenSSH; `ssh-keygen -e -m PKCS8 -f FILE > public.pem` \
         converts it for `keywright keys import --public-key public.pem`"
    )]
    OpensshPublicKey,
    /// An X.509 certificate in PEM.
    #[error(
        "is a certificate, which has no private key; `openssl x509 -in FILE -noout -pubkey > \
         public.pem` extracts its public key for `keywright keys import --public-key public.pem`"
    )]
    Certificate,
    /// An X.509 certificate in DER.
    #[error(
        "is a binary certificate, which has no private key; `openssl x509 -inform DER -in FILE -noout \
         -pubkey > public.pem` extracts its public key for `keywright keys import --public-key \
         public.pem`"
    )]
    DerCertificate,
    /// A public key in PEM.
    #[error(
        "is a public key, which cannot sign; import it with `keywright keys import --public-key FILE`"
    )]
    PublicKey,
    /// A JWK without private members.
    #[error(
        "is a public JWK, which cannot sign; import it with `keywright keys import --public-key FILE`"
    )]
    PublicJwk,
    /// A public key in DER.
    #[error(
        "is a binary public key; `openssl pkey -pubin -inform DER -in FILE -out public.pem` converts \
         it for `keywright keys import --public-key public.pem`"
    )]
    DerPublicKey,
    /// A whole JWK set.
    #[error("is a whole JWK set; extract one key of it with `jq '.keys[0]' FILE > key.jwk`")]
    JwkSet,
    /// A JSON document with a PEM inside, as Google's service accounts have it.
    #[error(
        "is a JSON document with a key inside; extract it with `jq -r .private_key FILE > key.pem`"
    )]
    ServiceAccount,
    /// A private key in DER.
    #[error("is binary (DER); convert it with `openssl pkey -inform DER -in FILE -out key.pem`")]
    Der,
    /// Base64 of DER without the lines around it.
    #[error(
        "is base64 without the lines of PEM; convert it with `base64 -d FILE | openssl pkey -inform \
         DER -out key.pem`"
    )]
    Base64Der,
    /// Base64 of PEM, as in a Kubernetes secret.
    #[error("is base64 of a PEM file; decode it with `base64 -d FILE > key.pem`")]
    Base64Pem,
    /// PKCS#12.
    #[error(
        "is PKCS#12; extract its key with `openssl pkcs12 -in FILE -nocerts -nodes -out key.pem`"
    )]
    Pkcs12,
    /// A Java key store of the old format.
    #[error(
        "is a Java key store; convert it with `keytool -importkeystore -srckeystore FILE \
         -destkeystore key.p12 -deststoretype PKCS12`, then extract the key with `openssl pkcs12 -in \
         key.p12 -nocerts -nodes -out key.pem`"
    )]
    JavaKeyStore,
    /// Text in two octets a character, as some shells of Windows redirect it.
    #[error("is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8 FILE > key.pem`")]
    Utf16,
    /// Several private keys, of which one is meant.
    #[error(
        "has more than one private key; write the first to a file of its own with `openssl pkey -in \
         FILE -out key.pem`"
    )]
    SeveralKeys,
    /// A PEM block without an end, or whose content is no base64.
    #[error(
        "is PEM that is cut short or garbled; `openssl pkey -in FILE -noout` reads it if it is whole"
    )]
    Garbled,
    /// A public key of a curve or a kind that nothing here verifies with.
    #[error(
        "is not a P-256 or RSA public key; `openssl pkey -pubin -in FILE -noout -text` shows what it is"
    )]
    OtherPublicKey,
    /// Anything else.
    #[error(
        "is neither a private key in PEM nor a private JWK; `openssl pkey -in FILE -out key.pem` \
         converts many formats"
    )]
    Unknown,
}

/// A private key, where it was found.
pub(super) enum Encoded {
    Der(Label, Zeroizing<Vec<u8>>),
    Jwk(Value),
}

/// Which structure a PEM block has inside.
#[derive(Clone, Copy)]
pub(super) enum Label {
    Pkcs8,
    Pkcs1,
    Sec1,
}

impl KeyFormat {
    /// What a file is that is no text.
    pub fn of_binary(content: &[u8]) -> Self {
        match content {
            [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => Self::JavaKeyStore,
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Self::Utf16,
            [0x30, ..] => Self::of_der(content),
            _ => Self::Unknown,
        }
    }

    /// Tells the structures apart by how their parts begin.
    fn of_der(content: &[u8]) -> Self {
        let Some((0x30, body)) = element(content) else {
            return Self::Unknown;
        };
        match element(body) {
            // PFX (RFC 7292 §4): version 3.
            Some((0x02, [3])) => Self::Pkcs12,
            // RSAPublicKey (RFC 8017 appendix A.1.1): the modulus.
            Some((0x02, version)) if version.len() > 1 => Self::DerPublicKey,
            Some((0x02, _)) => Self::Der,
            Some((0x30, inner)) => match element(inner) {
                // EncryptedPrivateKeyInfo or SubjectPublicKeyInfo: an algorithm, then a string.
                Some((0x06, _)) if after(body).first() == Some(&0x04) => Self::Der,
                Some((0x06, _)) => Self::DerPublicKey,
                _ => Self::DerCertificate,
            },
            _ => Self::Unknown,
        }
    }
}

/// The tag and the content of the first element of BER; also of one that is cut short.
fn element(encoded: &[u8]) -> Option<(u8, &[u8])> {
    let (tag, content, _) = split_element(encoded)?;
    Some((tag, content))
}

/// What follows the first element.
fn after(encoded: &[u8]) -> &[u8] {
    split_element(encoded).map_or(&[], |(_, _, rest)| rest)
}

fn split_element(encoded: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = encoded else {
        return None;
    };
    let (length, rest) = match length {
        0x80 => (rest.len(), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = octets
                .iter()
                .fold(0, |length, octet| (length << 8) | usize::from(*octet));
            (length, rest)
        }
        short => (usize::from(*short), rest),
    };
    let (content, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    Some((*tag, content, rest))
}

/// Finds the one private key of a text: a JWK, or a PEM block among others that are public.
pub(super) fn private_key(text: &str) -> Result<Encoded, KeyFormat> {
    let text = normalised(text);
    if text.starts_with(['{', '[']) {
        return json_key(&text);
    }
    let mut found = None;
    let mut public = None;
    for block in blocks(&text)? {
        let label = match block.label {
            "PRIVATE KEY" => Label::Pkcs8,
            "RSA PRIVATE KEY" => Label::Pkcs1,
            "EC PRIVATE KEY" => Label::Sec1,
            "ENCRYPTED PRIVATE KEY" => return Err(KeyFormat::Encrypted),
            "OPENSSH PRIVATE KEY" => return Err(KeyFormat::Openssh),
            "PUBLIC KEY" | "RSA PUBLIC KEY" => {
                public = public.or(Some(KeyFormat::PublicKey));
                continue;
            }
            label if label.ends_with("CERTIFICATE") => {
                public = public.or(Some(KeyFormat::Certificate));
                continue;
            }
            "EC PARAMETERS" => continue,
            _ => return Err(KeyFormat::Unknown),
        };
        if block.is_encrypted() {
            return Err(KeyFormat::Encrypted);
        }
        if found.is_some() {
            return Err(KeyFormat::SeveralKeys);
        }
        found = Some(Encoded::Der(label, block.der()?));
    }
    found.ok_or_else(|| public.unwrap_or_else(|| without_blocks(&text)))
}

/// Finds the one public key of a text.
pub(super) fn public_key(text: &str) -> Result<Zeroizing<Vec<u8>>, KeyFormat> {
    let text = normalised(text);
    let blocks = blocks(&text)?;
    match &*blocks {
        [block] if matches!(block.label, "PUBLIC KEY" | "RSA PUBLIC KEY") => block.der(),
        [block, ..] if block.label.ends_with("CERTIFICATE") => Err(KeyFormat::Certificate),
        [] => Err(without_blocks(&text)),
        _ => Err(KeyFormat::OtherPublicKey),
    }
}

/// The text without what editors and JSON documents add: a byte order mark, white space around it, and
/// line breaks that are written `\n`.
fn normalised(text: &str) -> Zeroizing<String> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        return Zeroizing::new(text.to_owned());
    }
    Zeroizing::new(text.replace("\\r", "").replace("\\n", "\n"))
}

fn json_key(text: &str) -> Result<Encoded, KeyFormat> {
    let value = parse_json(text).ok_or(KeyFormat::Unknown)?;
    let has = |member| value.get(member).is_some();
    if has("kty") {
        Ok(Encoded::Jwk(value))
    } else if has("keys") {
        Err(KeyFormat::JwkSet)
    } else if has("private_key") {
        Err(KeyFormat::ServiceAccount)
    } else {
        Err(KeyFormat::Unknown)
    }
}

/// What a text is that has no PEM block.
fn without_blocks(text: &str) -> KeyFormat {
    if ["ssh-rsa ", "ssh-ed25519 ", "ecdsa-sha2-"]
        .iter()
        .any(|start| text.starts_with(start))
    {
        return KeyFormat::OpensshPublicKey;
    }
    match decoded(text).as_deref().map(Vec::as_slice) {
        Some([b'-', b'-', b'-', b'-', b'-', ..]) => KeyFormat::Base64Pem,
        Some(der) if KeyFormat::of_der(der) == KeyFormat::Der => KeyFormat::Base64Der,
        _ => KeyFormat::Unknown,
    }
}

/// A block of PEM (RFC 7468 §2).
struct Block<'text> {
    label: &'text str,
    body: &'text str,
}

impl Block<'_> {
    /// Whether its headers say so (RFC 1421 §4.6.1.1).
    fn is_encrypted(&self) -> bool {
        self.body.contains("Proc-Type:") && self.body.contains("ENCRYPTED")
    }

    /// The content, in lines of any length.
    fn der(&self) -> Result<Zeroizing<Vec<u8>>, KeyFormat> {
        decoded(self.body)
            .filter(|der| !der.is_empty())
            .ok_or(KeyFormat::Garbled)
    }
}

/// The blocks of a text, whatever stands between them.
fn blocks(text: &str) -> Result<Vec<Block<'_>>, KeyFormat> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
        let (label, begun) = begun.split_once("-----").ok_or(KeyFormat::Garbled)?;
        let end = format!("-----END {label}-----");
        let (body, following) = begun.split_once(&end).ok_or(KeyFormat::Garbled)?;
        blocks.push(Block { label, body });
        rest = following;
    }
    Ok(blocks)
}

fn decoded(base64: &str) -> Option<Zeroizing<Vec<u8>>> {
    let characters = base64
        .chars()
        .filter(|character| !character.is_whitespace());
    let text = Zeroizing::new(characters.collect::<String>());
    STANDARD.decode(&*text).ok().map(Zeroizing::new)
}
