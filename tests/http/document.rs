//! The OpenAPI document as the tests read it: its operations, its examples, its schemas.

use serde_json::{Map, Value, json};

/// Where the document stands in the repository. `openapi` holds it against the service.
pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");

pub struct Document(pub Value);

/// An operation of the document.
#[derive(Clone)]
pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: String,
    /// The roles of which it needs one; none when it needs no credential.
    pub roles: Vec<String>,
    /// Whether the public listener has it.
    pub is_public: bool,
    pub value: Value,
}

pub fn document() -> Document {
    let text = std::fs::read_to_string(FILE).expect("docs/openapi.json");
    Document(serde_json::from_str(&text).expect("JSON"))
}

impl Document {
    pub fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (path, item) in self.0["paths"].as_object().unwrap() {
            let is_public = item.get("servers").is_some();
            for (method, value) in item.as_object().unwrap() {
                if method == "servers" {
                    continue;
                }
                let requirements = value["security"].as_array().into_iter().flatten();
                let role = |one: &Value| one["credential"][0].as_str().map(str::to_owned);
                operations.push(Operation {
                    id: value["operationId"].as_str().unwrap().to_owned(),
                    method: method.to_uppercase(),
                    path: path.clone(),
                    roles: requirements.filter_map(role).collect(),
                    is_public,
                    value: value.clone(),
                });
            }
        }
        operations
    }

    pub fn operation(&self, id: &str) -> Operation {
        let mut operations = self.operations().into_iter();
        operations
            .find(|operation| operation.id == id)
            .unwrap_or_else(|| panic!("{id} is no operation of the document"))
    }

    /// What a reference names, or the value itself.
    pub fn resolve<'d>(&'d self, value: &'d Value) -> &'d Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(place) => self.0.pointer(place.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    /// Fails unless the value is one of the schema. Answers may have members that the document
    /// does not know, but none of ours has: the objects of the schema are closed for this.
    pub fn assert_valid(&self, schema: &Value, value: &Value, what: &str) {
        let root = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [schema],
            "components": self.0["components"],
        });
        let root = closed(&root);
        let validator = jsonschema::validator_for(&root).expect("a schema");
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("  {}: {error}", error.instance_path()))
            .collect();
        assert!(
            errors.is_empty(),
            "{what}:\n{}\n{value:#}",
            errors.join("\n")
        );
    }
}

/// The schema with every object that lists its members closed. The claims of a token and a JWK are
/// objects of the caller's, which may have others.
fn closed(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let mut members: Map<String, Value> = members
                .iter()
                .map(|(name, member)| match name.as_str() {
                    "Claims" | "PublicJwk" => (name.clone(), member.clone()),
                    _ => (name.clone(), closed(member)),
                })
                .collect();
            let lists = members.get("properties").is_some_and(Value::is_object);
            if lists && members.get("type").is_some_and(|kind| kind == "object") {
                members.insert("additionalProperties".to_owned(), false.into());
            }
            members.into()
        }
        Value::Array(values) => values.iter().map(closed).collect(),
        other => other.clone(),
    }
}

impl Operation {
    /// The path with its parameters filled in: from `parameters`, else from the document's example.
    pub fn path_with(&self, parameters: &[(&str, String)]) -> String {
        let mut path = self.path.clone();
        let declared = self.value["parameters"].as_array();
        for parameter in declared.into_iter().flatten() {
            if parameter["in"] != "path" {
                continue;
            }
            let name = parameter["name"].as_str().unwrap();
            let given = parameters.iter().find(|(other, _)| *other == name);
            let value = match given {
                Some((_, value)) => value,
                None => parameter["example"].as_str().expect("an example"),
            };
            path = path.replace(&format!("{{{name}}}"), value);
        }
        assert!(!path.contains('{'), "{path} has an undeclared parameter");
        path
    }

    /// The media type of its body, and what the document says of it.
    pub fn body(&self) -> Option<(&str, &Value)> {
        let contents = self.value["requestBody"]["content"].as_object()?;
        let (media_type, content) = contents.iter().next()?;
        Some((media_type, content))
    }

    /// Whether it is an OAuth endpoint, which takes forms of clients that authenticate as RFC 6749 has it.
    pub fn is_oauth(&self) -> bool {
        ["oauth", "signals", "security-events"]
            .iter()
            .any(|tag| self.value["tags"][0] == *tag)
    }

    /// Whether it takes a query.
    pub fn has_query(&self) -> bool {
        let parameters = self.value["parameters"].as_array();
        let mut parameters = parameters.into_iter().flatten();
        parameters.any(|parameter| parameter["in"] == "query")
    }

    /// The bodies that the document shows, by name.
    pub fn bodies(&self) -> Vec<(String, Value)> {
        let content = self.body().map(|(_, content)| &content["examples"]);
        let examples = content.and_then(Value::as_object).into_iter().flatten();
        examples
            .map(|(name, example)| (name.clone(), example["value"].clone()))
            .collect()
    }
}
