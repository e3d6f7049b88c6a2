//! The elements of an array, as they stand in the text.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{BodyError, DEFAULT_MAX_DEPTH, Document, FieldError, JsonError, Object, parse_with};

/// How many levels stand around an element: the object and the array.
const OUTER_LEVELS: usize = 2;

/// The elements of the one array in an object, such as `{"requests": [...]}`.
///
/// Each is read by itself, by the rules of [`parse`](super::parse), and may be dropped before the next: what
/// is held meanwhile is the text. [`MAX_VALUES`](super::MAX_VALUES) holds for each.
#[derive(Debug)]
pub struct Elements<'t> {
    kept: Vec<&'t RawValue>,
    count: usize,
}

impl<'t> Elements<'t> {
    /// Finds the elements of the array `name`, the object's one member, and keeps up to `most` of them.
    /// `what` names the document in an error. Of an element nothing is checked yet but its syntax.
    ///
    /// # Errors
    ///
    /// [`BodyError::Json`] when the bytes are not JSON or a member stands twice, [`BodyError::Field`]
    /// when they are not an object, or the array is missing or has a neighbour.
    pub fn parse(
        bytes: &'t [u8],
        what: &'static str,
        name: &'static str,
        most: usize,
    ) -> Result<Self, BodyError> {
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            super::parse(bytes, DEFAULT_MAX_DEPTH)?;
            return Err(FieldError::NotAnObject { what }.into());
        }
        let (array, others) = parse_with(bytes, DEFAULT_MAX_DEPTH, 0, |document, deserializer| {
            deserializer.deserialize_map(Outer { document, name })
        })?;
        let array = array.ok_or(FieldError::Missing { field: name })?;
        let elements = Self::of(array, name, most)?;
        let mut others = Object::from(others);
        // Asked for, so that a misspelt name is offered this one.
        let _ = others.take(name);
        others.finish()?;
        Ok(elements)
    }

    fn of(array: &'t RawValue, name: &'static str, most: usize) -> Result<Self, BodyError> {
        let text = array.get();
        if !text.starts_with('[') {
            let expected = "an array";
            let field = name;
            return Err(FieldError::WrongType { field, expected }.into());
        }
        let elements = serde_json::Deserializer::from_str(text)
            .deserialize_seq(Inner { most })
            .map_err(|error| JsonError::from_syntax(&error, text))?;
        Ok(elements)
    }

    /// How many elements there are, those included that were not kept.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Reads the kept elements one after the other.
    ///
    /// # Errors
    ///
    /// As for [`parse`](super::parse), for each.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value, JsonError>> + Send {
        self.kept.iter().map(|element| {
            let bytes = element.get().as_bytes();
            parse_with(bytes, DEFAULT_MAX_DEPTH, OUTER_LEVELS, |document, text| {
                document.deserialize(text)
            })
        })
    }
}

/// Reads the outer object: the array as text, and what else there is.
struct Outer<'a> {
    document: Document<'a>,
    name: &'static str,
}

impl<'t> Visitor<'t> for Outer<'_> {
    type Value = (Option<&'t RawValue>, Map<String, Value>);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let inner = self.document.inner()?;
        let (mut array, mut others) = (None, Map::new());
        while let Some(name) = self.document.next_name(&mut access)? {
            let stands_twice = if name == self.name {
                array.is_some()
            } else {
                others.contains_key(&*name)
            };
            if stands_twice {
                return self.document.refuse_duplicate(&name);
            }
            if name == self.name {
                array = Some(access.next_value()?);
            } else {
                others.insert(name.into_owned(), access.next_value_seed(inner)?);
            }
        }
        Ok((array, others))
    }
}

/// Reads the array: the first elements as text, and how many follow.
struct Inner {
    most: usize,
}

impl<'t> Visitor<'t> for Inner {
    type Value = Elements<'t>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut access: A) -> Result<Elements<'t>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.most {
            match access.next_element()? {
                Some(element) => kept.push(element),
                None => break,
            }
        }
        let mut count = kept.len();
        while access.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Elements { kept, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(text: &str) -> Result<Elements<'_>, BodyError> {
        Elements::parse(text.as_bytes(), "the body", "items", 3)
    }

    #[test]
    fn elements_are_what_the_tree_would_have_and_those_beyond_are_counted() {
        for (text, kept, count) in [
            (r#"{"items":[]}"#, 0, 0),
            (" { \"items\" : [ 1 , {\"a\":[null]} ] } ", 2, 2),
            (r#"{"\u0069tems":["x",[],{},4,5]}"#, 3, 5),
        ] {
            let elements = elements(text).unwrap();
            assert_eq!(elements.count(), count, "{text}");
            let tree = super::super::parse(text.as_bytes(), DEFAULT_MAX_DEPTH).unwrap();
            let tree = tree["items"].as_array().unwrap();
            let read: Vec<Value> = elements.iter().map(Result::unwrap).collect();
            assert_eq!(read, tree[..kept], "{text}");
        }
    }

    #[test]
    fn the_object_around_them_is_read_strictly() {
        for (text, expected) in [
            ("[]", "the body must be a JSON object"),
            ("{}", "items"),
            (r#"{"items":{}}"#, "items"),
            (r#"{"items":"[]"}"#, "items"),
            (r#"{"items":[],"items":[]}"#, "stands twice"),
            (r#"{"items":[],"\u0069tems":[]}"#, "stands twice"),
            (r#"{"item":[],"items":[]}"#, "did you mean \"items\""),
            (r#"{"a":1,"items":[],"a":1}"#, "stands twice"),
            (r#"{"items":[{]}"#, "not JSON"),
            (r#"{"items":[1 2]}"#, "not JSON"),
            (r#"{"items":[1],}"#, "not JSON"),
            (r#"{"items":[1"#, "too early"),
            (r#"{"items":[]} x"#, "follow"),
            ("\u{feff}{\"items\":[]}", "byte order mark"),
        ] {
            let error = elements(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn an_element_is_read_by_the_rules_of_its_document() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let many = |count: usize| format!("[{}]", vec!["0"; count - 1].join(","));
        for (element, expected) in [
            (nested(30), None),
            (nested(31), Some(JsonError::TooDeep { max_depth: 32 })),
            (many(super::super::MAX_VALUES), None),
            (
                many(super::super::MAX_VALUES + 1),
                Some(JsonError::TooManyValues),
            ),
            ("1e400".to_owned(), Some(JsonError::NumberOutOfRange)),
            (
                r#"{"a":1,"a":1}"#.to_owned(),
                Some(JsonError::DuplicateMember {
                    name: "a".to_owned(),
                }),
            ),
            (
                r#"{"$serde_json::private::RawValue":"1"}"#.to_owned(),
                Some(JsonError::ReservedMember),
            ),
        ] {
            let text = format!("{{\"items\":[true,{element},false]}}");
            let elements = elements(&text).unwrap();
            let read: Vec<_> = elements.iter().collect();
            assert_eq!(read[1].clone().err(), expected, "{element:.20}");
            assert!(read[0].is_ok() && read[2].is_ok());
        }
    }
}
