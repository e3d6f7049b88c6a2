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
    /// It has the right type, and breaks a rule. The text names the member and the rule.
    #[error("{0}")]
    Rule(String),
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
            Fault::Rule(rule) => {
                let members = place.members();
                if members.last().is_some_and(|name| !rule.contains(name)) {
                    *rule = format!("{}: {rule}", members.join("."));
                }
            }
        }
        self
    }
}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(rule: T) -> Self {
        Self::new(Fault::Rule(rule.to_string()))
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
    /// The names of the members that lead here.
    fn members(&self) -> Vec<&str> {
        let mut members = self.around.map(Place::members).unwrap_or_default();
        match self.step {
            Step::Member(name) => members.push(name),
            Step::Name(name) => members.push(name),
            Step::Document(_) | Step::Type(_) | Step::Element(_) => {}
        }
        members
    }

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

    /// The refusal of a value that must be something else.
    fn wrong(&self, expected: &'static str) -> ReadError {
        ReadError::new(self.wrong_type(expected).into()).at(self)
    }

    /// It is told of the member that has the value.
    fn wrong_type(&self, expected: &'static str) -> FieldError {
        let expected = match self.step {
            Step::Document(what) => return FieldError::NotAnObject { what },
            Step::Member(field) => return FieldError::WrongType { field, expected },
            Step::Element(_) => in_an_array(expected),
            Step::Name(_) => "an object of strings",
            Step::Type(_) => expected,
        };
        match self.around {
            Some(around) => around.wrong_type(expected),
            None => FieldError::NotAnObject {
                what: "the document",
            },
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

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.value.as_f64() {
            Some(number) => Self::visit(self.place, || visitor.visit_f64(number)),
            None => self.wrong("a number"),
        }
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
                let members = place.members();
                let member = members.last().copied().unwrap_or("it");
                let rule = format!("{member} must be {}", one_of(variants));
                Err(<ReadError as de::Error>::custom(rule).at(&place))
            }
            _ => self.wrong("a string"),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct
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
        let key = seed
            .deserialize(key)
            .map_err(|error| error.at(self.place))?;
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
        Reader::visit(place, || seed.deserialize(Reader { value, place }))
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
        Reader::visit(place, || seed.deserialize(Reader { value, place })).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.elements.len())
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use crate::{
        ClientRequest, CredentialRequest, Fault, ImportRequest, IssuerRequest, Nullable, Policy,
        ReadError, RevokeRequest, RotateRequest, Terms, read,
    };

    fn refusal<T: DeserializeOwned>(document: Value) -> ReadError {
        match read::<T>(document, "the body") {
            Ok(_) => panic!("it was read"),
            Err(error) => error,
        }
    }

    fn told<T: DeserializeOwned>(document: Value) -> (String, String) {
        let error = refusal::<T>(document);
        (error.pointer.clone(), error.to_string())
    }

    fn expected(pointer: &str, text: &str) -> (String, String) {
        (pointer.to_owned(), text.to_owned())
    }

    #[test]
    fn an_unknown_member_is_refused_at_every_depth_with_the_nearest_known_one() {
        assert_eq!(
            told::<RevokeRequest>(json!({"reson": "leak"})),
            expected(
                "/reson",
                "member \"reson\" is unknown, did you mean \"reason\"?"
            )
        );
        let rate = json!({"signatures_per_second": 1, "bust": 1});
        assert_eq!(
            told::<Terms>(json!({"name": "a", "roles": [], "limits": {"rate": rate}})),
            expected(
                "/limits/rate/bust",
                "member \"bust\" is unknown, did you mean \"burst\"?"
            )
        );
        let rules = json!([{"dns": "a"}, {"a/b~c": 1}]);
        assert_eq!(
            told::<Terms>(json!({"name": "a", "roles": [], "certificates": rules})).0,
            "/certificates/1/a~1b~0c"
        );
    }

    #[test]
    fn null_is_a_wrong_type_wherever_it_is_not_meant() {
        let wrong = |field: &str, expected: &str| format!("member \"{field}\" must be {expected}");
        for (document, field, type_name) in [
            (json!({"reason": null}), "reason", "a string"),
            (json!({"force": null}), "force", "a boolean"),
            (json!({"algorithm": null}), "algorithm", "a string"),
        ] {
            assert_eq!(
                told::<RotateRequest>(document),
                expected(&format!("/{field}"), &wrong(field, type_name))
            );
        }
        for (member, type_name) in [
            ("limits", "an object"),
            ("certificates", "an array"),
            ("jwks", "an object"),
            ("name", "a string"),
        ] {
            let mut document = json!({"name": "a", "roles": ["admin"]});
            document[member] = Value::Null;
            assert_eq!(
                told::<ClientRequest>(document),
                expected(&format!("/{member}"), &wrong(member, type_name))
            );
        }
        let client = |credential: Value| {
            let mut document = json!({"name": "a", "roles": ["admin"]});
            if credential != json!("absent") {
                document["credential"] = credential;
            }
            read::<ClientRequest>(document, "the body")
                .unwrap()
                .credential
        };
        assert_eq!(client(json!("absent")), None);
        assert_eq!(client(Value::Null), Some(Nullable::Null));
        assert!(matches!(client(json!({})), Some(Nullable::Value(_))));
    }

    #[test]
    fn a_wrong_type_is_named_as_it_should_be() {
        for (document, text) in [
            (json!([]), "the body must be a JSON object"),
            (json!({"url": 1}), "member \"url\" must be a string"),
            (
                json!({"url": "", "rsa_bits": 1.5}),
                "member \"rsa_bits\" must be a non-negative integer",
            ),
            (
                json!({"url": "", "rsa_bits": -1}),
                "member \"rsa_bits\" must be a non-negative integer",
            ),
            (
                json!({"url": "", "algorithms": "ES256"}),
                "member \"algorithms\" must be an array",
            ),
            (
                json!({"url": "", "algorithms": ["ES256", 1]}),
                "member \"algorithms\" must be an array of strings",
            ),
            (
                json!({"url": "", "rotation": "30d"}),
                "member \"rotation\" must be an object",
            ),
            (json!({}), "member \"url\" is missing"),
        ] {
            assert_eq!(told::<Policy>(document).1, text);
        }
        let workload = json!([{"issuer": "a", "claims": [1]}]);
        let document = json!({"name": "a", "roles": [], "workloads": workload});
        assert_eq!(
            told::<Terms>(document),
            expected("/workloads/0/claims", "member \"claims\" must be an object")
        );
    }

    #[test]
    fn a_broken_rule_names_the_member_and_the_types_around_it() {
        let error = refusal::<CredentialRequest>(json!({"expires_in": "0s"}));
        assert_eq!(error.to_string(), "expires_in: a duration of at least 1s");
        assert_eq!(error.types, ["CredentialRequest", "DurationText"]);
        let policy = json!({"url": "", "rotation": {"every": "1w"}});
        let error = refusal::<IssuerRequest>(policy);
        assert!(error.to_string().starts_with("rotation.every: a duration"));
        assert_eq!(error.types, ["IssuerRequest", "Rotation", "DurationText"]);
        assert_eq!(error.pointer, "/rotation/every");
        let error = refusal::<ImportRequest>(json!({"algorithm": "HS256"}));
        assert_eq!(
            error.to_string(),
            "algorithm \"HS256\" is not one of ES256, RS256"
        );
        let error = refusal::<ImportRequest>(json!({"state": "old"}));
        assert_eq!(
            error.to_string(),
            "state must be \"pending\", \"active\" or \"retired\""
        );
        let many = json!({"name": "a", "roles": [], "limits": {"issuers": []}});
        assert_eq!(
            told::<Terms>(many).1,
            "limits.issuers: must name 1 to 1000, or be left out"
        );
        let subjects = json!({"name": "a", "roles": [], "limits": {"subjects": "all"}});
        assert_eq!(
            told::<Terms>(subjects).1,
            "subjects must be an array of patterns, or \"own-id\""
        );
    }

    #[test]
    fn no_error_repeats_a_value() {
        for document in [
            json!({"algorithm": "ES256", "state": "hunter2"}),
            json!({"algorithm": "ES256", "state": "retired", "private_key": ["hunter2"]}),
            json!({"algorithm": "ES256", "state": "retired", "public_key": "hunter2"}),
            json!({"algorithm": "ES256", "state": "retired", "kid": "hunter 2 hunter2"}),
            json!("hunter2"),
        ] {
            let error = refusal::<ImportRequest>(document);
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(matches!(
            refusal::<RevokeRequest>(json!({"reason": ""})).fault,
            Fault::Rule(_)
        ));
    }
}
