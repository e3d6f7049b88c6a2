//! The members of one object, as they stand in the text.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value};

use super::{Document, JsonError, parse_with};

/// Up to so many members the names are compared with one another, which is quicker than a table of
/// them; beyond, it would take the square of their number.
const FEW: usize = 16;

/// An object whose names are borrowed from the text, in its order.
///
/// What [`parse`](super::parse) makes of an object, without the tree around it: it stands in the path
/// of every verification, where few members are read once.
#[derive(Debug)]
pub(crate) struct Members<'t>(Vec<(Cow<'t, str>, Value)>);

impl<'t> Members<'t> {
    /// Reads exactly one JSON document, by the rules of [`parse`](super::parse).
    ///
    /// # Errors
    ///
    /// As for [`parse`](super::parse). `Ok(None)` when the document is no object.
    pub(crate) fn parse(bytes: &'t [u8], max_depth: usize) -> Result<Option<Self>, JsonError> {
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return super::parse(bytes, max_depth).map(|_| None);
        }
        parse_with(bytes, max_depth, 0, |document, deserializer| {
            deserializer.deserialize_map(Reader(document))
        })
        .map(Some)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.0.iter().find(|(other, _)| other == name)?;
        Some(value)
    }

    /// Reads the members into a type of the caller's.
    pub(crate) fn read_into<C: DeserializeOwned>(self) -> Result<C, serde_json::Error> {
        C::deserialize(self)
    }

    pub(crate) fn into_map(self) -> Map<String, Value> {
        self.0
            .into_iter()
            .map(|(name, value)| (name.into_owned(), value))
            .collect()
    }
}

#[cfg(test)]
impl From<Map<String, Value>> for Members<'_> {
    fn from(map: Map<String, Value>) -> Self {
        Self(
            map.into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        )
    }
}

/// Reads the outermost object.
struct Reader<'a>(Document<'a>);

impl<'t> Visitor<'t> for Reader<'_> {
    type Value = Members<'t>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut access: A) -> Result<Members<'t>, A::Error> {
        let inner = self.0.inner()?;
        let mut members: Vec<(Cow<'t, str>, Value)> = Vec::with_capacity(FEW);
        let mut names = HashSet::new();
        while let Some(name) = self.0.next_name(&mut access)? {
            let stands_twice = if members.len() < FEW {
                members.iter().any(|(other, _)| *other == name)
            } else {
                if names.is_empty() {
                    names.extend(members.iter().map(|(name, _)| name.clone()));
                }
                !names.insert(name.clone())
            };
            if stands_twice {
                return self.0.refuse_duplicate(&name);
            }
            members.push((name, access.next_value_seed(inner)?));
        }
        Ok(Members(members))
    }
}

/// As an object, as what a newtype holds, or as an option that is there.
impl<'de> Deserializer<'de> for Members<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_map(MapDeserializer::new(self.0.into_iter()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Members<'_>>, JsonError> {
        Members::parse(text.as_bytes(), 4)
    }

    #[test]
    fn members_are_what_the_tree_would_have() {
        for text in [
            "{}",
            " {\n} ",
            r#"{"a":1,"b":"x","c":{"d":[null,true,-2.5]}}"#,
            r#"{"\u0061":"\u00e9","":0}"#,
        ] {
            let members = parse(text).unwrap().unwrap();
            let tree = super::super::parse(text.as_bytes(), 4).unwrap();
            assert_eq!(Value::Object(members.into_map()), tree, "{text}");
        }
    }

    #[test]
    fn what_the_tree_refuses_is_refused_alike() {
        for text in [
            "",
            "{",
            "\u{feff}{}",
            "{} {}",
            "{}x",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"$serde_json::private::RawValue":"1"}"#,
            r#"{"a":{"$serde_json::private::RawValue":"1"}}"#,
            r#"{"x":{"a":1,"a":1}}"#,
            r#"{"a":1e400}"#,
            r#"{"a":1e300}"#,
            r#"{"a":[[[[1]]]]}"#,
            r#"{"a":"\ud800"}"#,
            r#"{a:1}"#,
            r#"{"a":1,}"#,
            "[[[[[",
            "nul",
        ] {
            let error = parse(text).unwrap_err();
            let tree = super::super::parse(text.as_bytes(), 4).unwrap_err();
            assert_eq!(error, tree, "{text}");
        }
        assert!(matches!(parse(r#"{"a":[[[1]]]}"#), Ok(Some(_))));
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        for text in ["[]", "null", " \"a\"", "1"] {
            assert!(matches!(parse(text), Ok(None)), "{text}");
        }
    }

    // Beyond a few members another way finds them.
    #[test]
    fn a_name_that_stands_twice_is_found_wherever_it_stands() {
        let object = |names: &[usize]| {
            let members: Vec<String> = names.iter().map(|name| format!("\"{name}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let distinct: Vec<usize> = (0..40).collect();
        assert!(parse(&object(&distinct)).is_ok());
        for first in [0, 14, 15, 16, 17, 38] {
            for second in first + 1..40 {
                let mut names = distinct.clone();
                names[second] = first;
                let error = parse(&object(&names)).unwrap_err();
                let name = first.to_string();
                assert_eq!(error, JsonError::DuplicateMember { name });
            }
        }
    }

    #[test]
    fn members_are_read_into_any_shape_of_object() {
        #[derive(serde::Deserialize, PartialEq, Debug)]
        struct Claims {
            sub: String,
            admin: Option<bool>,
        }
        #[derive(serde::Deserialize, PartialEq, Debug)]
        struct Newtype(Claims);

        let text = r#"{"sub":"a","admin":true,"other":[1]}"#;
        let members = || parse(text).unwrap().unwrap();
        let claims = || Claims {
            sub: "a".to_owned(),
            admin: Some(true),
        };
        assert_eq!(members().read_into::<Claims>().unwrap(), claims());
        assert_eq!(members().read_into::<Newtype>().unwrap(), Newtype(claims()));
        let option = members().read_into::<Option<Claims>>().unwrap();
        assert_eq!(option, Some(claims()));
        let value = members().read_into::<Value>().unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
        members().read_into::<Vec<u8>>().unwrap_err();
        members().read_into::<String>().unwrap_err();
    }
}
