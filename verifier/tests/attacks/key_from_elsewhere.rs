//! Attacks 9 to 14: a header that brings the key for its token, or says where to get it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::der;
use crate::naive::Defence;
use crate::service::{Service, forged_claims};
use crate::signers::EcSigner;

/// A service, and an attacker whose key calls itself by the name of the issuer's.
fn scene() -> (Service, EcSigner) {
    let (service, _) = Service::with_issuer();
    (service, EcSigner::new("k1"))
}

fn header_with(name: &str, value: &Value) -> String {
    let mut header = json!({"alg": "ES256", "kid": "k1"});
    header[name] = value.clone();
    header.to_string()
}

fn certificate(attacker: &EcSigner) -> Vec<u8> {
    der::self_signed_certificate(&attacker.jwk(), |content| attacker.signature(content))
}

pub(crate) fn attack_09_embedded_jwk() {
    let (service, attacker) = scene();
    let header = header_with("jwk", &attacker.jwk());
    let token = attacker.sign(header, forged_claims().to_string());
    service.withstands(&token, "bad-signature", Defence::IgnoresJwk);
}

pub(crate) fn attack_10_jku() {
    let (mut service, attacker) = scene();
    for url in [
        "https://evil.example/jwks.json",
        "https://id.example.evil.example/jwks.json",
        "file:///tmp/uploaded.json",
    ] {
        let set = json!({ "keys": [attacker.jwk()] }).to_string();
        service.reachable.insert(url.to_owned(), set.into_bytes());
        let header = header_with("jku", &url.into());
        let token = attacker.sign(header, forged_claims().to_string());
        service.withstands(&token, "bad-signature", Defence::IgnoresJku);
    }
}

pub(crate) fn attack_11_x5u() {
    let (mut service, attacker) = scene();
    let url = "https://evil.example/chain";
    let chain = certificate(&attacker);
    service.reachable.insert(url.to_owned(), chain);
    let token = attacker.sign(header_with("x5u", &url.into()), forged_claims().to_string());
    service.withstands(&token, "bad-signature", Defence::IgnoresX5u);
}

pub(crate) fn attack_12_forged_x5c() {
    let (service, attacker) = scene();
    let chain = json!([STANDARD.encode(certificate(&attacker))]);
    let token = attacker.sign(header_with("x5c", &chain), forged_claims().to_string());
    service.withstands(&token, "bad-signature", Defence::IgnoresX5c);
}

pub(crate) fn attack_13_kid_is_a_path() {
    let (mut service, attacker) = scene();
    let uploaded = attacker.jwk().to_string().into_bytes();
    for path in [
        "../../uploads/key.json",
        "/srv/uploads/key.json",
        "..%2f..%2fuploads/key.json",
        r"..\..\uploads\key.json",
    ] {
        service.reachable.insert(path.to_owned(), uploaded.clone());
        let header = header_with("kid", &path.into());
        let token = attacker.sign(header, forged_claims().to_string());
        service.withstands(&token, "unknown-key", Defence::KidIsNoPath);
    }
    // One that could be cut off in C is no kid at all.
    let path = "../../uploads/key.json\0.pem";
    service.reachable.insert(path.to_owned(), uploaded);
    let header = header_with("kid", &path.into());
    let token = attacker.sign(header, forged_claims().to_string());
    service.withstands(&token, "token-malformed", Defence::KidIsNoPath);
}

pub(crate) fn attack_14_kid_is_a_query_or_a_command() {
    let (mut service, attacker) = scene();
    let mut jwk = attacker.jwk();
    jwk.as_object_mut().unwrap().remove("kid");
    for (kid, code) in [
        (format!("x'UNION/**/SELECT'{jwk}'--"), "unknown-key"),
        (format!("x' UNION/**/SELECT'{jwk}' --"), "token-malformed"),
    ] {
        let header = header_with("kid", &kid.into());
        let token = attacker.sign(header, forged_claims().to_string());
        service.withstands(&token, code, Defence::KidIsNoQuery);
    }

    let uploaded = attacker.jwk().to_string().into_bytes();
    service
        .reachable
        .insert("uploads/key.json".to_owned(), uploaded);
    for (kid, code) in [
        ("|cat${IFS}uploads/key.json", "unknown-key"),
        ("|cat uploads/key.json", "token-malformed"),
    ] {
        let token = attacker.sign(header_with("kid", &kid.into()), forged_claims().to_string());
        service.withstands(&token, code, Defence::KidIsNoCommand);
    }
}
