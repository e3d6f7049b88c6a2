//! The header of a token: RFC 7515 §4, RFC 8725 §3.1.

use keywright_verifier::json::{FieldError, JsonError};
use keywright_verifier::{Algorithm, InvalidKid, Jws, JwsError};

use crate::fixtures::{MAX_BYTES, Signer, base64url, refusal, set, unsigned};

// Attacks 1 and 2: unsigned tokens, in every spelling and with every kind of last part.
#[test]
fn none_is_no_algorithm_in_any_spelling() {
    for alg in ["none", "None", "NONE", "nOnE", "none ", ""] {
        let error = refusal(format!(r#"{{"alg":"{alg}"}}"#));
        assert_eq!(error, JwsError::UnknownAlgorithm, "{alg:?}");
        assert_eq!(error.code(), "algorithm-not-allowed");
    }
    let unsigned = format!("{}.e30.", base64url(r#"{"alg":"none"}"#));
    assert_eq!(
        Jws::parse(&unsigned, MAX_BYTES).unwrap_err(),
        JwsError::UnknownAlgorithm
    );
}

// Attack 2 for the algorithms that do exist, and the others of the registry.
#[test]
fn alg_is_compared_with_its_case_and_must_be_known() {
    for alg in [
        "es256", "Rs256", "ES256 ", "PS256", "RS512", "ES384", "EdDSA", "ESP256",
    ] {
        assert_eq!(
            refusal(format!(r#"{{"alg":"{alg}"}}"#)),
            JwsError::UnknownAlgorithm,
            "{alg}"
        );
    }
}

#[test]
fn alg_must_be_there_and_a_string() {
    let missing = JwsError::Header(FieldError::Missing { field: "alg" });
    assert_eq!(refusal("{}"), missing);
    let wrong = JwsError::Header(FieldError::WrongType {
        field: "alg",
        expected: "a string",
    });
    for alg in ["null", "0", r#"["ES256"]"#, r#"{"ES256":1}"#, "true"] {
        let error = refusal(format!(r#"{{"alg":{alg}}}"#));
        assert_eq!(
            (error.clone(), error.code()),
            (wrong.clone(), "token-malformed"),
            "{alg}"
        );
    }
}

// Attack 33: the parser of a proxy and this one must not see two algorithms.
#[test]
fn a_header_parameter_that_stands_twice_is_refused() {
    for (header, name) in [
        (r#"{"alg":"ES256","alg":"none"}"#, "alg"),
        (r#"{"alg":"ES256","\u0061lg":"none"}"#, "alg"),
        // Attack 15.
        (r#"{"alg":"ES256","kid":"a","kid":"b"}"#, "kid"),
    ] {
        let duplicate = JsonError::DuplicateMember {
            name: name.to_owned(),
        };
        assert_eq!(refusal(header), JwsError::HeaderJson(duplicate));
    }
}

// Attacks 40 and 41.
#[test]
fn a_header_that_is_not_strict_json_is_refused() {
    let deep = format!(
        r#"{{"alg":"ES256","a":{}{}}}"#,
        "[".repeat(32),
        "]".repeat(32)
    );
    for header in [
        b"\xef\xbb\xbf{\"alg\":\"ES256\"}".as_slice(),
        b"{\"alg\":\"ES256\",\"a\":\"\xff\"}",
        b"{\"alg\":\"ES256\",\"a\":\"\xed\xa0\x80\"}",
        br#"{"alg":"ES256","a":"\ud800"}"#,
        b"{\"alg\":\"ES256\"}\0",
        b"{\"alg\":\"ES256\",\"a\":\"\0\"}",
        br#"{"alg":"ES256"}{}"#,
        br#"{"alg":"ES256",}"#,
        br#"{'alg':'ES256'}"#,
        br#"{"alg":"ES256","a":1e400}"#,
        br#"{"alg":"ES256","a":18446744073709551616}"#,
        deep.as_bytes(),
    ] {
        let error = refusal(header);
        assert!(matches!(error, JwsError::HeaderJson(_)), "{error:?}");
        assert_eq!(error.code(), "token-malformed");
    }
    for header in ["[]", "null", "\"ES256\"", "1"] {
        assert!(matches!(
            refusal(header),
            JwsError::Header(FieldError::NotAnObject { .. })
        ));
    }
}

// Attacks 31 and 32.
#[test]
fn parameters_that_change_what_is_signed_are_refused() {
    for (name, value) in [
        ("crit", r#"["exp"]"#),
        ("crit", "[]"),
        ("crit", r#"["exp","exp"]"#),
        ("crit", "null"),
        ("b64", "false"),
        ("b64", "true"),
        ("zip", r#""DEF""#),
    ] {
        let error = refusal(format!(r#"{{"alg":"ES256","{name}":{value}}}"#));
        assert_eq!(error, JwsError::RefusedParameter(name), "{value}");
        assert_eq!(error.code(), "token-malformed");
    }
    let both = refusal(r#"{"alg":"ES256","b64":false,"crit":["b64"]}"#);
    assert_eq!(both, JwsError::RefusedParameter("crit"));
}

#[test]
fn kid_and_typ_are_strings_where_they_are_present() {
    for name in ["kid", "typ"] {
        for value in ["null", "1", r#"["a"]"#, "{}", "false"] {
            let error = refusal(format!(r#"{{"alg":"ES256","{name}":{value}}}"#));
            assert!(
                matches!(error, JwsError::Header(FieldError::WrongType { field, .. }) if field == name),
                "{error:?}"
            );
        }
    }
}

// Attacks 13 and 14: a kid that no key can have is refused, any other is only ever compared.
#[test]
fn a_kid_is_compared_and_nothing_else() {
    let error = refusal(r#"{"alg":"ES256","kid":""}"#);
    assert_eq!(error, JwsError::Kid(InvalidKid::Empty));
    for kid in [
        r"' OR 1=1 --",
        r"key\u0000.pem",
        r"a\nb",
        r"| sleep 5",
        &"k".repeat(257),
    ] {
        let error = refusal(format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#));
        assert!(matches!(error, JwsError::Kid(_)), "{kid}: {error:?}");
        assert_eq!(error.code(), "token-malformed");
    }
    let signer = Signer::new();
    let keys = set([signer.jwk(Some("k1"))]);
    for kid in [
        "../../../../dev/null",
        "/dev/null",
        "k1/../k1",
        "'OR'1'='1",
        "$(id)",
        "K1",
        "k1'",
    ] {
        let token = signer.token(&format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#), "{}");
        let jws = Jws::parse(&token, MAX_BYTES).unwrap();
        assert_eq!(
            jws.verify(&keys, &Algorithm::ALL),
            Err(JwsError::UnknownKey),
            "{kid}"
        );
    }
}

// Attacks 9, 10, 11 and 12: an attacker signs, and the header carries or points to the key for it.
#[test]
fn keys_in_the_header_are_never_used() {
    let (attacker, issuer) = (Signer::new(), Signer::new());
    let jwk = attacker.jwk(Some("k1")).to_json();
    for parameter in [
        format!(r#""jwk":{jwk}"#),
        r#""jku":"https://evil.example/jwks.json""#.to_owned(),
        r#""x5u":"https://evil.example/chain.pem""#.to_owned(),
        r#""x5c":["MIIBszCCAVmgAwIBAgIUFh"]"#.to_owned(),
    ] {
        let header = format!(r#"{{"alg":"ES256","kid":"k1",{parameter}}}"#);
        let keys = set([issuer.jwk(Some("k1"))]);
        let token = attacker.token(&header, "{}");
        let jws = Jws::parse(&token, MAX_BYTES).unwrap();
        assert_eq!(
            jws.verify(&keys, &Algorithm::ALL),
            Err(JwsError::BadSignature),
            "{header}"
        );
        let none = set([]);
        assert_eq!(
            jws.verify(&none, &Algorithm::ALL),
            Err(JwsError::UnknownKey),
            "{header}"
        );
        // The issuer's own signature counts as ever: the parameter is passed over.
        let token = issuer.token(&header, "{}");
        let jws = Jws::parse(&token, MAX_BYTES).unwrap();
        assert!(jws.verify(&keys, &Algorithm::ALL).is_ok(), "{header}");
    }
}

// Attack 7: there is one header, and it is signed. Nothing outside the compact form is read.
#[test]
fn an_algorithm_cannot_come_from_the_payload() {
    let token = unsigned("{}", r#"{"alg":"ES256"}"#);
    let missing = JwsError::Header(FieldError::Missing { field: "alg" });
    assert_eq!(Jws::parse(&token, MAX_BYTES).unwrap_err(), missing);
}
