//! Attacks 1 to 8 and 15 to 17: what a token is verified with.

use keywright_verifier::Algorithm;
use ring::hmac;
use serde_json::{Value, json};

use crate::naive::{Defence, spellings};
use crate::service::{OTHER_ISSUER, Service, claims, claims_with, forged_claims};
use crate::signers::{EcSigner, RsaSigner, assemble, disassemble, octets, signing_input};

fn rsa() -> RsaSigner {
    RsaSigner::with_exponent(65_537)
}

/// A token whose signature is an HMAC.
fn hmac_token(algorithm: &str, kid: &str, secret: &[u8]) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","kid":"{kid}"}}"#);
    let input = signing_input(header, forged_claims().to_string());
    let algorithm = match algorithm {
        "HS256" => hmac::HMAC_SHA256,
        "HS384" => hmac::HMAC_SHA384,
        _ => hmac::HMAC_SHA512,
    };
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), input.as_bytes());
    assemble(&input, tag)
}

#[test]
fn a_token_without_an_attack_is_accepted() {
    let (service, issuer) = Service::with_issuer();
    let header = r#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#;
    for token in [
        issuer.token(&claims()),
        issuer.sign(header, claims().to_string()),
        issuer.sign(r#"{"alg":"ES256"}"#, claims().to_string()),
    ] {
        assert_eq!(Value::from(service.accepts(&token)), claims());
    }
    Service::new([rsa().jwk("k2")]).accepts(&rsa().token("k2", &claims()));
}

pub(crate) fn attack_01_none() {
    let (service, issuer) = Service::with_issuer();
    let header = r#"{"alg":"none","kid":"k1"}"#;
    let input = signing_input(header, forged_claims().to_string());
    for token in [
        assemble(&input, b""),
        assemble(&input, b"any"),
        assemble(&input, disassemble(&issuer.token(&claims())).1),
    ] {
        let believed = service.withstands(&token, "algorithm-not-allowed", Defence::RefusesNone);
        assert_eq!(believed["sub"], "administrator");
    }
}

pub(crate) fn attack_02_none_in_another_case() {
    let (service, _) = Service::with_issuer();
    for alg in ["nOnE", "None", "NONE", "nonE"] {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        let token = assemble(&signing_input(header, forged_claims().to_string()), b"");
        service.withstands(
            &token,
            "algorithm-not-allowed",
            Defence::RefusesNoneInAnyCase,
        );
    }
}

pub(crate) fn attack_03_rs256_public_key_as_hmac_secret() {
    let service = Service::new([rsa().jwk("k1")]);
    for secret in spellings(&rsa().jwk("k1")) {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let token = hmac_token(algorithm, "k1", &secret);
            service.withstands(&token, "algorithm-not-allowed", Defence::RefusesHmac);
        }
    }
}

pub(crate) fn attack_04_es256_public_key_as_hmac_secret() {
    let (service, issuer) = Service::with_issuer();
    for secret in spellings(&issuer.jwk()) {
        let token = hmac_token("HS256", "k1", &secret);
        service.withstands(&token, "algorithm-not-allowed", Defence::RefusesHmac);
    }
}

pub(crate) fn attack_05_algorithm_from_the_header_when_the_key_names_none() {
    for jwk in [rsa().jwk("k1"), EcSigner::new("k1").jwk()] {
        assert_eq!(jwk.get("alg"), None);
        let number = if jwk["kty"] == "RSA" { "n" } else { "x" };
        let secret = octets(jwk[number].as_str().unwrap());
        let token = hmac_token("HS256", "k1", &secret);
        let service = Service::new([jwk]);
        service.withstands(&token, "algorithm-not-allowed", Defence::AlgorithmOfTheKey);
    }
}

pub(crate) fn attack_06_hmac_with_an_empty_key() {
    let (service, _) = Service::with_issuer();
    let token = hmac_token("HS256", "no-such-key", b"");
    service.withstands(&token, "algorithm-not-allowed", Defence::RefusesUnknownKey);
}

pub(crate) fn attack_07_algorithm_in_an_unprotected_header() {
    let (service, issuer) = Service::with_issuer();
    let input = signing_input(issuer.header(), forged_claims().to_string());
    let (protected, payload) = input.split_once('.').unwrap();
    let token = json!({
        "protected": protected, "header": {"alg": "none"}, "payload": payload, "signature": ""
    });
    service.withstands(
        &token.to_string(),
        "token-malformed",
        Defence::ProtectedHeaderOnly,
    );
}

pub(crate) fn attack_08_one_algorithm_is_allowed_and_another_verified() {
    // The issuer still publishes an ES256 key, and this service has stopped trusting ES256.
    let (mut service, legacy) = Service::with_issuer();
    service.keys.push(rsa().jwk("k2"));
    service.algorithms = vec![Algorithm::Rs256];
    service.accepts(&rsa().token("k2", &claims()));
    let header = r#"{"alg":"RS256","kid":"k1"}"#;
    let token = legacy.sign(header, forged_claims().to_string());
    service.withstands(
        &token,
        "algorithm-mismatch",
        Defence::AllowListForWhatIsUsed,
    );
    let honest = legacy.token(&claims());
    assert_eq!(service.verify(&honest), Err("algorithm-not-allowed"));
}

pub(crate) fn attack_15_duplicate_or_missing_kid() {
    let (issuer, twin) = (EcSigner::new("k1"), EcSigner::new("k1"));
    let service = Service::new([issuer.jwk(), twin.jwk()]);
    let named = twin.token(&forged_claims());
    let unnamed = twin.sign(r#"{"alg":"ES256"}"#, forged_claims().to_string());
    for token in [named, unnamed] {
        service.withstands(&token, "ambiguous-key", Defence::OneKeyOnly);
    }
    // Twice in one header: two parsers see two keys.
    let header = r#"{"alg":"ES256","kid":"other","kid":"k1"}"#;
    let token = twin.sign(header, forged_claims().to_string());
    let service = Service::new([twin.jwk()]);
    service.withstands(&token, "token-malformed", Defence::UniqueNames);
}

pub(crate) fn attack_16_key_for_another_purpose() {
    // Another party holds the private half of what the issuer publishes for encryption.
    let other = EcSigner::new("k2");
    for (member, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("key_ops", json!(["deriveKey"])),
    ] {
        let mut jwk = other.jwk();
        jwk[member] = value;
        let service = Service::new([EcSigner::new("k1").jwk(), jwk]);
        let token = other.token(&forged_claims());
        service.withstands(&token, "unknown-key", Defence::KeyPurpose);
    }
}

pub(crate) fn attack_17_key_of_another_issuer() {
    let (mut service, _) = Service::with_issuer();
    let other = EcSigner::new("k2");
    service.other_keys = vec![other.jwk()];
    service.accepts(&other.token(&claims_with("iss", OTHER_ISSUER)));
    let token = other.token(&forged_claims());
    service.withstands(&token, "unknown-key", Defence::KeysOfTheIssuerOnly);
    // Under the name that the issuer's own key has, it is a wrong signature, and no second attempt.
    let token = other.sign(r#"{"alg":"ES256","kid":"k1"}"#, forged_claims().to_string());
    assert_eq!(service.verify(&token), Err("bad-signature"));
}
