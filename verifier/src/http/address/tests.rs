use super::*;

// Attack 83, and standard D2.
#[test]
fn keys_come_over_tls_or_from_this_machine() {
    for text in [
        "https://id.example",
        "https://id.example:8443/tenant/jwks?x=1",
        "http://127.0.0.1:8080/jwks",
        "http://[::1]/jwks",
        "http://localhost/jwks",
    ] {
        assert!(parse_address(text).is_ok(), "{text}");
    }
    for text in [
        "http://id.example/jwks",
        "http://127.0.0.1.example/jwks",
        "http://localhost.example/jwks",
        "ftp://localhost/jwks",
        "file:///etc/passwd",
        "https://user@id.example/jwks",
        "https://user:word@id.example/jwks",
        "id.example/jwks",
        "",
    ] {
        assert_eq!(parse_address(text), Err(InvalidAddress), "{text}");
    }
}

#[test]
fn metadata_stands_where_each_specification_wants_it() {
    for (issuer, openid, oauth) in [
        (
            "https://id.example",
            "https://id.example/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server",
        ),
        (
            "https://id.example/",
            "https://id.example/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server",
        ),
        (
            "https://id.example/tenant",
            "https://id.example/tenant/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server/tenant",
        ),
    ] {
        let issuer = Url::parse(issuer).unwrap();
        assert_eq!(openid_configuration(&issuer).as_str(), openid);
        assert_eq!(authorization_server_metadata(&issuer).as_str(), oauth);
    }
}

#[test]
fn issuer_has_neither_query_nor_fragment() {
    assert!(parse_issuer("https://id.example/tenant").is_ok());
    for text in [
        "https://id.example/?tenant=1",
        "https://id.example/?",
        "https://id.example/#tenant",
        "http://id.example",
    ] {
        assert_eq!(parse_issuer(text), Err(InvalidAddress), "{text}");
    }
}

#[test]
fn public_issuer_keeps_its_keys_on_no_spelling_of_this_machine() {
    let public = Url::parse("https://id.example").unwrap();
    let local = Url::parse("http://127.0.0.1:8080").unwrap();
    for text in [
        "http://127.0.0.1/jwks",
        "http://localhost/jwks",
        "https://127.0.0.1/jwks",
        "https://127.8.9.1/jwks",
        "https://2130706433/jwks",
        "https://0x7f.1/jwks",
        "https://0.0.0.0/jwks",
        "https://[::1]/jwks",
        "https://[::]/jwks",
        "https://[::ffff:127.0.0.1]/jwks",
        "https://localhost/jwks",
        "https://LOCALHOST./jwks",
        "https://id.localhost/jwks",
    ] {
        assert_eq!(
            parse_address_of(text, &public),
            Err(InvalidAddress),
            "{text}"
        );
        assert!(parse_address_of(text, &local).is_ok(), "{text}");
    }
    for text in ["https://id.example/jwks", "https://localhost.example/jwks"] {
        assert!(parse_address_of(text, &public).is_ok(), "{text}");
        assert!(parse_address_of(text, &local).is_ok(), "{text}");
    }
}
