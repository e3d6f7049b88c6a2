//! The elements of an array, as they stand in the text.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{
    BodyError, BorrowedValue, DEFAULT_MAX_DEPTH, Document, FieldError, JsonError, Object,
    parse_text_with, parse_with,
};

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
        let outer = Outer { name, most };
        let (array, others) = parse_with(bytes, DEFAULT_MAX_DEPTH, |document, deserializer| {
            deserializer.deserialize_map(OuterReader { document, outer })
        })?;
        let elements = match array.ok_or(FieldError::Missing { field: name })? {
            Array::Elements(elements) => elements,
            Array::AnotherType => {
                let expected = "an array";
                let field = name;
                return Err(FieldError::WrongType { field, expected }.into());
            }
        };
        let mut others = Object::from(others);
        // Asked for, so that a misspelt name is offered this one.
        let _ = others.take(name);
        others.finish()?;
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
    pub fn iter(&self) -> impl Iterator<Item = Result<BorrowedValue<'t>, JsonError>> + Send {
        self.kept.iter().map(|element: &&'t RawValue| {
            let text = element.get();
            parse_text_with(text, DEFAULT_MAX_DEPTH, OUTER_LEVELS, |document, text| {
                document.deserialize(text)
            })
        })
    }
}

/// What is read of the outer object.
#[derive(Clone, Copy)]
struct Outer {
    /// The name of the array.
    name: &'static str,
    /// How many of its elements are kept.
    most: usize,
}

/// What stands in the place of the array.
enum Array<'t> {
    Elements(Elements<'t>),
    AnotherType,
}

/// Reads the outer object: the array element by element, and what else there is.
struct OuterReader<'a> {
    document: Document<'a>,
    outer: Outer,
}

impl<'t> Visitor<'t> for OuterReader<'_> {
    type Value = (Option<Array<'t>>, Map<String, Value>);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let Self { document, outer } = self;
        let inner = document.inner()?;
        let (mut array, mut others) = (None, Map::new());
        while let Some(name) = document.next_name(&mut access)? {
            let stands_twice = if name == outer.name {
                array.is_some()
            } else {
                others.contains_key(&*name)
            };
            if stands_twice {
                return document.refuse_duplicate(&name);
            }
            if name == outer.name {
                array = Some(access.next_value_seed(outer)?);
            } else {
                let value = access.next_value_seed(inner)?;
                others.insert(name.into_owned(), value.into());
            }
        }
        Ok((array, others))
    }
}

impl<'t> DeserializeSeed<'t> for Outer {
    type Value = Array<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Array<'t>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Reads the array: the first elements as text, and how many follow.
impl<'t> Visitor<'t> for Outer {
    type Value = Array<'t>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut access: A) -> Result<Array<'t>, A::Error> {
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
        Ok(Array::Elements(Elements { kept, count }))
    }

    fn visit_map<A: MapAccess<'t>>(self, access: A) -> Result<Array<'t>, A::Error> {
        IgnoredAny.visit_map(access).map(|_| Array::AnotherType)
    }

    fn visit_unit<E>(self) -> Result<Array<'t>, E> {
        Ok(Array::AnotherType)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Array<'t>, E> {
        Ok(Array::AnotherType)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Array<'t>, E> {
        Ok(Array::AnotherType)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Array<'t>, E> {
        Ok(Array::AnotherType)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Array<'t>, E> {
        Ok(Array::AnotherType)
    }

    fn visit_str<E>(self, _: &str) -> Result<Array<'t>, E> {
        Ok(Array::AnotherType)
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
            let read = elements.iter().map(|element| element.unwrap().into());
            let read: Vec<Value> = read.collect();
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
