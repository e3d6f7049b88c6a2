//! Reading a document into its type, strictly, with an error that says where and what.
//!
//! The text has been read by [`keywright_verifier::json`] before, which refuses whatever two parsers
//! may understand differently. Here each member gets its type: `null` is a wrong type like any other,
//! a member that the type does not know is refused with the nearest one that it knows, and an error
//! knows the path to the member and the types that stand around it, so that a caller can be told a
//! stable code. An error repeats names, never values, but where the type's own parser does.
//!
//! Types that are read so have no `flatten`, `untagged` or internal tag: serde would read those from
//! a copy, and path and suggestion would be lost.

use std::fmt;

use keywright_verifier::json::FieldError;
use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess,
    SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// The name under which the one type is read that takes `null`.
pub(crate) const NULLABLE: &str = "Nullable";

/// Reads a document; `what` names it in an error, such as `"the body"`.
///
/// # Errors
/// [`ReadError`] for the first member that is wrong.
pub fn read<T: DeserializeOwned>(document: Value, what: &'static str) -> Result<T, ReadError> {
    let place = Place {
        around: None,
        step: Step::Document(what),
    };
    T::deserialize(Reader {
        value: document,
        place: &place,
    })
}

/// Why a document does not have the form of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct ReadError {
    /// What is wrong.
    pub fault: Fault,
    /// Where: a JSON pointer (RFC 6901), empty for the document itself.
    pub pointer: String,
    /// The names of the types around it, from the outermost.
    pub types: Vec<&'static str>,
    is_placed: bool,
}

/// What is wrong with one member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is missing, unknown or of the wrong type.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// It has the right type, and breaks a rule.
    #[error("{}{rule}", Prefix(member))]
    Rule {
        /// The members that lead to it, joined by dots; empty where the rule names it.
        member: String,
        /// The rule.
        rule: String,
    },
}

struct Prefix<'a>(&'a str);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => Ok(()),
            member => write!(formatter, "{member}: "),
        }
    }
}

impl ReadError {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            pointer: String::new(),
            types: Vec::new(),
            is_placed: false,
        }
    }

    /// Fills in where it was, if that is not known yet.
    fn at(mut self, place: &Place<'_>) -> Self {
        if self.is_placed {
            return self;
        }
        self.is_placed = true;
        place.describe(&mut self.pointer, &mut self.types);
        match &mut self.fault {
            Fault::Field(FieldError::Unknown { field, .. }) => push_name(&mut self.pointer, field),
            Fault::Field(_) => {}
            Fault::Rule { member, .. } => {
                let names = self.pointer.split('/').skip(1);
                *member = names.collect::<Vec<_>>().join(".");
            }
        }
        self
    }
}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(rule: T) -> Self {
        Self::new(Fault::Rule {
            member: String::new(),
            rule: rule.to_string(),
        })
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::new(FieldError::unknown(field, known.iter().copied()).into())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(FieldError::Missing { field }.into())
    }
}

/// One step of the way from the document to a value, with the steps before it.
struct Place<'p> {
    around: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    /// The document itself, as its reader calls it.
    Document(&'static str),
    /// Into a type of this name.
    Type(&'static str),
    /// Into a member of a type.
    Member(&'static str),
    /// Into a member of an object with any names.
    Name(&'p str),
    /// Into an element of an array.
    Element(usize),
}

impl Place<'_> {
    fn describe(&self, pointer: &mut String, types: &mut Vec<&'static str>) {
        if let Some(around) = self.around {
            around.describe(pointer, types);
        }
        match self.step {
            Step::Document(_) => {}
            Step::Type(name) => types.push(name),
            Step::Member(name) => push_name(pointer, name),
            Step::Name(name) => push_name(pointer, name),
            Step::Element(index) => push_name(pointer, &index.to_string()),
        }
    }

    /// The refusal of a value that must be something else, told of the member that has it.
    fn wrong(&self, expected: &'static str) -> ReadError {
        let error = match self.step {
            Step::Document(what) => FieldError::NotAnObject { what },
            Step::Member(field) => FieldError::WrongType { field, expected },
            Step::Element(_) => return self.wrong_around(in_an_array(expected)),
            Step::Type(_) | Step::Name(_) => return self.wrong_around(expected),
        };
        ReadError::new(error.into()).at(self)
    }

    fn wrong_around(&self, expected: &'static str) -> ReadError {
        match self.around {
            Some(around) => around.wrong(expected),
            None => ReadError::new(FieldError::NotAnObject { what: "the body" }.into()).at(self),
        }
    }
}

/// What an array must be whose elements must be this.
fn in_an_array(expected: &'static str) -> &'static str {
    match expected {
        "a string" => "an array of strings",
        "an object" => "an array of objects",
        _ => "an array of other values",
    }
}

fn push_name(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

/// A value that is read, and where it is.
struct Reader<'p> {
    value: Value,
    place: &'p Place<'p>,
}

impl<'p> Reader<'p> {
    fn wrong<T>(&self, expected: &'static str) -> Result<T, ReadError> {
        Err(self.place.wrong(expected))
    }

    /// Hands a value over, and says where it was if the visitor refuses it.
    fn visit<T>(
        place: &Place<'_>,
        visit: impl FnOnce() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        visit().map_err(|error| error.at(place))
    }

    fn text<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::String(text) => Self::visit(self.place, || visitor.visit_string(text)),
            _ => self.wrong("a string"),
        }
    }

    fn unsigned<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value.as_u64() {
            Some(number) => Self::visit(self.place, || visitor.visit_u64(number)),
            None => self.wrong("a non-negative integer"),
        }
    }

    fn members<'de, V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Object(members) => {
                let members = Members {
                    members: members.into_iter(),
                    known,
                    current: None,
                    place: self.place,
                };
                Self::visit(self.place, || visitor.visit_map(members))
            }
            _ => self.wrong("an object"),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = ReadError;

    /// For values that are taken as they are.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let place = self.place;
        let taken = self.value.deserialize_any(visitor);
        taken.map_err(|error| <ReadError as de::Error>::custom(error).at(place))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Bool(value) => Self::visit(self.place, || visitor.visit_bool(value)),
            _ => self.wrong("a boolean"),
        }
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.unsigned(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.unsigned(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.unsigned(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.text(visitor)
    }

    /// A member that is there has a value: `null` is none.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        if name == NULLABLE {
            return match self.value {
                Value::Null => visitor.visit_none(),
                _ => visitor.visit_newtype_struct(self),
            };
        }
        let place = Place {
            around: Some(self.place),
            step: Step::Type(name),
        };
        Self::visit(&place, || {
            visitor.visit_newtype_struct(Reader {
                value: self.value,
                place: &place,
            })
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value {
            Value::Array(elements) => {
                let elements = Elements {
                    elements: elements.into_iter().enumerate(),
                    place: self.place,
                };
                Self::visit(self.place, || visitor.visit_seq(elements))
            }
            _ => self.wrong("an array"),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.members(&[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let place = Place {
            around: Some(self.place),
            step: Step::Type(name),
        };
        let reader = Reader {
            value: self.value,
            place: &place,
        };
        reader.members(fields, visitor)
    }

    /// One of the words of a type.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let place = Place {
            around: Some(self.place),
            step: Step::Type(name),
        };
        match &self.value {
            Value::String(word) if variants.contains(&word.as_str()) => {
                let word: StrDeserializer<'_, ReadError> = word.as_str().into_deserializer();
                Self::visit(&place, || visitor.visit_enum(word))
            }
            Value::String(_) => {
                let rule = format!("must be {}", one_of(variants));
                Err(<ReadError as de::Error>::custom(rule).at(&place))
            }
            _ => self.wrong("a string"),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        identifier ignored_any
    }
}

/// `"a", "b" or "c"`.
fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// The members of an object.
struct Members<'p> {
    members: <Map<String, Value> as IntoIterator>::IntoIter,
    known: &'static [&'static str],
    current: Option<(String, Value)>,
    place: &'p Place<'p>,
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        let Some((name, value)) = self.members.next() else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, ReadError> = name.as_str().into_deserializer();
        let key = seed.deserialize(key).map_err(|error| error.at(self.place))?;
        self.current = Some((name, value));
        Ok(Some(key))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (name, value) = self.current.take().unwrap_or_default();
        let known = self.known.iter().find(|known| **known == name);
        let place = Place {
            around: Some(self.place),
            step: known.map_or(Step::Name(&name), |known| Step::Member(known)),
        };
        let place = &place;
        seed.deserialize(Reader { value, place })
    }
}

/// The elements of an array.
struct Elements<'p> {
    elements: std::iter::Enumerate<std::vec::IntoIter<Value>>,
    place: &'p Place<'p>,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some((index, value)) = self.elements.next() else {
            return Ok(None);
        };
        let place = Place {
            around: Some(self.place),
            step: Step::Element(index),
        };
        let place = &place;
        seed.deserialize(Reader { value, place }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}
