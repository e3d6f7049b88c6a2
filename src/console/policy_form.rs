//! A policy as a form: a field for each member of the document, made of its schema, so that a member that
//! comes later is not missing. A form is read into the document that is sent to the API, which judges it:
//! what is no number where one belongs is sent, and refused, as it was typed.

use keywright_api as api;
use serde_json::{Map, Value, json};

use crate::oauth::Form;

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// Its name: that of the member, with a dot before that of a member of a member.
    pub(super) name: String,
    /// What the member means, as the API's document says it.
    pub(super) meaning: String,
    /// What can be put into it.
    pub(super) kind: FieldKind,
}

/// What can be put into a field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum FieldKind {
    /// A text.
    Text,
    /// A number.
    Number,
    /// One of these values.
    OneOf(Vec<Value>),
    /// Some of these values.
    SomeOf(Vec<Value>),
    /// Texts, with commas between them.
    Texts,
    /// Any JSON.
    Json,
}

/// The fields of a policy, in the order of its members.
pub(super) fn fields(policy: &api::PolicyInForce) -> Vec<Field> {
    let mut generator = api::schema::generator();
    let policy_schema = generator.subschema_for::<api::Policy>();
    let definitions = generator.take_definitions(true);
    let root = json!({"components": {"schemas": definitions}});
    let schema = Schema {
        root: &root,
        of: &root,
    };
    let schema = schema.resolved(policy_schema.as_value());
    // The document has its members in the order of the type; a schema has them by name.
    let text = serde_json::to_string(policy).unwrap_or_default();
    let mut fields = Vec::new();
    add_fields(schema, "", &text, &mut fields);
    fields
}

/// A schema, and the document that has those that it refers to.
#[derive(Clone, Copy)]
struct Schema<'s> {
    root: &'s Value,
    of: &'s Value,
}

impl<'s> Schema<'s> {
    /// A schema in this one; where it only refers to another, that one.
    fn resolved(self, of: &'s Value) -> Self {
        let reference = of.get("$ref").and_then(Value::as_str);
        let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
        let of = pointer
            .and_then(|pointer| self.root.pointer(pointer))
            .unwrap_or(of);
        Self { of, ..self }
    }

    fn member(self, name: &str) -> Option<Self> {
        Some(self.resolved(self.of.get(name)?))
    }

    /// The values that there are, if they can be counted.
    fn values(self) -> Option<Vec<Value>> {
        if let Some(values) = self.of.get("enum") {
            return values.as_array().cloned();
        }
        if let Some(kinds) = self.of.get("anyOf") {
            let kinds = kinds.as_array()?.iter();
            let values: Option<Vec<_>> = kinds.map(|kind| self.resolved(kind).values()).collect();
            return values.map(|values| values.concat());
        }
        (self.of.get("type")? == "boolean").then(|| vec![false.into(), true.into()])
    }
}

fn add_fields(schema: Schema<'_>, prefix: &str, order: &str, fields: &mut Vec<Field>) {
    let members = schema.of.get("properties").and_then(Value::as_object);
    let mut members: Vec<(&String, &Value)> = members.into_iter().flatten().collect();
    members.sort_by_key(|(name, _)| order.find(&format!("\"{name}\":")).unwrap_or(usize::MAX));
    for (name, member) in members {
        let name = format!("{prefix}{name}");
        let resolved = schema.resolved(member);
        if resolved.of.get("properties").is_some() {
            add_fields(resolved, &format!("{name}."), order, fields);
            continue;
        }
        let meaning = member.get("description").and_then(Value::as_str);
        fields.push(Field {
            name,
            meaning: meaning.unwrap_or_default().to_owned(),
            kind: FieldKind::of(resolved),
        });
    }
}

impl FieldKind {
    fn of(schema: Schema<'_>) -> Self {
        let items = schema.member("items");
        let of_items = items.and_then(Schema::values);
        let are_texts = items.is_some_and(|items| items.of.get("type") == Some(&"string".into()));
        let kind = schema.of.get("type").and_then(Value::as_str);
        match (kind, schema.values(), of_items) {
            (_, Some(values), _) => Self::OneOf(values),
            (Some("array"), None, Some(values)) => Self::SomeOf(values),
            (Some("array"), None, None) if are_texts => Self::Texts,
            (Some("integer" | "number"), ..) => Self::Number,
            (Some("string"), ..) => Self::Text,
            _ => Self::Json,
        }
    }
}

/// A value as a person reads it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.iter().all(Value::is_string) => {
            let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            texts.join(", ")
        }
        value => value.to_string(),
    }
}

impl Field {
    /// Its member in a document.
    pub(super) fn value<'d>(&self, document: &'d Value) -> Option<&'d Value> {
        let mut names = self.name.split('.');
        names.try_fold(document, |value, name| value.get(name))
    }

    /// The name of the box of one of several values.
    pub(super) fn box_name(&self, value: &Value) -> String {
        format!("{}:{}", self.name, shown(value))
    }

    /// What a form has for it; absent where it is empty.
    fn read(&self, form: &Form) -> Option<Value> {
        let text = form.get(&self.name);
        let as_typed = |text: &str| Value::from(text);
        match &self.kind {
            FieldKind::Text => text.map(as_typed),
            FieldKind::Texts => text.map(|text| {
                let texts = text.split(',').map(str::trim);
                texts.filter(|text| !text.is_empty()).collect()
            }),
            FieldKind::Number | FieldKind::Json => {
                text.map(|text| serde_json::from_str(text).unwrap_or_else(|_| as_typed(text)))
            }
            FieldKind::OneOf(values) => text.map(|text| {
                let known = values.iter().find(|value| shown(value) == text);
                known.cloned().unwrap_or_else(|| as_typed(text))
            }),
            FieldKind::SomeOf(values) => {
                let checked = values
                    .iter()
                    .filter(|value| form.get(&self.box_name(value)).is_some());
                Some(checked.cloned().collect())
            }
        }
    }
}

/// The document that a form says.
pub(super) fn document(fields: &[Field], form: &Form) -> Value {
    let mut document = Map::new();
    for field in fields {
        if let Some(value) = field.read(form) {
            put(&mut document, &field.name, value);
        }
    }
    Value::Object(document)
}

fn put(members: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => drop(members.insert(name.to_owned(), value)),
        Some((outer, inner)) => {
            let outer = members.entry(outer).or_insert_with(|| Map::new().into());
            if let Value::Object(members) = outer {
                put(members, inner, value);
            }
        }
    }
}

/// A member in which a document differs from the policy in force.
pub(super) struct Difference<'f> {
    /// The field.
    pub(super) field: &'f Field,
    /// The member in force.
    pub(super) before: Option<Value>,
    /// The member of the document.
    pub(super) after: Option<Value>,
}

/// In what a document differs from the policy in force.
pub(super) fn differences<'f>(
    fields: &'f [Field],
    in_force: &Value,
    document: &Value,
) -> Vec<Difference<'f>> {
    let difference = |field: &'f Field| Difference {
        field,
        before: field.value(in_force).cloned(),
        after: field.value(document).cloned(),
    };
    let of_all = fields.iter().map(difference);
    let in_order = |value: &Option<Value>| match value {
        // No values are as good as none said.
        Some(Value::Array(values)) if values.is_empty() => None,
        // The order of values that are checked says nothing.
        Some(Value::Array(values)) => {
            let mut values: Vec<String> = values.iter().map(shown).collect();
            values.sort_unstable();
            Some(Value::from(values))
        }
        value => value.clone(),
    };
    let differ = |one: &Difference<'_>| in_order(&one.before) != in_order(&one.after);
    of_all.filter(differ).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> api::PolicyInForce {
        let document = json!({
            "url": "https://login.example/a b", "algorithms": ["ES256"], "default_algorithm": "ES256",
            "rsa_bits": 2048, "rotation": {"cron": "0 3 1 * *", "timezone": "Europe/Oslo"}, "lead": "24h",
            "max_token_bytes": 4096, "status": false, "push": ["cdn", "gateways"],
            "canary": {"share": 0.25, "for": "1h"},
        });
        api::PolicyInForce(serde_json::from_value(document).unwrap())
    }

    fn encoded(fields: &[Field], document: &Value) -> String {
        let mut pairs = Vec::new();
        for field in fields {
            let Some(value) = field.value(document) else {
                continue;
            };
            match (&field.kind, value) {
                (FieldKind::SomeOf(_), Value::Array(values)) => {
                    pairs.extend(
                        values
                            .iter()
                            .map(|value| (field.box_name(value), "yes".to_owned())),
                    );
                }
                _ => pairs.push((field.name.clone(), shown(value))),
            }
        }
        let pairs = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace(' ', "+")));
        pairs.collect::<Vec<_>>().join("&")
    }

    #[test]
    fn every_member_has_a_field_that_is_read_back_as_it_was() {
        let policy = policy();
        let fields = fields(&policy);
        let in_force = serde_json::to_value(&policy).unwrap();
        let form = Form::parse(encoded(&fields, &in_force).as_bytes()).unwrap();
        let document = document(&fields, &form);
        assert_eq!(document, in_force);
        assert!(differences(&fields, &in_force, &document).is_empty());
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names[..3], ["url", "algorithms", "default_algorithm"]);
        assert!(
            names.contains(&"rotation.every") && names.contains(&"revocation_feed"),
            "{names:?}"
        );
        let schema = schemars::schema_for!(api::Policy);
        let members = schema.get("properties").unwrap().as_object().unwrap();
        for member in members.keys() {
            assert!(
                names
                    .iter()
                    .any(|name| name.split('.').next() == Some(member)),
                "{member}"
            );
        }
        let other = |field: &&Field| field.kind == FieldKind::Json;
        assert_eq!(
            fields.iter().find(other),
            None,
            "a field of JSON is for what has no better one"
        );
    }

    #[test]
    fn what_is_typed_wrong_is_sent_as_it_is_and_what_is_empty_is_left_out() {
        let fields = fields(&policy());
        let read = |text: &str| document(&fields, &Form::parse(text.as_bytes()).unwrap());
        let document =
            read("max_token_bytes=many&status=perhaps&rsa_bits=3072&rotation.every=&lead=");
        let expected = json!({
            "algorithms": [], "max_token_bytes": "many", "status": "perhaps", "rsa_bits": 3072,
        });
        assert_eq!(document, expected);
        let expected = json!({"algorithms": [], "push": ["cdn", "gateways"]});
        assert_eq!(read("push=,cdn+,gateways,"), expected);
        let document = read("algorithms:RS256=yes&status=true&rotation.every=7d");
        let expected =
            json!({"algorithms": ["RS256"], "status": true, "rotation": {"every": "7d"}});
        assert_eq!(document, expected);
    }
}
