//! From what schemars derives to what the OpenAPI document has (OpenAPI 3.1, JSON Schema 2020-12).

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

/// Stands where `null` means something: schemars also adds it to whatever may be absent.
pub(crate) const NULL_IS_MEANT: &str = "x-null-is-meant";

/// A generator of the schemas of an OpenAPI document.
///
/// Types that are requests refuse unknown members, and their schemas are closed; types that are
/// answers take them, and their schemas are open.
pub fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .with_transform(Tidy)
        .into_generator()
}

/// Takes `null` away where it is only the absence of a member, makes one `enum` of words that each have
/// a description, gives numbers a format that generators of clients know, and makes one line of each
/// paragraph.
#[derive(Debug, Clone)]
pub struct Tidy;

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if schema.remove(NULL_IS_MEANT).is_none() {
            without_null(schema);
        }
        fold_words(schema);
        if let Some(Value::String(format)) = schema.get_mut("format")
            && matches!(format.as_str(), "uint64" | "uint32" | "uint16" | "uint")
        {
            *format = "int64".to_owned();
        }
        if let Some(Value::String(description)) = schema.get_mut("description") {
            let paragraphs = description.split("\n\n");
            let paragraphs: Vec<String> =
                paragraphs.map(|lines| lines.replace('\n', " ")).collect();
            *description = paragraphs.join("\n\n");
        }
    }
}

fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(parts)) = schema.get_mut("anyOf") {
        parts.retain(|part| part != &serde_json::json!({"type": "null"}));
        if let [Value::Object(only)] = parts.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            schema.ensure_object().extend(only);
        }
    }
}

/// Each word of an enum that has a doc comment becomes a schema of its own, which generators of clients
/// make types of. The comments go into the description.
fn fold_words(schema: &mut Schema) {
    let Some(Value::Array(parts)) = schema.get("oneOf") else {
        return;
    };
    let words: Option<Vec<Value>> = parts
        .iter()
        .map(|part| part.get("const").cloned())
        .collect();
    let Some(words) = words else {
        return;
    };
    let explained = parts.iter().filter_map(|part| {
        let word = part.get("const")?.as_str()?;
        let text = part.get("description")?.as_str()?;
        Some(format!("`{word}`: {text}"))
    });
    let description = schema.get("description").and_then(Value::as_str);
    let description: Vec<String> = description
        .map(str::to_owned)
        .into_iter()
        .chain(explained)
        .collect();
    let description = description.join(" ");
    schema.remove("oneOf");
    schema.insert("type".to_owned(), "string".into());
    schema.insert("enum".to_owned(), words.into());
    schema.insert("description".to_owned(), description.into());
}
