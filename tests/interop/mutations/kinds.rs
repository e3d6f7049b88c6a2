//! What is done to a token, by name.

/// Headers in place of `{"alg":"ALG","kid":"KID","typ":"JWT"}`, signed with the issuer's key.
pub(super) const HEADERS: [(&str, &str); 34] = [
    (
        "header as it should be",
        r#"{"alg":"ALG","kid":"KID","typ":"JWT"}"#,
    ),
    (
        "header in another order",
        r#"{"typ":"JWT","kid":"KID","alg":"ALG"}"#,
    ),
    (
        "header with white space",
        " {\n\t\"alg\" : \"ALG\" , \"kid\":\"KID\"} ",
    ),
    ("header name escaped", r#"{"\u0061lg":"ALG","kid":"KID"}"#),
    ("no typ", r#"{"alg":"ALG","kid":"KID"}"#),
    (
        "typ in full",
        r#"{"alg":"ALG","kid":"KID","typ":"application/jwt"}"#,
    ),
    (
        "typ of another kind",
        r#"{"alg":"ALG","kid":"KID","typ":"logout+jwt"}"#,
    ),
    ("typ a number", r#"{"alg":"ALG","kid":"KID","typ":1}"#),
    ("typ null", r#"{"alg":"ALG","kid":"KID","typ":null}"#),
    ("no kid", r#"{"alg":"ALG","typ":"JWT"}"#),
    (
        "kid of no key",
        r#"{"alg":"ALG","kid":"another","typ":"JWT"}"#,
    ),
    (
        "kid of the other key",
        r#"{"alg":"ALG","kid":"OTHER","typ":"JWT"}"#,
    ),
    ("kid empty", r#"{"alg":"ALG","kid":"","typ":"JWT"}"#),
    ("kid a number", r#"{"alg":"ALG","kid":1,"typ":"JWT"}"#),
    (
        "kid twice",
        r#"{"alg":"ALG","kid":"another","kid":"KID","typ":"JWT"}"#,
    ),
    ("alg none", r#"{"alg":"none","kid":"KID","typ":"JWT"}"#),
    ("alg nOnE", r#"{"alg":"nOnE","kid":"KID","typ":"JWT"}"#),
    ("alg HS256", r#"{"alg":"HS256","kid":"KID","typ":"JWT"}"#),
    ("alg PS256", r#"{"alg":"PS256","kid":"KID","typ":"JWT"}"#),
    (
        "alg in lower case",
        r#"{"alg":"alg","kid":"KID","typ":"JWT"}"#,
    ),
    ("alg missing", r#"{"kid":"KID","typ":"JWT"}"#),
    ("alg an array", r#"{"alg":["ALG"],"kid":"KID","typ":"JWT"}"#),
    (
        "alg twice",
        r#"{"alg":"none","alg":"ALG","kid":"KID","typ":"JWT"}"#,
    ),
    (
        "crit of an unknown extension",
        r#"{"alg":"ALG","kid":"KID","crit":["x"],"x":1}"#,
    ),
    ("crit empty", r#"{"alg":"ALG","kid":"KID","crit":[]}"#),
    (
        "crit no array",
        r#"{"alg":"ALG","kid":"KID","crit":"x","x":1}"#,
    ),
    ("b64 false", r#"{"alg":"ALG","kid":"KID","b64":false}"#),
    (
        "b64 false and critical",
        r#"{"alg":"ALG","kid":"KID","b64":false,"crit":["b64"]}"#,
    ),
    ("zip", r#"{"alg":"ALG","kid":"KID","zip":"DEF"}"#),
    (
        "jku",
        r#"{"alg":"ALG","kid":"KID","jku":"https://evil.example/jwks"}"#,
    ),
    ("header an array", r#"["alg","ALG"]"#),
    (
        "header with a byte order mark",
        "\u{feff}{\"alg\":\"ALG\",\"kid\":\"KID\"}",
    ),
    (
        "header with bytes behind",
        "{\"alg\":\"ALG\",\"kid\":\"KID\"} x",
    ),
    (
        "header with a number beyond all",
        r#"{"alg":"ALG","kid":"KID","x":1e400}"#,
    ),
];

/// Claims in place of what the rest of the set says, signed with the issuer's key. `NOW` is the time.
pub(super) const CLAIMS: [(&str, &str); 49] = [
    (
        "claims as they should be",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600"#,
    ),
    (
        "an extra claim",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"x":{"y":[1,2.5,null]}"#,
    ),
    ("exp passed", r#""iss":"ISS","aud":"AUD","exp":NOW-100"#),
    ("exp zero", r#""iss":"ISS","aud":"AUD","exp":0"#),
    ("exp negative", r#""iss":"ISS","aud":"AUD","exp":-1"#),
    (
        "exp a fraction",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600.5"#,
    ),
    (
        "exp with an exponent",
        r#""iss":"ISS","aud":"AUD","exp":9e9"#,
    ),
    (
        "exp far away",
        r#""iss":"ISS","aud":"AUD","exp":253402300799"#,
    ),
    (
        "exp beyond all calendars",
        r#""iss":"ISS","aud":"AUD","exp":9007199254740991"#,
    ),
    (
        "exp beyond a double's integers",
        r#""iss":"ISS","aud":"AUD","exp":1e300"#,
    ),
    ("exp beyond all", r#""iss":"ISS","aud":"AUD","exp":1e400"#),
    ("exp a string", r#""iss":"ISS","aud":"AUD","exp":"NOW+600""#),
    ("exp null", r#""iss":"ISS","aud":"AUD","exp":null"#),
    ("exp true", r#""iss":"ISS","aud":"AUD","exp":true"#),
    ("exp an array", r#""iss":"ISS","aud":"AUD","exp":[NOW+600]"#),
    ("exp missing", r#""iss":"ISS","aud":"AUD""#),
    (
        "exp twice",
        r#""iss":"ISS","aud":"AUD","exp":NOW-100,"exp":NOW+600"#,
    ),
    (
        "nbf passed",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"nbf":NOW-100"#,
    ),
    (
        "nbf to come",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"nbf":NOW+300"#,
    ),
    (
        "nbf a string",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"nbf":"NOW-100""#,
    ),
    (
        "nbf null",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"nbf":null"#,
    ),
    (
        "nbf negative",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"nbf":-1"#,
    ),
    (
        "iat passed",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"iat":NOW-100"#,
    ),
    (
        "iat to come",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"iat":NOW+300"#,
    ),
    (
        "iat a string",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"iat":"NOW-100""#,
    ),
    ("iss missing", r#""aud":"AUD","exp":NOW+600"#),
    (
        "iss with a slash",
        r#""iss":"ISS/","aud":"AUD","exp":NOW+600"#,
    ),
    (
        "iss cut",
        r#""iss":"https://id.example","aud":"AUD","exp":NOW+600"#,
    ),
    (
        "iss in upper case",
        r#""iss":"HTTPS://ID.EXAMPLE.COM","aud":"AUD","exp":NOW+600"#,
    ),
    ("iss an array", r#""iss":["ISS"],"aud":"AUD","exp":NOW+600"#),
    (
        "iss twice",
        r#""iss":"https://evil.example","iss":"ISS","aud":"AUD","exp":NOW+600"#,
    ),
    ("aud missing", r#""iss":"ISS","exp":NOW+600"#),
    (
        "aud a list",
        r#""iss":"ISS","aud":["billing","AUD"],"exp":NOW+600"#,
    ),
    (
        "aud a list without me",
        r#""iss":"ISS","aud":["billing"],"exp":NOW+600"#,
    ),
    ("aud an empty list", r#""iss":"ISS","aud":[],"exp":NOW+600"#),
    (
        "aud part of me",
        r#""iss":"ISS","aud":"order","exp":NOW+600"#,
    ),
    (
        "aud more than me",
        r#""iss":"ISS","aud":"orders-admin","exp":NOW+600"#,
    ),
    ("aud a number", r#""iss":"ISS","aud":1,"exp":NOW+600"#),
    (
        "aud an object",
        r#""iss":"ISS","aud":{"AUD":1},"exp":NOW+600"#,
    ),
    (
        "aud a mixed list",
        r#""iss":"ISS","aud":["AUD",1],"exp":NOW+600"#,
    ),
    (
        "aud twice",
        r#""iss":"ISS","aud":"billing","aud":"AUD","exp":NOW+600"#,
    ),
    (
        "sub a number",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"sub":1"#,
    ),
    (
        "jti a number",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"jti":1"#,
    ),
    (
        "a claim twice",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"role":"user","role":"admin""#,
    ),
    (
        "a lone surrogate",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"x":"\ud800""#,
    ),
    (
        "a NUL in a string",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"x":"\u0000""#,
    ),
    (
        "an integer beyond 64 bits",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"x":123456789012345678901234567890"#,
    ),
    (
        "claims nested 200 levels",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"x":NEST"#,
    ),
    (
        "a trailing comma",
        r#""iss":"ISS","aud":"AUD","exp":NOW+600,"#,
    ),
];

/// Changes to the text of a token whose signature is then what it was.
pub(super) const TEXTS: [&str; 19] = [
    "one bit of one character",
    "one character",
    "a character less",
    "a character more",
    "the end cut",
    "padding",
    "the other alphabet",
    "white space before",
    "white space behind",
    "a line break within",
    "trailing bits",
    "a part twice",
    "a part less",
    "parts exchanged",
    "five parts",
    "a dot behind",
    "an empty signature",
    "another token's signature",
    "JSON serialisation",
];

/// Changes to the octets of the signature.
pub(super) const SIGNATURES: [&str; 13] = [
    "zeros",
    "r zero",
    "s zero",
    "r the order",
    "s the order",
    "s mirrored",
    "DER",
    "a zero in front",
    "a zero behind",
    "half",
    "all ones",
    "of the other algorithm",
    "of another key",
];
