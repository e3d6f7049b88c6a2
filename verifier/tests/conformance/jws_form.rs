//! The outer form of a token: RFC 7515 §3.1, §7.1 and RFC 8725 §3.14 in its revision.

use keywright_verifier::{Algorithm, Jws, JwsError};

use crate::fixtures::{
    MAX_BYTES, RFC_7515_ES256, RFC_7515_RS256, Signer, base64url, octets, set, unsigned,
};

const HEADER: &str = r#"{"alg":"ES256"}"#;

fn refusal(token: &str) -> JwsError {
    Jws::parse(token, MAX_BYTES).unwrap_err()
}

#[test]
fn the_parts_of_a_token_are_what_was_encoded() {
    let header = r#"{"alg":"ES256","kid":"k1","typ":"JWT","extra":[1]}"#;
    let token = format!(
        "{}.{}.{}",
        base64url(header),
        base64url("payload"),
        base64url([7; 64])
    );
    let jws = Jws::parse(&token, MAX_BYTES).unwrap();
    assert_eq!(jws.algorithm(), Algorithm::Es256);
    assert_eq!(jws.kid().unwrap().as_str(), "k1");
    assert_eq!(jws.typ(), Some("JWT"));
    assert_eq!(jws.signature(), [7; 64]);
    assert_eq!(jws.signing_input(), token.rsplit_once('.').unwrap().0);
}

// For a token that no verifier accepts, and that a developer wants to look into.
#[test]
fn a_token_is_taken_apart_whatever_it_says() {
    let header = r#"{"alg":"none","crit":["x"],"extra":[1]}"#;
    let token = format!("{}.{}.", base64url(header), base64url(r#"{"sub":"a"}"#));
    assert!(Jws::parse(&token, MAX_BYTES).is_err());
    let inspected = Jws::inspect(&token, MAX_BYTES).unwrap();
    assert_eq!(serde_json::to_string(&inspected.header).unwrap(), header);
    assert_eq!(inspected.claims["sub"], "a");

    for (token, code) in [
        (token.as_str(), "token-too-large"),
        ("a.b", "token-malformed"),
        ("a.b.c.d.e", "token-encrypted"),
    ] {
        let error = Jws::inspect(token, 10).err().unwrap();
        assert_eq!(error.code(), code);
    }
    for (header, payload) in [("{}", "[]"), ("[]", "{}"), (r#"{"a":1,"a":2}"#, "{}")] {
        let token = unsigned(header, payload);
        let error = Jws::inspect(&token, MAX_BYTES).err().unwrap();
        assert_eq!(error.code(), "token-malformed");
    }
}

#[test]
fn the_rfc_7515_tokens_are_read() {
    for (token, algorithm) in [
        (RFC_7515_RS256, Algorithm::Rs256),
        (RFC_7515_ES256, Algorithm::Es256),
    ] {
        let jws = Jws::parse(token, MAX_BYTES).unwrap();
        assert_eq!(jws.algorithm(), algorithm);
        assert_eq!((jws.kid(), jws.typ()), (None, None));
        let claims = jws.unverified_claims().unwrap();
        assert_eq!(claims["iss"], "joe");
        assert_eq!(claims["exp"], 1_300_819_380);
        assert_eq!(claims["http://example.com/is_root"], true);
    }
}

// Attack 39.
#[test]
fn the_size_limit_is_inclusive_and_comes_before_everything_else() {
    let token = unsigned(HEADER, "{}");
    assert!(Jws::parse(&token, token.len()).is_ok());
    let max_bytes = token.len() - 1;
    assert_eq!(
        Jws::parse(&token, max_bytes).unwrap_err(),
        JwsError::TooLarge { max_bytes }
    );
    let error = refusal(&"!".repeat(MAX_BYTES + 1));
    assert_eq!(
        (error.clone(), error.code()),
        (
            JwsError::TooLarge {
                max_bytes: MAX_BYTES
            },
            "token-too-large"
        )
    );
}

// Attack 39.
#[test]
fn a_million_dots_are_refused_without_being_split() {
    let dots = ".".repeat(1_000_000);
    assert_eq!(
        Jws::parse(&dots, usize::MAX).unwrap_err(),
        JwsError::Parts { parts: 1_000_001 }
    );
    assert_eq!(
        refusal(&dots),
        JwsError::TooLarge {
            max_bytes: MAX_BYTES
        }
    );
}

// Attack 38.
#[test]
fn five_parts_are_refused_by_name() {
    for token in ["a.b.c.d.e", "eyJhbGciOiJkaXIifQ..AA.AA.AA", "...."] {
        let error = refusal(token);
        assert_eq!(
            (error.clone(), error.code()),
            (JwsError::Encrypted, "token-encrypted")
        );
    }
}

#[test]
fn any_other_number_of_parts_is_refused() {
    for (token, parts) in [("", 1), ("a", 1), ("a.b", 2), ("a.b.c.d", 4), (".....", 6)] {
        let error = refusal(token);
        assert_eq!(error, JwsError::Parts { parts }, "{token:?}");
        assert_eq!(error.code(), "token-malformed");
    }
}

// Attack 36.
#[test]
fn padding_white_space_and_every_other_character_are_refused() {
    let token = unsigned(HEADER, "{}");
    for character in [
        '=', ' ', '\n', '\r', '\t', '\0', '+', '/', '~', '%', '"', '{', ',', '\u{7f}', 'é',
        '\u{200b}', '\u{ff21}',
    ] {
        for token in [
            format!("{character}{token}"),
            format!("{token}{character}"),
            token.replacen('.', &format!("{character}."), 1),
        ] {
            let error = refusal(&token);
            assert_eq!(
                (error.clone(), error.code()),
                (JwsError::Character, "token-malformed")
            );
        }
    }
}

// Attack 37.
#[test]
fn the_json_serialization_is_not_the_compact_form() {
    let (input, signature) = RFC_7515_ES256.rsplit_once('.').unwrap();
    let (header, payload) = input.split_once('.').unwrap();
    for token in [
        format!(r#"{{"payload":"{payload}","protected":"{header}","signature":"{signature}"}}"#),
        format!(
            r#"{{"payload":"{payload}","signatures":[{{"protected":"{header}","signature":"{signature}"}}]}}"#
        ),
    ] {
        assert_eq!(refusal(&token), JwsError::Character);
    }
}

// Attack 35: for each part, the same octets in another spelling.
#[test]
fn trailing_bits_that_are_not_zero_are_refused_in_every_part() {
    let token = format!(
        "{}.{}.{}",
        base64url(HEADER),
        base64url("{}"),
        base64url([1; 64])
    );
    assert!(Jws::parse(&token, MAX_BYTES).is_ok());
    for (place, part) in ["payload", "signature"].into_iter().enumerate() {
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let spelling = &mut parts[place + 1];
        let last = spelling.pop().unwrap();
        assert!(
            matches!(last, 'Q' | '0'),
            "the last character carries spare bits: {last}"
        );
        spelling.push(char::from(last as u8 + 1));
        assert_eq!(refusal(&parts.join(".")), JwsError::NotBase64url { part });
    }
    // `{"alg":"ES256"}` fills its characters; a space at the end leaves four spare bits.
    let header = base64url(format!("{HEADER} "));
    let other = format!("{}B", header.strip_suffix('A').unwrap());
    assert!(Jws::parse(&format!("{header}.e30.AAAA"), MAX_BYTES).is_ok());
    let error = refusal(&format!("{other}.e30.AAAA"));
    assert_eq!(error, JwsError::NotBase64url { part: "header" });
}

#[test]
fn a_length_that_no_encoder_produces_is_refused() {
    let error = refusal(&format!("{}.e30.AAAAA", base64url(HEADER)));
    assert_eq!(error, JwsError::NotBase64url { part: "signature" });
}

// RFC 7515 §5.1: octets are signed, and none are octets too. A claims set is never empty; so neither
// is the detached payload of appendix F.
#[test]
fn an_empty_payload_is_verified_as_octets_and_is_no_claims_set() {
    let signer = Signer::new();
    let token = signer.token(HEADER, "");
    let jws = Jws::parse(&token, MAX_BYTES).unwrap();
    let keys = set([signer.jwk(None)]);
    let verified = jws.verify(&keys, &[Algorithm::Es256]).unwrap();
    assert_eq!(verified.payload(), b"");
    let empty = JwsError::EmptyPart { part: "payload" };
    assert_eq!(jws.unverified_claims().unwrap_err(), empty);
    // The signature covers that it is empty.
    let other = signer.token(HEADER, "{}");
    let mixed = format!(
        "{}.{}",
        token.rsplit_once('.').unwrap().0,
        other.rsplit_once('.').unwrap().1
    );
    let jws = Jws::parse(&mixed, MAX_BYTES).unwrap();
    let error = jws.verify(&keys, &[Algorithm::Es256]).unwrap_err();
    assert_eq!(error, JwsError::BadSignature);
}

// Attacks 1 and 30: an empty signature.
#[test]
fn neither_header_nor_signature_may_be_empty() {
    let header = base64url(HEADER);
    for (token, part) in [
        (format!("{header}.e30."), "signature"),
        (".e30.AAAA".to_owned(), "header"),
        ("..".to_owned(), "header"),
    ] {
        let error = refusal(&token);
        assert_eq!(error, JwsError::EmptyPart { part }, "{token}");
        assert_eq!(error.code(), "token-malformed");
    }
}

// Attack 34, and attacks 40 and 41 in the payload.
#[test]
fn claims_are_one_strict_json_object() {
    let claims = |payload: &[u8]| {
        let token = unsigned(HEADER, payload);
        Jws::parse(&token, MAX_BYTES).unwrap().unverified_claims()
    };
    assert_eq!(claims(br#"{"sub":"a"}"#).unwrap()["sub"], "a");
    for payload in [
        br#"{"sub":"a","sub":"b"}"#.as_slice(),
        br#"{"sub":"a","s\u0075b":"b"}"#,
        br#"{"exp":1e400}"#,
        b"\xef\xbb\xbf{}",
        b"{\"sub\":\"\xff\"}",
        br#"{"sub":"\ud800"}"#,
        b"{\"sub\":\"\0\"}",
        b"{} {}",
        b"{}\0",
        &[b"{\"a\":".as_slice(), &[b'['; 40], &[b']'; 40], b"}"].concat(),
        b"not json",
    ] {
        let error = claims(payload).unwrap_err();
        assert!(matches!(error, JwsError::PayloadJson(_)), "{error:?}");
        assert_eq!(error.code(), "token-malformed");
    }
    for payload in [b"[]".as_slice(), b"null", b"\"sub\"", b"1"] {
        assert!(matches!(claims(payload), Err(JwsError::Payload(_))));
    }
}

// Attack 67: a token is a credential, and errors and Debug end up in logs.
#[test]
fn neither_debug_nor_an_error_repeats_the_token() {
    let token = Signer::new().token(HEADER, r#"{"sub":"a-secret-subject"}"#);
    let jws = Jws::parse(&token, MAX_BYTES).unwrap();
    let debug = format!("{jws:?}");
    for part in token.split('.') {
        assert!(!debug.contains(part));
    }
    let signature = format!("{:?}", octets(token.rsplit_once('.').unwrap().1));
    assert!(!debug.contains("secret") && !debug.contains(signature.trim_matches(['[', ']'])));

    for header in [
        r#"{"alg":"a-secret-algorithm"}"#,
        r#"{"alg":"ES256","kid":"a secret kid"}"#,
        r#"{"alg":"ES256","typ":["a-secret-typ"]}"#,
        r#"{"alg":"ES256","crit":["a-secret-extension"]}"#,
        r#""a-secret-string""#,
        r#"{"alg":"a-secret"#,
    ] {
        let token = unsigned(header, "{}");
        let error = refusal(&token);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("secret"), "{text}");
    }
    let error = refusal(&format!("{token}!"));
    assert!(
        token
            .split('.')
            .all(|part| !format!("{error} {error:?}").contains(part))
    );
}
