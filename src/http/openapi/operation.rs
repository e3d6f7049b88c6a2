//! What one operation takes and answers, said once beside its route.

use keywright_api::schema::Tidy;
use schemars::transform::Transform as _;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::area::Area;
use super::problem::{self, ProblemResponse};
use crate::access::Role;
use crate::http::body::EVENT_TOKEN;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

/// What an operation takes and answers.
pub(in crate::http) struct Operation {
    area: Area,
    id: String,
    summary: String,
    text: &'static str,
    roles: Vec<Role>,
    parameters: Vec<Parameter>,
    query: Option<SchemaOf>,
    body: Option<RequestBody>,
    answers: Vec<ResponseDescription>,
    problems: Vec<Code>,
}

/// The schema of a type: of a document, a reference to the components.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A segment of the path, or a header.
struct Parameter {
    place: &'static str,
    presence: Presence,
    name: &'static str,
    schema: SchemaOf,
    text: &'static str,
    example: Option<&'static str>,
}

struct RequestBody {
    media_type: &'static str,
    presence: Presence,
    schema: SchemaOf,
    examples: Vec<Example>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

/// A body that stands for others. Each one is sent to a real service, or compared with what one
/// answers, by a test.
pub(super) struct Example {
    name: &'static str,
    value: Value,
}

/// An example with its name.
pub(super) fn example(name: &'static str, value: Value) -> Example {
    Example { name, value }
}

/// A response that is not a problem, as the document describes it.
pub(super) struct ResponseDescription {
    status: ResponseStatus,
    text: &'static str,
    content: Option<Content>,
    headers: Vec<&'static str>,
}

struct Content {
    media_type: &'static str,
    kind: Kind,
    example: Option<Value>,
}

enum Kind {
    /// A document of this type.
    Document(SchemaOf),
    /// What it is, in words.
    Text(&'static str),
}

impl ResponseDescription {
    /// An answer without a body.
    pub(super) fn empty(status: ResponseStatus, text: &'static str) -> Self {
        Self {
            status,
            text,
            content: None,
            headers: Vec::new(),
        }
    }

    /// A document, with an example.
    pub(super) fn json<T: JsonSchema>(
        status: ResponseStatus,
        text: &'static str,
        example: Value,
    ) -> Self {
        Self::of::<T>(status, text, "application/json", example)
    }

    /// A document of a media type of its own, with an example.
    pub(super) fn of<T: JsonSchema>(
        status: ResponseStatus,
        text: &'static str,
        media_type: &'static str,
        example: Value,
    ) -> Self {
        Self::empty(status, text).with(Content {
            media_type,
            kind: Kind::Document(SchemaGenerator::subschema_for::<T>),
            example: Some(example),
        })
    }

    /// Text, or a document that another one describes; `content` says what it is.
    pub(super) fn text(
        status: ResponseStatus,
        text: &'static str,
        media_type: &'static str,
        content: &'static str,
    ) -> Self {
        Self::empty(status, text).with(Content {
            media_type,
            kind: Kind::Text(content),
            example: None,
        })
    }

    fn with(mut self, content: Content) -> Self {
        self.content = Some(content);
        self
    }

    /// The same with an example.
    pub(super) fn example(mut self, example: &str) -> Self {
        if let Some(content) = &mut self.content {
            content.example = Some(example.into());
        }
        self
    }

    /// The same with headers of the components, which it always has.
    pub(super) fn headers(mut self, headers: &[&'static str]) -> Self {
        self.headers.extend(headers);
        self
    }

    fn render(&self, area: Area, generator: &mut SchemaGenerator) -> (String, Value) {
        let common = area.headers().iter().copied();
        let mut answer = json!({
            "description": self.text,
            "headers": headers(common.chain(self.headers.iter().copied())),
        });
        if let Some(content) = &self.content {
            let schema = match content.kind {
                Kind::Document(schema) => tidied(schema, generator),
                Kind::Text(text) if content.media_type == "application/json" => {
                    json!({"type": "object", "description": text})
                }
                Kind::Text(text) => json!({"type": "string", "description": text}),
            };
            let mut shown = json!({ "schema": schema });
            if let Some(example) = &content.example {
                insert(&mut shown, "example", example.clone());
            }
            insert(&mut answer, "content", json!({ content.media_type: shown }));
        }
        (self.status.status().as_u16().to_string(), answer)
    }
}

impl Operation {
    /// An operation with its identifier and the few words that name it.
    pub(super) fn new(area: Area, id: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            area,
            id: id.into(),
            summary: summary.into(),
            text: "",
            roles: Vec::new(),
            parameters: Vec::new(),
            query: None,
            body: None,
            answers: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// What else there is to know, in CommonMark.
    pub(super) fn text(mut self, text: &'static str) -> Self {
        self.text = text;
        self
    }

    /// The same operation where the path names one of several things.
    pub(super) fn of_each(mut self) -> Self {
        self.id.push_str("Of");
        self.summary.push_str(" of an issuer with a path");
        self
    }

    /// It needs a credential with this role.
    pub(super) fn role(self, role: Role) -> Self {
        self.one_of_the_roles(&[role])
    }

    /// It needs a credential with one of these roles.
    pub(super) fn one_of_the_roles(mut self, roles: &[Role]) -> Self {
        self.roles = roles.to_vec();
        self.refuses(&[
            Code::CredentialMissing,
            Code::CredentialInvalid,
            Code::RoleMissing,
            Code::TooManyFailures,
            Code::CallerUndecidable,
            Code::SnapshotStale,
        ])
    }

    /// A segment of the path.
    pub(super) fn path<T: JsonSchema>(
        mut self,
        name: &'static str,
        text: &'static str,
        example: &'static str,
    ) -> Self {
        self.parameters.push(Parameter {
            place: "path",
            presence: Presence::Required,
            name,
            schema: SchemaGenerator::subschema_for::<T>,
            text,
            example: Some(example),
        });
        self.refuses(&[Code::NotFound])
    }

    /// The parameters of the query: the members of this type.
    pub(super) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(T::json_schema);
        self.refuses(&[Code::InvalidQuery])
    }

    /// A header of the request, which may be absent.
    pub(super) fn header(self, name: &'static str, text: &'static str) -> Self {
        self.takes_header(Presence::Optional, name, text)
    }

    /// A header that the request must have.
    pub(super) fn required_header(self, name: &'static str, text: &'static str) -> Self {
        self.takes_header(Presence::Required, name, text)
    }

    fn takes_header(mut self, presence: Presence, name: &'static str, text: &'static str) -> Self {
        self.parameters.push(Parameter {
            place: "header",
            presence,
            name,
            schema: SchemaGenerator::subschema_for::<String>,
            text,
            example: None,
        });
        self
    }

    /// A body that must be there.
    pub(super) fn body<T: JsonSchema>(self, examples: impl IntoIterator<Item = Example>) -> Self {
        self.takes::<T>(Presence::Required, examples)
    }

    /// A body that may be left out.
    pub(super) fn optional_body<T: JsonSchema>(
        self,
        examples: impl IntoIterator<Item = Example>,
    ) -> Self {
        self.takes::<T>(Presence::Optional, examples)
    }

    fn takes<T: JsonSchema>(
        mut self,
        presence: Presence,
        examples: impl IntoIterator<Item = Example>,
    ) -> Self {
        self.body = Some(RequestBody {
            media_type: "application/json",
            presence,
            schema: SchemaGenerator::subschema_for::<T>,
            examples: examples.into_iter().collect(),
        });
        self.refuses(&[
            Code::MalformedJson,
            Code::DuplicateMember,
            Code::JsonTooDeep,
            Code::JsonTooManyValues,
            Code::NumberOutOfRange,
            Code::NotAnObject,
            Code::FieldMissing,
            Code::FieldType,
            Code::UnknownField,
            Code::InvalidBody,
            Code::BodyIncomplete,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
        ])
    }

    /// A form that must be there.
    pub(super) fn form<T: JsonSchema>(
        mut self,
        examples: impl IntoIterator<Item = Example>,
    ) -> Self {
        self.body = Some(RequestBody {
            media_type: "application/x-www-form-urlencoded",
            presence: Presence::Required,
            schema: SchemaGenerator::subschema_for::<T>,
            examples: examples.into_iter().collect(),
        });
        self.refuses(&[
            Code::DuplicateMember,
            Code::FieldMissing,
            Code::InvalidBody,
            Code::BodyIncomplete,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
        ])
    }

    /// A security event token that must be there.
    pub(super) fn event_token(mut self, examples: impl IntoIterator<Item = Example>) -> Self {
        self.body = Some(RequestBody {
            media_type: EVENT_TOKEN,
            presence: Presence::Required,
            schema: SchemaGenerator::subschema_for::<String>,
            examples: examples.into_iter().collect(),
        });
        self.refuses(&[
            Code::InvalidEventToken,
            Code::BodyIncomplete,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
        ])
    }

    /// One way in which it ends well.
    pub(super) fn answers(mut self, answer: ResponseDescription) -> Self {
        self.answers.push(answer);
        self
    }

    /// Codes of problems that it can answer with, beside those that the other parts bring.
    pub(super) fn refuses(mut self, codes: &[Code]) -> Self {
        self.problems.extend(codes);
        self
    }

    /// What any change of the store can meet.
    pub(super) fn changes(self) -> Self {
        self.refuses(&[
            Code::InternalError,
            Code::Contended,
            Code::ClockDoubted,
            Code::StoreUnavailable,
            Code::StoreReplaced,
        ])
    }

    /// The problems that it can answer with.
    pub(super) fn problem_responses(&self) -> Vec<ProblemResponse> {
        let common = self.area.problems().iter();
        problem::problem_responses(self.area, self.problems.iter().chain(common).copied())
    }

    /// The area that it belongs to.
    pub(super) fn area(&self) -> Area {
        self.area
    }

    /// The operation object of the document (OpenAPI 3.1 §4.8.10).
    pub(super) fn render(&self, generator: &mut SchemaGenerator) -> Value {
        // For a scheme that is not OAuth the list has the roles that are needed (§4.8.30); of several
        // requirements one is enough (§4.8.1).
        let role = self.roles.iter();
        let mut security: Vec<Value> = role
            .map(|role| json!({"credential": [role.as_str()]}))
            .collect();
        if matches!(
            self.area,
            Area::Oauth | Area::Signals | Area::SecurityEvents
        ) {
            security.extend([json!({"client": []}), json!({})]);
        }
        let mut shown = json!({
            "operationId": self.id,
            "tags": [self.area.name()],
            "summary": self.summary,
            "security": security,
        });
        if !self.text.is_empty() {
            insert(&mut shown, "description", self.text.into());
        }
        let parameters = self.parameters.iter();
        let mut parameters: Vec<Value> = parameters.map(|one| one.render(generator)).collect();
        parameters.extend(
            self.query
                .into_iter()
                .flat_map(|query| query_parameters(query, generator)),
        );
        if !parameters.is_empty() {
            insert(&mut shown, "parameters", parameters.into());
        }
        if let Some(body) = &self.body {
            insert(&mut shown, "requestBody", body.render(generator));
        }
        let answers = self.answers.iter();
        let answers = answers.map(|answer| answer.render(self.area, generator));
        let mut responses: Map<String, Value> = answers.collect();
        let problems = self.problem_responses();
        responses.extend(problems.iter().map(ProblemResponse::response));
        insert(&mut shown, "responses", responses.into());
        shown
    }
}

impl Parameter {
    fn render(&self, generator: &mut SchemaGenerator) -> Value {
        let mut shown = json!({
            "name": self.name,
            "in": self.place,
            "required": self.presence == Presence::Required,
            "description": self.text,
            "schema": tidied(self.schema, generator),
        });
        if let Some(example) = self.example {
            insert(&mut shown, "example", example.into());
        }
        shown
    }
}

/// The members of a query's type as parameters.
fn query_parameters(query: SchemaOf, generator: &mut SchemaGenerator) -> Vec<Value> {
    let query = tidied(query, generator);
    let required = query.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
    let members = query.get("properties").and_then(Value::as_object);
    let parameters = members.into_iter().flatten().map(|(name, member)| {
        let mut schema = member.clone();
        let mut shown = json!({"name": name, "in": "query", "required": is_required(name)});
        for part in ["description", "example"] {
            if let Some(value) = schema
                .as_object_mut()
                .and_then(|schema| schema.remove(part))
            {
                insert(&mut shown, part, value);
            }
        }
        insert(&mut shown, "schema", schema);
        shown
    });
    parameters.collect()
}

impl RequestBody {
    fn render(&self, generator: &mut SchemaGenerator) -> Value {
        let examples = self.examples.iter();
        let examples: Map<String, Value> = examples
            .map(|example| (example.name.to_owned(), json!({ "value": example.value })))
            .collect();
        let schema = tidied(self.schema, generator);
        json!({
            "required": self.presence == Presence::Required,
            "content": {self.media_type: {"schema": schema, "examples": examples}},
        })
    }
}

fn tidied(schema: SchemaOf, generator: &mut SchemaGenerator) -> Value {
    let mut schema = schema(generator);
    Tidy.transform(&mut schema);
    schema.into()
}

/// Adds a member to an object.
pub(super) fn insert(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

/// Headers of the components, by name.
pub(super) fn headers(names: impl IntoIterator<Item = &'static str>) -> Value {
    let names = names.into_iter();
    let headers: Map<String, Value> = names
        .map(|name| {
            let place = format!("#/components/headers/{name}");
            (name.to_owned(), json!({ "$ref": place }))
        })
        .collect();
    headers.into()
}
