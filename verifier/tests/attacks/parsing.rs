//! Attacks 31 to 41: texts that two readers read differently, or one for too long.

use serde_json::{Value, json};

use crate::naive::Defence;
use crate::service::{Service, claims, claims_with, forged_claims};
use crate::signers::{assemble, base64url};

/// The claims as text, with more members at their end.
fn claims_and(members: &str) -> String {
    claims()
        .to_string()
        .replacen('{', &format!("{{{members},"), 1)
}

// The issuer may have meant that a token counts only where an extension is understood.
pub(crate) fn attack_31_critical_parameters() {
    let (service, issuer) = Service::with_issuer();
    for members in [
        r#""crit":["urn:example:bound-to-device"],"urn:example:bound-to-device":"d1""#,
        r#""crit":["exp"],"exp":1"#,
        r#""crit":["not-there"]"#,
        r#""crit":["a","a"],"a":1"#,
        r#""crit":[]"#,
        r#""crit":"exp""#,
        r#""crit":null"#,
    ] {
        let header = format!(r#"{{"alg":"ES256","kid":"k1",{members}}}"#);
        let token = issuer.sign(header, claims().to_string());
        service.withstands(&token, "token-malformed", Defence::UnderstandsCritical);
    }
}

// The issuer signs a text that an attacker gave it, unencoded. Read as base64url it is a claims set.
pub(crate) fn attack_32_unencoded_payload() {
    let (service, issuer) = Service::with_issuer();
    let text = base64url(forged_claims().to_string());
    for header in [
        r#"{"alg":"ES256","kid":"k1","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"ES256","kid":"k1","b64":false}"#,
    ] {
        let input = format!("{}.{text}", base64url(header));
        let token = assemble(&input, issuer.signature(&input));
        let believed =
            service.withstands(&token, "token-malformed", Defence::RefusesUnencodedPayload);
        assert_eq!(believed["sub"], "administrator");
    }
}

pub(crate) fn attack_33_duplicate_header_names() {
    let (service, issuer) = Service::with_issuer();
    for header in [
        r#"{"alg":"none","alg":"ES256","kid":"k1"}"#,
        r#"{"\u0061lg":"none","alg":"ES256","kid":"k1"}"#,
        r#"{"alg":"ES256","typ":"logout+jwt","typ":"JWT","kid":"k1"}"#,
        r#"{"alg":"ES256","kid":"k1","more":{"a":1,"a":2}}"#,
    ] {
        let token = issuer.sign(header, claims().to_string());
        service.withstands(&token, "token-malformed", Defence::UniqueNames);
    }
}

pub(crate) fn attack_34_duplicate_claims() {
    let (service, issuer) = Service::with_issuer();
    for (members, name) in [
        // `claims` has the other one, and it comes last.
        (r#""sub":"administrator""#, "sub"),
        (r#""s\u0075b":"administrator""#, "sub"),
        (r#""exp":1"#, "exp"),
        (r#""roles":{"orders":[],"orders":["delete"]}"#, "roles"),
    ] {
        let token = issuer.sign(issuer.header(), claims_and(members));
        let believed = service.withstands(&token, "token-malformed", Defence::UniqueNames);
        assert!(believed.contains_key(name));
    }
    // The name under which serde_json passes raw text: reading a tree into another type puts what
    // stands in the string in the place of the object.
    let smuggled = json!({"$serde_json::private::RawValue": r#"["administrator"]"#});
    let token = issuer.token(&claims_with("roles", smuggled));
    let believed = service.withstands(&token, "token-malformed", Defence::UniqueNames);
    assert_eq!(believed["roles"], json!(["administrator"]));
}

// A list of revoked tokens by their text does not have the other spelling of one.
pub(crate) fn attack_35_trailing_bits() {
    let (service, issuer) = Service::with_issuer();
    let token = issuer.token(&claims());
    let (head, last) = token.split_at(token.len() - 1);
    // 64 octets leave four bits of the last character: A, Q, g or w.
    let digit = last.bytes().next().unwrap();
    for step in [1, 2, 3] {
        let other = format!("{head}{}", char::from(digit + step));
        assert_ne!(other, token);
        service.withstands(&other, "token-malformed", Defence::CanonicalBase64);
    }
}

pub(crate) fn attack_36_padding_white_space_and_other_characters() {
    let (service, issuer) = Service::with_issuer();
    let token = issuer.token(&claims());
    let dot = token.rfind('.').unwrap();
    for (at, inserted) in [
        (token.len(), "="),
        (token.len(), "=="),
        (token.len(), "\n"),
        (token.len(), "\r\n"),
        (0, " "),
        (0, "\u{feff}"),
        (dot, "\t"),
        (dot, "="),
        (dot + 1, "\0"),
        (10, "\u{200b}"),
        (10, "%"),
    ] {
        let mut other = token.clone();
        other.insert_str(at, inserted);
        service.withstands(&other, "token-malformed", Defence::Alphabet);
    }
    // The alphabet of RFC 4648 §4 for the same octets: some signature has one of the two characters.
    let (input, signature) = std::iter::repeat_with(|| issuer.token(&claims()))
        .map(|token| {
            let (input, signature) = token.rsplit_once('.').unwrap();
            (input.to_owned(), signature.to_owned())
        })
        .find(|(_, signature)| signature.contains(['-', '_']))
        .unwrap();
    let other = signature.replace('-', "+").replace('_', "/");
    service.withstands(
        &format!("{input}.{other}"),
        "token-malformed",
        Defence::Alphabet,
    );
}

pub(crate) fn attack_37_json_serialization_as_compact() {
    let (service, issuer) = Service::with_issuer();
    let token = issuer.token(&claims());
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (protected, payload) = input.split_once('.').unwrap();
    let members =
        format!(r#""protected":"{protected}","payload":"{payload}","signature":"{signature}""#);
    let plain = format!("{{{members}}}");
    service.withstands(&plain, "token-malformed", Defence::CompactFormOnly);
    // Both at once: JSON with a genuine signature, and three parts between dots with other claims.
    let forged = base64url(forged_claims().to_string());
    let both = format!(r#"{{"AAAA.{forged}.AAAA":"",{members}}}"#);
    let believed = service.withstands(&both, "token-malformed", Defence::CompactFormOnly);
    assert_eq!(believed["sub"], "administrator");
}

pub(crate) fn attack_38_five_parts() {
    let (service, issuer) = Service::with_issuer();
    let token = issuer.token(&claims());
    for (more, code) in [
        (".AAAA.AAAA", "token-encrypted"),
        ("..", "token-encrypted"),
        (".AAAA", "token-malformed"),
        (".AAAA.AAAA.AAAA", "token-malformed"),
    ] {
        service.withstands(&format!("{token}{more}"), code, Defence::ThreeParts);
    }
}

// The harm is time and memory, which a test cannot assert. What it shows: a token that is one byte
// too long is refused for that alone.
pub(crate) fn attack_39_oversize_and_a_million_dots() {
    let (mut service, issuer) = Service::with_issuer();
    let token = issuer.token(&claims_with("padding", "x".repeat(9_000)));
    service.max_token_bytes = token.len();
    service.accepts(&token);
    service.max_token_bytes = token.len() - 1;
    service.withstands(&token, "token-too-large", Defence::SizeLimit);

    let dots = ".".repeat(1_000_000);
    assert_eq!(service.verify(&dots), Err("token-too-large"));
    service.max_token_bytes = usize::MAX;
    assert_eq!(service.verify(&dots), Err("token-malformed"));
}

pub(crate) fn attack_40_deep_json_and_huge_numbers() {
    let (service, issuer) = Service::with_issuer();
    // The claims set is one level itself.
    let nested = |levels: usize| {
        let value = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        claims_and(&format!(r#""nested":{value}"#))
    };
    service.accepts(&issuer.sign(issuer.header(), nested(31)));
    for levels in [32, 100] {
        let token = issuer.sign(issuer.header(), nested(levels));
        service.withstands(&token, "token-malformed", Defence::DepthLimit);
    }
    // So deep that a reader which calls itself runs out of stack: nothing to believe afterwards.
    let token = issuer.sign(issuer.header(), nested(5_000));
    assert_eq!(service.verify(&token), Err("token-malformed"));

    for number in [
        "18446744073709551616",
        "-9223372036854775809",
        "9007199254740994.0",
        "1e300",
    ] {
        let claims = claims_and(&format!(r#""limit":{number}"#));
        let token = issuer.sign(issuer.header(), claims);
        service.withstands(&token, "token-malformed", Defence::ExactNumbers);
    }
    service.accepts(&issuer.sign(
        issuer.header(),
        claims_and(r#""limit":18446744073709551615"#),
    ));
}

pub(crate) fn attack_41_text_that_is_not_well_formed() {
    let (service, issuer) = Service::with_issuer();
    let text = claims().to_string();
    let with_subject = |octets: &[u8]| {
        let (before, after) = text.split_once("user-1").unwrap();
        [before.as_bytes(), octets, after.as_bytes()].concat()
    };
    for claims in [
        with_subject(b"user-1\xff"),
        with_subject(b"user-1\xc0\xaf"),
        with_subject(b"\xed\xa0\x80"),
        with_subject(b"user-1\0"),
        with_subject(br"user-1\ud800"),
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        [text.as_bytes(), b"\0"].concat(),
    ] {
        let token = issuer.sign(issuer.header(), &claims);
        service.withstands(&token, "token-malformed", Defence::WellFormedText);
    }
    let header = [b"\xef\xbb\xbf", issuer.header().as_bytes()].concat();
    let token = issuer.sign(header, &text);
    service.withstands(&token, "token-malformed", Defence::WellFormedText);
    // An escaped NUL is a character like any other, and stays one.
    let token = issuer.sign(issuer.header(), with_subject(br"user-1\u0000"));
    assert_eq!(service.accepts(&token)["sub"], Value::from("user-1\0"));
}
