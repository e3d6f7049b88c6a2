//! The members of one object, as they stand in the text.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserializer, Serialize, Serializer, forward_to_deserialize_any};
use serde_json::{Map, Value};

use super::{BorrowedValue, Document, JsonError, parse_borrowed};

/// Up to so many members the names are compared with one another, which is quicker than a table of
/// them; beyond, it would take the square of their number.
const FEW: usize = 16;

/// How many members there is room for at once: most objects have fewer.
const ROOM: usize = 8;

/// An object whose texts are borrowed from the document, in the order of its names.
///
/// It has what a [`Map`] has, without an allocation for each name and text: it stands in the path of
/// every signature and verification, where few members are read once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members<'t>(Vec<(Cow<'t, str>, BorrowedValue<'t>)>);

impl<'t> Members<'t> {
    /// Reads exactly one JSON document, by the rules of [`parse`](super::parse).
    ///
    /// # Errors
    ///
    /// As for [`parse`](super::parse). `Ok(None)` when the document is no object.
    pub(crate) fn parse(bytes: &'t [u8], max_depth: usize) -> Result<Option<Self>, JsonError> {
        match parse_borrowed(bytes, max_depth)? {
            BorrowedValue::Object(members) => Ok(Some(members)),
            _ => Ok(None),
        }
    }

    /// Reads the members of an object, each by the rules of its document.
    pub(super) fn read<A: MapAccess<'t>>(
        document: Document<'_>,
        access: &mut A,
    ) -> Result<Self, A::Error> {
        let inner = document.inner()?;
        let mut members: Vec<(Cow<'t, str>, BorrowedValue<'t>)> = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = document.next_name(access)? {
            let stands_twice = if members.len() < FEW {
                members.iter().any(|(other, _)| *other == name)
            } else {
                if names.is_empty() {
                    names.extend(members.iter().map(|(name, _)| name.clone()));
                }
                !names.insert(name.clone())
            };
            if stands_twice {
                return document.refuse_duplicate(&name);
            }
            if members.is_empty() {
                members.reserve(ROOM);
            }
            members.push((name, access.next_value_seed(inner)?));
        }
        Ok(Self::sorted(members))
    }

    fn sorted(mut members: Vec<(Cow<'t, str>, BorrowedValue<'t>)>) -> Self {
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self(members)
    }

    /// The value of the member with this name.
    pub fn get(&self, name: &str) -> Option<&BorrowedValue<'t>> {
        let (_, value) = self.0.iter().find(|(other, _)| other == name)?;
        Some(value)
    }

    /// Whether there is a member with this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BorrowedValue<'t>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Takes the member with this name out.
    pub(super) fn remove(&mut self, name: &str) -> Option<BorrowedValue<'t>> {
        let at = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.remove(at).1)
    }

    /// Reads the members into a type of the caller's.
    pub(crate) fn read_into<C: DeserializeOwned>(self) -> Result<C, serde_json::Error> {
        C::deserialize(self)
    }
}

impl From<Members<'_>> for Map<String, Value> {
    fn from(members: Members<'_>) -> Self {
        let owned = |(name, value): (Cow<'_, str>, _)| (name.into_owned(), Value::from(value));
        members.0.into_iter().map(owned).collect()
    }
}

impl From<Map<String, Value>> for Members<'_> {
    fn from(map: Map<String, Value>) -> Self {
        let members = map.into_iter();
        Self::sorted(
            members
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
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
    use std::collections::BTreeMap;

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
            r#"{"z":"line\nbreak","a\"b":[{"y":1,"x":{}}],"m":"\ud83d\ude00"}"#,
        ] {
            let members = parse(text).unwrap().unwrap();
            let tree: Map<String, Value> = serde_json::from_str(text).unwrap();
            assert_eq!(members, Members::from(tree.clone()), "{text}");
            let written = serde_json::to_string(&members).unwrap();
            assert_eq!(written, serde_json::to_string(&tree).unwrap());
            assert_eq!(Map::from(members), tree, "{text}");
        }
    }

    #[test]
    fn what_is_not_strict_json_is_refused() {
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
            assert!(parse(text).is_err(), "{text}");
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

    // Whatever a caller reads claims into, it gets what it would get from the tree.
    #[test]
    fn values_are_read_as_those_of_the_tree_are() {
        #[derive(serde::Deserialize, PartialEq, Debug)]
        #[serde(untagged)]
        enum Audience {
            One(String),
            Several(Vec<String>),
        }
        #[derive(serde::Deserialize, PartialEq, Debug)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            User,
            Robot(u8),
        }
        #[derive(serde::Deserialize, PartialEq, Debug)]
        struct Id(String);
        #[derive(serde::Deserialize, PartialEq, Debug)]
        struct Claims {
            aud: Audience,
            kind: Kind,
            id: Id,
            at: (u64, f64),
            absent: Option<String>,
            letter: char,
            none: (),
            inner: BTreeMap<String, Option<bool>>,
        }
        #[derive(serde::Deserialize)]
        struct Raw(String, Box<serde_json::value::RawValue>);

        let inner = r#""none":null,"letter":"x","at":[1,2.5],"inner":{"a":null,"b":true}"#;
        for (aud, kind, id, is_read) in [
            (r#""a""#, r#""user""#, r#""i\u0064""#, true),
            (r#"["a","b"]"#, r#"{"robot":7}"#, r#""id""#, true),
            (r#"["a",1]"#, r#""user""#, r#""id""#, false),
            (r#""a""#, r#""nobody""#, r#""id""#, false),
            (r#""a""#, r#""user""#, "7", false),
        ] {
            let text = format!("{{\"aud\":{aud},\"kind\":{kind},\"id\":{id},{inner}}}");
            let tree: Value = serde_json::from_str(&text).unwrap();
            let members = Members::parse(text.as_bytes(), 4).unwrap().unwrap();
            let read = members.read_into::<Claims>().ok();
            assert_eq!(read.is_some(), is_read, "{text}");
            assert_eq!(read, serde_json::from_value(tree).ok(), "{text}");
        }
        let raw: BTreeMap<String, Raw> = parse(r#"{"a":["x",{"b":[1]}]}"#)
            .unwrap()
            .unwrap()
            .read_into()
            .unwrap();
        let Raw(text, rest) = &raw["a"];
        assert_eq!((text.as_str(), rest.get()), ("x", r#"{"b":[1]}"#));
    }
}
