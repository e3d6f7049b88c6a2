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

/// Takes `null` away where it is only the absence of a member, gives numbers a format that generators
/// of clients know, and makes one line of each paragraph.
#[derive(Debug, Clone)]
pub struct Tidy;

impl Transform for Tidy {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if schema.remove(NULL_IS_MEANT).is_none() {
            without_null(schema);
        }
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
