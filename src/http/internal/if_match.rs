//! `If-Match` (RFC 9110 §13.1.1).

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;

use crate::access::Precondition;
use crate::authority::Authority;

/// What the caller expects of the record that it replaces.
pub(super) struct IfMatch(pub(super) Precondition);

impl FromRequestParts<Arc<Authority>> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Authority>) -> Result<Self, Infallible> {
        Ok(Self(precondition(&parts.headers)))
    }
}

/// What is no strong entity tag matches nothing: weak tags are not compared (RFC 9110 §8.8.3.2),
/// and text without quotation marks is none.
fn precondition(headers: &HeaderMap) -> Precondition {
    let values: Vec<&[u8]> = headers
        .get_all(IF_MATCH)
        .iter()
        .map(|value| value.as_bytes().trim_ascii())
        .collect();
    match values.as_slice() {
        [] => Precondition::None,
        [b"*"] => Precondition::Exists,
        // A comma may stand in a tag, but not in one of ours.
        values => {
            let tags = values
                .iter()
                .flat_map(|list| list.split(|byte| *byte == b','));
            Precondition::OneOf(tags.filter_map(own_tag).collect())
        }
    }
}

/// A strong entity tag that can be a record's, without its quotation marks.
fn own_tag(tag: &[u8]) -> Option<String> {
    let tag = tag.trim_ascii();
    let tag = tag.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let is_own = tag.len() == 32 && tag.iter().all(u8::is_ascii_hexdigit);
    String::from_utf8(tag.to_vec()).ok().filter(|_| is_own)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const ONE: &str = "00112233445566778899aabbccddeeff";
    const TWO: &str = "ffeeddccbbaa99887766554433221100";

    fn of(values: &[&[u8]]) -> Precondition {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IF_MATCH, HeaderValue::from_bytes(value).unwrap());
        }
        precondition(&headers)
    }

    fn one_of(tags: &[&str]) -> Precondition {
        Precondition::OneOf(tags.iter().map(|tag| (*tag).to_owned()).collect())
    }

    #[test]
    fn without_the_header_there_is_no_condition() {
        assert_eq!(of(&[]), Precondition::None);
    }

    #[test]
    fn an_asterisk_alone_asks_for_any_record() {
        assert_eq!(of(&[b"*"]), Precondition::Exists);
        assert_eq!(of(&[b" *\t"]), Precondition::Exists);
    }

    #[test]
    fn a_list_is_its_strong_tags_from_all_lines() {
        let (one, two) = (format!("\"{ONE}\""), format!("\"{TWO}\""));
        assert_eq!(of(&[one.as_bytes()]), one_of(&[ONE]));
        for lines in [
            vec![format!("{one}, {two}")],
            vec![format!(",{one}\t,, {two} ,")],
            vec![one.clone(), two.clone()],
            vec![format!("W/\"{ONE}\", {one}"), format!("\"a,b\",{two}")],
        ] {
            let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
            assert_eq!(of(&lines), one_of(&[ONE, TWO]), "{lines:?}");
        }
        let other = [b"\"\xe9\", ".as_slice(), one.as_bytes()].concat();
        assert_eq!(of(&[&other]), one_of(&[ONE]));
    }

    #[test]
    fn what_is_no_strong_tag_of_a_record_matches_nothing() {
        let weak = format!("W/\"{ONE}\"");
        let upper = format!("\"{}\"", ONE.to_uppercase());
        for value in [
            "",
            ",",
            "\"",
            "\"\"",
            ONE,
            "\"*\"",
            "*, *",
            &weak,
            &format!("\"{ONE}"),
            &format!("'{ONE}'"),
        ] {
            let condition = of(&[value.as_bytes()]);
            assert_eq!(condition, one_of(&[]), "{value}");
            assert!(!condition.allows(Some(ONE)), "{value}");
        }
        assert!(!of(&[upper.as_bytes()]).allows(Some(ONE)));
        assert!(!of(&[b"*", b"*"]).allows(Some(ONE)));
    }
}
