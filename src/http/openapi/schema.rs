//! JSON Schema (2020-12, as OpenAPI 3.1 has it), as far as the descriptions need it.
//!
//! What a caller sends is described as a closed object, because the service refuses members that
//! it does not know; what the service answers is open, because members may be added.

use super::json::{Json, array, object};

/// A member of an object, and whether it must be there.
pub(super) struct Member {
    name: &'static str,
    schema: Json,
    presence: Presence,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

/// A member that is always there.
pub(super) fn required(name: &'static str, schema: Json) -> Member {
    Member {
        name,
        schema,
        presence: Presence::Required,
    }
}

/// A member that may be absent, and is never `null` then.
pub(super) fn optional(name: &'static str, schema: Json) -> Member {
    Member {
        name,
        schema,
        presence: Presence::Optional,
    }
}

impl Member {
    /// The same member where the service answers with all of them.
    pub(super) fn always(mut self) -> Self {
        self.presence = Presence::Required;
        self
    }
}

/// An object as the service answers it: there may be more members.
pub(super) fn answered(members: impl IntoIterator<Item = Member>) -> Json {
    let mut names = Vec::new();
    let mut properties = Vec::new();
    for member in members {
        if member.presence == Presence::Required {
            names.push(member.name);
        }
        properties.push((member.name, member.schema));
    }
    let schema = object([("type", "object".into())]);
    let schema = match names.as_slice() {
        [] => schema,
        names => schema.with("required", array(names.iter().copied())),
    };
    schema.with("properties", object(properties))
}

/// An object as the service takes it: any other member is refused.
pub(super) fn accepted(members: impl IntoIterator<Item = Member>) -> Json {
    answered(members).with("additionalProperties", false)
}

/// A schema of the components.
pub(super) fn reference(name: &str) -> Json {
    object([("$ref", format!("#/components/schemas/{name}").into())])
}

/// A text.
pub(super) fn text(description: &str) -> Json {
    typed("string", description)
}

/// A text of this form.
pub(super) fn pattern(pattern: &str, description: &str) -> Json {
    text(description).with("pattern", pattern)
}

/// One of these words.
pub(super) fn one_of(words: impl IntoIterator<Item = &'static str>, description: &str) -> Json {
    text(description).with("enum", array(words))
}

/// A whole number within bounds. The end of 64 bits is no bound to write down: generators read 2^64 − 1
/// as −1, and refuse every number.
pub(super) fn integer(minimum: u64, maximum: u64, description: &str) -> Json {
    let integer = typed("integer", description)
        .with("format", "int64")
        .with("minimum", minimum);
    match maximum {
        u64::MAX => integer,
        maximum => integer.with("maximum", maximum),
    }
}

/// An instant in Unix seconds.
pub(super) fn instant(description: &str) -> Json {
    integer(0, u64::MAX, description)
}

/// `true` or `false`.
pub(super) fn flag(description: &str) -> Json {
    typed("boolean", description)
}

/// An array.
pub(super) fn list(items: Json, description: &str) -> Json {
    typed("array", description).with("items", items)
}

/// A length of time, as policies have it.
pub(super) fn duration(description: &str) -> Json {
    pattern("^[0-9]+[smhd]$", description)
}

/// This or `null`.
pub(super) fn or_null(schema: Json, description: &str) -> Json {
    object([
        ("description", description.into()),
        ("anyOf", array([schema, object([("type", "null".into())])])),
    ])
}

fn typed(name: &str, description: &str) -> Json {
    object([("type", name.into()), ("description", description.into())])
}
