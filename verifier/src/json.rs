//! Strict JSON: one document, one meaning (RFC 8259, narrowed as in RFC 7493).
//!
//! What is signed here is read again by parsers that the issuer did not choose. So [`parse`] refuses whatever two
//! parsers may understand differently: a member that stands twice (one takes the first, another the
//! last), a member that `serde_json` takes for a value of its own, a byte order mark, bytes after the
//! document, numbers that no longer mean what was written, and nesting deep enough to exhaust a stack.
//! It builds the tree in one pass, because it stands in the path of every signature. A tree takes up to a
//! hundred times the bytes of its text, so that its values are counted; an array of many documents is
//! read with [`Elements`], a tree at a time.
//!
//! [`Object`] then reads a body member by member and refuses what it was never asked for, so that a
//! misspelt member is an error and not a setting that silently keeps its default.

mod borrowed;
mod elements;
mod members;
mod object;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::de::StrRead;
use serde_json::{Number, Value};

pub use borrowed::{AnyValue, BorrowedValue};
pub use elements::Elements;
pub use members::Members;
pub use object::{BodyError, FieldError, Object};

use crate::excerpt::excerpt;

/// How many arrays and objects may stand inside one another where a caller has no reason to choose:
/// 32 levels.
pub const DEFAULT_MAX_DEPTH: usize = 32;

/// How many values one document may have, those inside others and their containers included. The tree
/// of so many takes some 6 MB at most.
pub const MAX_VALUES: usize = 10_000;

/// One level less than the tokenizer underneath walks, so that it is never the tokenizer that refuses.
const DEEPEST: usize = 126;

/// The largest magnitude up to which a double holds every integer: 2^53 (RFC 7493 §2.2).
const LARGEST_EXACT_DOUBLE: f64 = 9_007_199_254_740_992.0;

/// How the names begin under which the tokenizer's own types pass through serde.
const RESERVED_NAMES: &str = "$serde_json::private::";

/// The most characters of a member name that an error repeats.
const NAME_CHARS: usize = 64;

/// Reads exactly one JSON document.
///
/// `max_depth` counts the arrays and objects around the innermost value: 0 allows only a string,
/// number, boolean or null, and more than 126 is taken as 126. Use [`DEFAULT_MAX_DEPTH`] without a
/// reason for another. A document has at most [`MAX_VALUES`].
///
/// Integers between `i64::MIN` and `u64::MAX` keep their value. Any other number is read as a
/// double, and then only when it is finite and not beyond 2^53.
///
/// # Errors
///
/// [`JsonError`] says which rule the document breaks. No variant holds a value of the document.
pub fn parse(bytes: &[u8], max_depth: usize) -> Result<Value, JsonError> {
    parse_borrowed(bytes, max_depth).map(Value::from)
}

/// As [`parse`] does, without copying texts.
fn parse_borrowed(bytes: &[u8], max_depth: usize) -> Result<BorrowedValue<'_>, JsonError> {
    parse_with(bytes, max_depth, |document, deserializer| {
        document.deserialize(deserializer)
    })
}

/// What a document is read from.
type Text<'b> = serde_json::Deserializer<StrRead<'b>>;

/// Reads one document with `read`, and makes sure that nothing follows it.
fn parse_with<'b, T>(
    bytes: &'b [u8],
    max_depth: usize,
    read: impl FnOnce(Document<'_>, &mut Text<'b>) -> Result<T, serde_json::Error>,
) -> Result<T, JsonError> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonError::ByteOrderMark);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8 {
        at: error.valid_up_to(),
    })?;
    parse_text_with(text, max_depth, 0, read)
}

/// As [`parse_with`] does, for a text that stands inside so many levels of another document.
fn parse_text_with<'b, T>(
    text: &'b str,
    max_depth: usize,
    outer_levels: usize,
    read: impl FnOnce(Document<'_>, &mut Text<'b>) -> Result<T, serde_json::Error>,
) -> Result<T, JsonError> {
    let max_depth = max_depth.min(DEEPEST);
    let refusal = Cell::new(None);
    let document = Document {
        max_depth,
        levels_left: max_depth.saturating_sub(outer_levels),
        values_left: &Cell::new(MAX_VALUES),
        refusal: &refusal,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = read(document, &mut deserializer).map_err(|error| {
        refusal
            .take()
            .unwrap_or_else(|| JsonError::from_syntax(&error, text))
    })?;
    deserializer
        .end()
        .map_err(|error| JsonError::TrailingBytes {
            line: error.line(),
            column: error.column(),
        })?;
    Ok(value)
}

/// Why bytes are not one strict JSON document.
///
/// Lines count from 1 and columns are bytes from 1, for people to read. A member name is escaped and
/// cut to 64 characters; values are never held.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// The bytes are not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// The offset of the first byte that is wrong, from 0.
        at: usize,
    },
    /// The document starts with a byte order mark (RFC 8259 §8.1).
    #[error("a byte order mark is not allowed")]
    ByteOrderMark,
    /// The document is not JSON.
    #[error("not JSON at line {line}, column {column}")]
    Syntax {
        /// The line of the offending byte.
        line: usize,
        /// The column of the offending byte.
        column: usize,
    },
    /// The document stops before it is complete; empty input is such a document.
    #[error("the JSON document ends too early")]
    UnexpectedEnd,
    /// Something other than white space follows the document.
    #[error("bytes follow the JSON document at line {line}, column {column}")]
    TrailingBytes {
        /// The line of the first such byte.
        line: usize,
        /// The column of the first such byte.
        column: usize,
    },
    /// An object has two members of one name, compared after unescaping (RFC 7493 §2.3).
    #[error("member \"{name}\" stands twice in one object")]
    DuplicateMember {
        /// The name, escaped and cut.
        name: String,
    },
    /// A member has a name that the tokenizer's own types use. Reading the tree into another type
    /// would put the text inside, which is not checked, in the place of the object.
    #[error("a member name that begins with {RESERVED_NAMES} is not allowed")]
    ReservedMember,
    /// Arrays and objects stand inside one another too deeply.
    #[error("nested deeper than {max_depth} levels")]
    TooDeep {
        /// The most levels that were allowed.
        max_depth: usize,
    },
    /// There are too many values, those inside others and their containers included.
    #[error("more than {MAX_VALUES} values")]
    TooManyValues,
    /// A number is neither an integer of 64 bits nor a finite double up to 2^53 (RFC 7493 §2.2).
    #[error("a number is out of range")]
    NumberOutOfRange,
}

impl JsonError {
    /// What the tokenizer refused by itself.
    fn from_syntax(error: &serde_json::Error, text: &str) -> Self {
        if error.is_eof() {
            return Self::UnexpectedEnd;
        }
        let (line, column) = (error.line(), error.column());
        if overflows_a_double(text, line, column) {
            return Self::NumberOutOfRange;
        }
        Self::Syntax { line, column }
    }
}

/// Whether the token that ends at this place is a number too large for a double, such as `1e400`.
///
/// The tokenizer refuses those like any other syntax error and tells them apart only in its text.
fn overflows_a_double(text: &str, line: usize, column: usize) -> bool {
    let in_number = |character: char| matches!(character, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
    let Some((head, tail)) = text
        .split('\n')
        .nth(line.saturating_sub(1))
        .and_then(|line| line.split_at_checked(column))
    else {
        return false;
    };
    let start = head.trim_end_matches(in_number).len();
    let rest = tail.len() - tail.trim_start_matches(in_number).len();
    let token = [head.get(start..), tail.get(..rest)]
        .map(Option::unwrap_or_default)
        .concat();
    token.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// The seed that reads one value, and by itself every value inside.
#[derive(Clone, Copy)]
struct Document<'a> {
    max_depth: usize,
    levels_left: usize,
    values_left: &'a Cell<usize>,
    /// Where a refusal waits while the tokenizer's own error unwinds: that one carries only text.
    refusal: &'a Cell<Option<JsonError>>,
}

impl Document<'_> {
    fn refuse<T, E: serde::de::Error>(self, error: JsonError) -> Result<T, E> {
        self.refusal.set(Some(error));
        Err(E::custom("refused"))
    }

    fn refuse_duplicate<T, E: serde::de::Error>(self, name: &str) -> Result<T, E> {
        let name = excerpt(name, NAME_CHARS);
        self.refuse(JsonError::DuplicateMember { name })
    }

    /// The name of the next member, unless it is reserved.
    fn next_name<'de, A: MapAccess<'de>>(
        self,
        members: &mut A,
    ) -> Result<Option<Cow<'de, str>>, A::Error> {
        match members.next_key_seed(Name)? {
            Some(name) if name.starts_with(RESERVED_NAMES) => {
                self.refuse(JsonError::ReservedMember)
            }
            name => Ok(name),
        }
    }

    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Self {
                levels_left,
                ..self
            }),
            None => self.refuse(JsonError::TooDeep {
                max_depth: self.max_depth,
            }),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = BorrowedValue<'de>;

    fn deserialize<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<BorrowedValue<'de>, D::Error> {
        match self.values_left.get().checked_sub(1) {
            Some(left) => self.values_left.set(left),
            None => return self.refuse(JsonError::TooManyValues),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = BorrowedValue<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<BorrowedValue<'de>, E> {
        Ok(BorrowedValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<BorrowedValue<'de>, E> {
        Ok(BorrowedValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<BorrowedValue<'de>, E> {
        Ok(BorrowedValue::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<BorrowedValue<'de>, E> {
        Ok(BorrowedValue::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<BorrowedValue<'de>, E> {
        match Number::from_f64(value) {
            Some(number) if value.abs() <= LARGEST_EXACT_DOUBLE => {
                Ok(BorrowedValue::Number(number))
            }
            _ => self.refuse(JsonError::NumberOutOfRange),
        }
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<BorrowedValue<'de>, E> {
        Ok(BorrowedValue::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<BorrowedValue<'de>, E> {
        Ok(BorrowedValue::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<BorrowedValue<'de>, A::Error> {
        let inner = self.inner()?;
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(inner)? {
            values.push(value);
        }
        Ok(BorrowedValue::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<BorrowedValue<'de>, A::Error> {
        Members::read(self, &mut members).map(BorrowedValue::Object)
    }
}

/// Reads a name, and copies it only when it has escapes.
struct Name;

impl<'t> DeserializeSeed<'t> for Name {
    type Value = Cow<'t, str>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Cow<'t, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'t> for Name {
    type Value = Cow<'t, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_borrowed_str<E>(self, name: &'t str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
