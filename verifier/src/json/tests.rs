//! What [`parse`] accepts and refuses.

use serde_json::{Value, json};

use super::{DEFAULT_MAX_DEPTH, JsonError, MAX_VALUES, parse};

fn read(text: impl AsRef<[u8]>) -> Result<Value, JsonError> {
    parse(text.as_ref(), DEFAULT_MAX_DEPTH)
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn a_document_becomes_the_tree_that_it_describes() {
    let text = r#" {"a":[1,-2,2.5,true,false,null,"x\ny\u00e9"],"b":{},"c":{"d":[]}} "#;
    let tree = json!({
        "a": [1, -2, 2.5, true, false, null, "x\ny\u{e9}"], "b": {}, "c": {"d": []}
    });
    assert_eq!(read(text), Ok(tree));
    assert_eq!(read("\"only a string\""), Ok(json!("only a string")));
}

// Attack 33: compared after unescaping, at every level.
#[test]
fn a_member_that_stands_twice_is_refused_and_named() {
    for text in [
        r#"{"kid":1,"kid":2}"#,
        r#"{"kid":1,"kid":1}"#,
        r#"{"kid":1,"other":2,"k\u0069d":3}"#,
        r#"{"a":[{"b":{"kid":1,"kid":2}}]}"#,
        r#"{"kid":null,"kid":null}"#,
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(
            error,
            JsonError::DuplicateMember {
                name: "kid".to_owned()
            },
            "{text}"
        );
        assert_eq!(
            error.to_string(),
            "member \"kid\" stands twice in one object"
        );
    }
}

#[test]
fn one_name_in_two_objects_is_no_duplicate() {
    let text = r#"{"a":{"a":1},"b":[{"a":1},{"a":1}],"A":1}"#;
    assert!(read(text).is_ok());
}

#[test]
fn the_name_in_an_error_is_escaped_and_at_most_64_characters() {
    for name in ["x".repeat(5000), "\u{1b}[31m".repeat(500), "é".repeat(500)] {
        let key = serde_json::to_string(&name).unwrap();
        let JsonError::DuplicateMember { name } = read(format!("{{{key}:1,{key}:2}}")).unwrap_err()
        else {
            panic!("a duplicate");
        };
        assert!(
            name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic()),
            "{name}"
        );
    }
}

// Attack 40.
#[test]
fn nesting_deeper_than_the_limit_is_refused() {
    assert!(read(nested(32)).is_ok());
    assert_eq!(read(nested(33)), Err(JsonError::TooDeep { max_depth: 32 }));
    let objects = format!("{}1{}", "{\"a\":".repeat(33), "}".repeat(33));
    assert_eq!(read(objects), Err(JsonError::TooDeep { max_depth: 32 }));
    assert_eq!(parse(b"[]", 0), Err(JsonError::TooDeep { max_depth: 0 }));
    assert_eq!(parse(b"1", 0), Ok(json!(1)));
}

// Attack 40: it is the limit that stops a bomb, not the end of the stack.
#[test]
fn a_limit_above_126_is_taken_as_126() {
    assert!(parse(nested(126).as_bytes(), usize::MAX).is_ok());
    let too_deep = Err(JsonError::TooDeep { max_depth: 126 });
    assert_eq!(parse(nested(127).as_bytes(), usize::MAX), too_deep);
    assert_eq!(
        parse("[".repeat(1_000_000).as_bytes(), usize::MAX),
        too_deep
    );
}

// A tree takes up to a hundred times the bytes of its text.
#[test]
fn a_document_of_too_many_values_is_refused_wherever_they_stand() {
    let list = |count: usize| format!("[{}]", vec!["0"; count].join(","));
    let objects = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    let members = |count: usize| {
        let members: Vec<String> = (0..count).map(|name| format!("\"{name}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let nested = |count: usize| format!("{{\"a\":[[{}]]}}", vec!["[]"; count].join(","));
    for (text, outside) in [
        (&list as &dyn Fn(usize) -> String, 1),
        (&objects, 1),
        (&members, 1),
        (&nested, 3),
    ] {
        assert!(read(text(MAX_VALUES - outside)).is_ok());
        let one_more = text(MAX_VALUES - outside + 1);
        assert_eq!(read(one_more), Err(JsonError::TooManyValues));
    }
}

#[test]
fn integers_of_64_bits_keep_their_value() {
    for text in [
        "0",
        "-1",
        "9007199254740993",
        "-9223372036854775808",
        "18446744073709551615",
    ] {
        assert_eq!(read(text).unwrap().to_string(), text);
    }
    assert_eq!(
        read("18446744073709551615").unwrap().as_u64(),
        Some(u64::MAX)
    );
    assert_eq!(
        read("-9223372036854775808").unwrap().as_i64(),
        Some(i64::MIN)
    );
}

// Attacks 40 and 46.
#[test]
fn numbers_that_would_lose_their_value_are_refused() {
    for number in [
        "18446744073709551616",
        "-9223372036854775809",
        "9007199254740994.0",
        "1e16",
        "-1e16",
        "1e400",
        "-1e400",
        "1E+400",
        "1e99999999999999999999",
    ] {
        for text in [
            number.to_owned(),
            format!("[{number}]"),
            format!("{{\"a\":\n {number} , \"b\":1}}"),
            format!("[1.5,\n\n{number}\n]"),
        ] {
            assert_eq!(read(&text), Err(JsonError::NumberOutOfRange), "{text}");
        }
    }
    let long = format!("1{}", "0".repeat(400));
    assert_eq!(read(long), Err(JsonError::NumberOutOfRange));
}

#[test]
fn doubles_up_to_2_to_the_53_are_accepted() {
    for (text, value) in [
        ("1.5", 1.5),
        ("-0.25", -0.25),
        ("1e3", 1000.0),
        ("9007199254740992.0", 9_007_199_254_740_992.0),
    ] {
        assert_eq!(read(text).unwrap().as_f64(), Some(value), "{text}");
    }
}

// Attack 41.
#[test]
fn a_byte_order_mark_is_refused() {
    assert_eq!(read(b"\xef\xbb\xbf{}"), Err(JsonError::ByteOrderMark));
    assert!(read("\u{feff}").is_err());
    // Inside a string it is a character like any other.
    assert_eq!(read("\"\u{feff}\""), Ok(json!("\u{feff}")));
}

// Attack 41.
#[test]
fn only_utf_8_is_read() {
    assert_eq!(read(b"\"a\xff\""), Err(JsonError::NotUtf8 { at: 2 }));
    // A surrogate, an overlong NUL, and UTF-16.
    for bytes in [
        b"\"\xed\xa0\x80\"".as_slice(),
        b"\"\xc0\x80\"",
        b"\xff\xfe{\0}\0",
    ] {
        assert!(matches!(read(bytes), Err(JsonError::NotUtf8 { .. })));
    }
    assert!(matches!(read(b"{\0}\0"), Err(JsonError::Syntax { .. })));
}

// Attack 41.
#[test]
fn lone_surrogates_and_raw_control_characters_are_refused() {
    for text in [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#"{"\ud800":1}"#,
        "\"\0\"",
        "\"a\nb\"",
        "\"\u{1}\"",
    ] {
        assert!(
            matches!(read(text), Err(JsonError::Syntax { .. })),
            "{text:?}"
        );
    }
    assert_eq!(read(r#""\ud83d\ude00""#), Ok(json!("\u{1f600}")));
}

#[test]
fn a_second_document_or_any_other_byte_after_the_first_is_refused() {
    for text in ["{}{}", "{} x", "1 2", "null,", "[]]", "{}\0", "\"a\"\"b\""] {
        assert!(
            matches!(read(text), Err(JsonError::TrailingBytes { .. })),
            "{text:?}"
        );
    }
    assert!(read("{}\r\n\t ").is_ok());
    assert!(read("{}\u{a0}").is_err());
}

#[test]
fn what_is_nearly_json_is_not_json() {
    for text in [
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "{\"a\":1,}",
        "01",
        "+1",
        ".5",
        "[1.]",
        "[0x10]",
        "NaN",
        "Infinity",
        "-Infinity",
        "True",
        "// comment\n1",
        "{\"a\" 1}",
        "\"\\x41\"",
        "{1:2}",
    ] {
        assert!(
            matches!(read(text), Err(JsonError::Syntax { .. })),
            "{text:?}: {:?}",
            read(text)
        );
    }
}

#[test]
fn a_document_that_stops_is_told_apart() {
    for text in ["", " ", "{", "[1", "\"abc", "{\"a\":", "tru", "-", "1."] {
        assert_eq!(read(text), Err(JsonError::UnexpectedEnd), "{text:?}");
    }
}

#[test]
fn an_error_names_the_place_and_no_value() {
    let error = read("{\"password\": \"hunter2\",\n \"b\": hunter3}").unwrap_err();
    assert_eq!(error, JsonError::Syntax { line: 2, column: 7 });
    let text = format!("{error} {error:?}");
    assert!(!text.contains("hunter"), "{text}");
}

// The names under which serde_json smuggles raw text and long numbers through serde: a caller that
// reads the tree into its own type would find the text inside, unchecked, in the place of the object.
#[test]
fn names_that_serde_json_uses_inside_are_refused() {
    for text in [
        r#"{"$serde_json::private::RawValue":"1"}"#,
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"a":[{"b":1,"\u0024serde_json::private::RawValue":"1"}]}"#,
    ] {
        assert_eq!(read(text), Err(JsonError::ReservedMember), "{text}");
    }
    assert!(read(r#"{"$serde_json":1,"private::RawValue":2}"#).is_ok());
}
