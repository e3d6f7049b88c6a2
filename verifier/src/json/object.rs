//! Reading the members of an object, each once and by name.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{BorrowedValue, JsonError, Members, NAME_CHARS, parse_borrowed};
use crate::excerpt::excerpt;

/// How alike a misspelt name must be to be offered a correction (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.75;

/// Reads an object member by member.
///
/// Every method that reads a member removes it, and [`Object::finish`] refuses what is left, naming
/// the nearest name among those that were asked for. A member that is `null` is present: the typed
/// methods refuse it like any other wrong type, so `null` never means "use the default".
#[derive(Clone, Debug)]
pub struct Object<'t> {
    members: Members<'t>,
    asked_for: Vec<&'static str>,
}

impl<'t> Object<'t> {
    /// Takes the members of `value`; `what` names the document in an error, such as `"request"`.
    ///
    /// # Errors
    ///
    /// [`FieldError::NotAnObject`] for any other kind of value.
    pub fn new(
        value: impl Into<BorrowedValue<'t>>,
        what: &'static str,
    ) -> Result<Self, FieldError> {
        match value.into() {
            BorrowedValue::Object(members) => Ok(members.into()),
            _ => Err(FieldError::NotAnObject { what }),
        }
    }

    /// Reads `bytes` by the rules of [`parse`](super::parse) and takes the members.
    ///
    /// # Errors
    ///
    /// [`BodyError::Json`] when the bytes are not strict JSON, [`BodyError::Field`] when they are
    /// not an object.
    pub fn parse(bytes: &'t [u8], max_depth: usize, what: &'static str) -> Result<Self, BodyError> {
        Ok(Self::new(parse_borrowed(bytes, max_depth)?, what)?)
    }

    /// Removes and returns the member `name`, of whatever type, `null` included.
    pub fn take(&mut self, name: &'static str) -> Option<Value> {
        self.take_borrowed(name).map(Value::from)
    }

    fn take_borrowed(&mut self, name: &'static str) -> Option<BorrowedValue<'t>> {
        self.asked_for.push(name);
        self.members.remove(name)
    }

    /// Like [`Object::take`], for a member that must be there.
    ///
    /// # Errors
    ///
    /// [`FieldError::Missing`] when it is not.
    pub fn required(&mut self, name: &'static str) -> Result<Value, FieldError> {
        self.take(name).ok_or(FieldError::Missing { field: name })
    }

    /// A string that must be there.
    ///
    /// # Errors
    ///
    /// [`FieldError::Missing`] or [`FieldError::WrongType`].
    pub fn string(&mut self, name: &'static str) -> Result<String, FieldError> {
        self.optional_string(name)?
            .ok_or(FieldError::Missing { field: name })
    }

    /// A string that may be absent.
    ///
    /// # Errors
    ///
    /// [`FieldError::WrongType`].
    pub fn optional_string(&mut self, name: &'static str) -> Result<Option<String>, FieldError> {
        Ok(self.optional_text(name)?.map(Cow::into_owned))
    }

    /// Like [`Object::optional_string`], without copying the text.
    ///
    /// # Errors
    ///
    /// [`FieldError::WrongType`].
    pub fn optional_text(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Cow<'t, str>>, FieldError> {
        self.typed(name, "a string", |value| match value {
            BorrowedValue::String(text) => Some(text),
            _ => None,
        })
    }

    /// An integer from 0 to `u64::MAX` that must be there; `1.0` is not an integer.
    ///
    /// # Errors
    ///
    /// [`FieldError::Missing`] or [`FieldError::WrongType`].
    pub fn u64(&mut self, name: &'static str) -> Result<u64, FieldError> {
        self.optional_u64(name)?
            .ok_or(FieldError::Missing { field: name })
    }

    /// An integer from 0 to `u64::MAX` that may be absent; `1.0` is not an integer.
    ///
    /// # Errors
    ///
    /// [`FieldError::WrongType`].
    pub fn optional_u64(&mut self, name: &'static str) -> Result<Option<u64>, FieldError> {
        self.typed(name, "a non-negative integer", |value| value.as_u64())
    }

    /// `true` or `false`, or absent.
    ///
    /// # Errors
    ///
    /// [`FieldError::WrongType`].
    pub fn optional_bool(&mut self, name: &'static str) -> Result<Option<bool>, FieldError> {
        self.typed(name, "a boolean", |value| match value {
            BorrowedValue::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// An object that must be there.
    ///
    /// # Errors
    ///
    /// [`FieldError::Missing`] or [`FieldError::WrongType`].
    pub fn object(&mut self, name: &'static str) -> Result<Self, FieldError> {
        self.optional_object(name)?
            .ok_or(FieldError::Missing { field: name })
    }

    /// An object that may be absent.
    ///
    /// # Errors
    ///
    /// [`FieldError::WrongType`].
    pub fn optional_object(&mut self, name: &'static str) -> Result<Option<Self>, FieldError> {
        self.typed(name, "an object", |value| match value {
            BorrowedValue::Object(members) => Some(members.into()),
            _ => None,
        })
    }

    /// An array that must be there.
    ///
    /// # Errors
    ///
    /// [`FieldError::Missing`] or [`FieldError::WrongType`].
    pub fn array(&mut self, name: &'static str) -> Result<Vec<Value>, FieldError> {
        self.optional_array(name)?
            .ok_or(FieldError::Missing { field: name })
    }

    /// An array that may be absent.
    ///
    /// # Errors
    ///
    /// [`FieldError::WrongType`].
    pub fn optional_array(&mut self, name: &'static str) -> Result<Option<Vec<Value>>, FieldError> {
        self.typed(name, "an array", |value| match value {
            BorrowedValue::Array(values) => Some(values.into_iter().map(Value::from).collect()),
            _ => None,
        })
    }

    /// An array of strings that may be absent.
    ///
    /// # Errors
    ///
    /// [`FieldError::WrongType`], also when only one element is no string.
    pub fn optional_strings(
        &mut self,
        name: &'static str,
    ) -> Result<Option<Vec<String>>, FieldError> {
        self.typed(name, "an array of strings", |value| match value {
            BorrowedValue::Array(values) => values
                .into_iter()
                .map(|value| match value {
                    BorrowedValue::String(text) => Some(text.into_owned()),
                    _ => None,
                })
                .collect(),
            _ => None,
        })
    }

    /// The members that have not been read yet.
    pub fn remaining(&self) -> &Members<'t> {
        &self.members
    }

    /// The members that have not been read, for a caller that accepts any.
    pub fn into_map(self) -> Map<String, Value> {
        self.members.into()
    }

    /// Like [`Object::into_map`], without copying texts.
    pub fn into_members(self) -> Members<'t> {
        self.members
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`FieldError::Unknown`] for the first member that nothing asked for.
    pub fn finish(self) -> Result<(), FieldError> {
        let Some((name, _)) = self.members.iter().next() else {
            return Ok(());
        };
        Err(FieldError::unknown(name, self.asked_for))
    }

    fn typed<T>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        convert: impl FnOnce(BorrowedValue<'t>) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        self.take_borrowed(name)
            .map(|value| {
                convert(value).ok_or(FieldError::WrongType {
                    field: name,
                    expected,
                })
            })
            .transpose()
    }
}

impl<'t> From<Members<'t>> for Object<'t> {
    fn from(members: Members<'t>) -> Self {
        Self {
            members,
            asked_for: Vec::new(),
        }
    }
}

impl From<Map<String, Value>> for Object<'_> {
    fn from(members: Map<String, Value>) -> Self {
        Members::from(members).into()
    }
}

/// What is wrong with one member of an object. Never holds a value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The document is JSON but no object.
    #[error("{what} must be a JSON object")]
    NotAnObject {
        /// The document, as its reader called it.
        what: &'static str,
    },
    /// A member that must be there is not.
    #[error("member \"{field}\" is missing")]
    Missing {
        /// The name of the member.
        field: &'static str,
    },
    /// A member has another type than it must have.
    #[error("member \"{field}\" must be {expected}")]
    WrongType {
        /// The name of the member.
        field: &'static str,
        /// What it must be, such as `a string`.
        expected: &'static str,
    },
    /// A member that nothing reads.
    #[error("member \"{field}\" is unknown{}", Suggestion(*nearest))]
    Unknown {
        /// Its name, escaped and cut to 64 characters.
        field: String,
        /// The known name that was probably meant.
        nearest: Option<&'static str>,
    },
}

impl FieldError {
    /// The refusal of a member that is none of those that are known.
    pub fn unknown(name: &str, known: impl IntoIterator<Item = &'static str>) -> Self {
        let nearest = known
            .into_iter()
            .map(|known| (strsim::jaro_winkler(known, name), known))
            .filter(|(likeness, _)| *likeness > ALIKE)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, known)| known);
        Self::Unknown {
            field: excerpt(name, NAME_CHARS),
            nearest,
        }
    }
}

/// Why a body is not an object that can be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BodyError {
    /// The bytes are not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The document or one of its members is not what it must be.
    #[error(transparent)]
    Field(#[from] FieldError),
}

/// The end of the sentence that [`FieldError::Unknown`] starts.
struct Suggestion(Option<&'static str>);

impl std::fmt::Display for Suggestion {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(nearest) => write!(formatter, ", did you mean \"{nearest}\"?"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{BodyError, FieldError, Object};
    use crate::json::JsonError;

    fn object(value: Value) -> Object<'static> {
        Object::new(value, "a request").unwrap()
    }

    #[test]
    fn only_an_object_is_an_object() {
        for value in [json!([]), json!("a"), json!(1), json!(null), json!(true)] {
            let error = Object::new(value, "a request").unwrap_err();
            assert_eq!(error, FieldError::NotAnObject { what: "a request" });
            assert_eq!(error.to_string(), "a request must be a JSON object");
        }
    }

    #[test]
    fn each_member_is_read_once_with_its_type() {
        let mut body = object(json!({
            "text": "a", "number": 7, "flag": false, "inner": {"a": 1}, "list": [1], "names": ["a", "b"]
        }));
        assert_eq!(body.string("text").unwrap(), "a");
        assert_eq!(body.u64("number").unwrap(), 7);
        assert_eq!(body.optional_bool("flag").unwrap(), Some(false));
        assert_eq!(body.object("inner").unwrap().into_map()["a"], 1);
        assert_eq!(body.array("list").unwrap(), [1]);
        assert_eq!(body.optional_strings("names").unwrap().unwrap(), ["a", "b"]);
        assert_eq!(body.take("text"), None);
        assert_eq!(body.remaining().iter().count(), 0);
        assert_eq!(body.finish(), Ok(()));
    }

    #[test]
    fn what_may_be_absent_is_none_and_what_may_not_is_named() {
        let mut body = object(json!({}));
        assert_eq!(body.optional_string("a"), Ok(None));
        assert_eq!(body.optional_u64("a"), Ok(None));
        assert_eq!(body.optional_bool("a"), Ok(None));
        assert!(body.optional_object("a").unwrap().is_none());
        assert_eq!(body.optional_array("a"), Ok(None));
        assert_eq!(body.optional_strings("a"), Ok(None));
        let missing = FieldError::Missing { field: "a" };
        assert_eq!(missing.to_string(), "member \"a\" is missing");
        assert_eq!(body.required("a"), Err(missing.clone()));
        assert_eq!(body.string("a"), Err(missing.clone()));
        assert_eq!(body.u64("a"), Err(missing.clone()));
        assert_eq!(body.array("a"), Err(missing.clone()));
        assert_eq!(body.object("a").unwrap_err(), missing);
    }

    #[test]
    fn another_type_is_refused_and_null_is_another_type() {
        let wrong = |expected| FieldError::WrongType {
            field: "a",
            expected,
        };
        for value in [
            json!(null),
            json!(1.5),
            json!([1]),
            json!([null]),
            json!(-1),
            json!(1.0),
        ] {
            let body = || object(json!({ "a": value }));
            assert_eq!(body().optional_string("a"), Err(wrong("a string")));
            assert_eq!(body().string("a"), Err(wrong("a string")));
            assert_eq!(
                body().optional_u64("a"),
                Err(wrong("a non-negative integer"))
            );
            assert_eq!(body().optional_bool("a"), Err(wrong("a boolean")));
            assert_eq!(body().optional_object("a").unwrap_err(), wrong("an object"));
            assert_eq!(
                body().optional_strings("a"),
                Err(wrong("an array of strings"))
            );
        }
        assert_eq!(
            object(json!({"a": {}})).optional_array("a"),
            Err(wrong("an array"))
        );
        assert_eq!(object(json!({"a": null})).take("a"), Some(Value::Null));
        assert_eq!(object(json!({"a": null})).required("a"), Ok(Value::Null));
    }

    #[test]
    fn a_member_that_nothing_asked_for_is_refused_with_the_nearest_name() {
        let mut body = object(json!({"expires_inn": 300}));
        for name in ["claims", "expires_at", "expires_in", "expires", "typ"] {
            body.take(name);
        }
        let error = body.finish().unwrap_err();
        let unknown = FieldError::Unknown {
            field: "expires_inn".to_owned(),
            nearest: Some("expires_in"),
        };
        assert_eq!(error, unknown);
        assert_eq!(
            error.to_string(),
            "member \"expires_inn\" is unknown, did you mean \"expires_in\"?"
        );
    }

    #[test]
    fn a_member_that_resembles_nothing_gets_no_suggestion() {
        let mut body = object(json!({"subject": 300}));
        body.take("scope");
        let error = body.finish().unwrap_err();
        assert_eq!(
            error,
            FieldError::Unknown {
                field: "subject".to_owned(),
                nearest: None
            }
        );
        assert_eq!(error.to_string(), "member \"subject\" is unknown");
    }

    #[test]
    fn an_unknown_name_is_cut_and_no_error_holds_a_value() {
        let error = object(json!({ "n".repeat(5000): "hunter2" }))
            .finish()
            .unwrap_err();
        assert!(error.to_string().len() < 100);
        for error in [
            error,
            object(json!({"a": "hunter2"})).u64("a").unwrap_err(),
            object(json!({"a": ["hunter2", 1]}))
                .optional_strings("a")
                .unwrap_err(),
            Object::new(json!("hunter2"), "a request").unwrap_err(),
        ] {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn bytes_are_read_strictly_first() {
        let parse =
            |text: &str| Object::parse(text.as_bytes(), 1, "a request").map(Object::into_map);
        assert_eq!(parse(r#"{"a":1}"#).unwrap()["a"], 1);
        let too_deep = JsonError::TooDeep { max_depth: 1 };
        assert_eq!(parse(r#"{"a":[]}"#), Err(BodyError::Json(too_deep)));
        let not_an_object = FieldError::NotAnObject { what: "a request" };
        assert_eq!(parse("[]"), Err(BodyError::Field(not_an_object)));
        assert_eq!(
            parse("[").unwrap_err().to_string(),
            JsonError::UnexpectedEnd.to_string()
        );
    }
}
