//! What one operation takes and answers, said once beside its route.

use serde_json::Value;

use super::area::Area;
use super::json::{Json, array, object};
use super::problem::{self, ProblemResponse};
use super::schema::reference;
use crate::access::Role;
use crate::http::code::Code;
use crate::http::response::ResponseStatus;

/// What an operation takes and answers.
pub(in crate::http) struct Operation {
    area: Area,
    id: String,
    summary: &'static str,
    text: &'static str,
    roles: Vec<Role>,
    parameters: Vec<Parameter>,
    body: Option<RequestBody>,
    answers: Vec<ResponseDescription>,
    problems: Vec<Code>,
}

/// Where a parameter stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Query,
    Header,
}

/// A parameter of the path, the query or the head.
pub(super) struct Parameter {
    place: Place,
    name: &'static str,
    schema: Json,
    presence: Presence,
    text: &'static str,
    example: Option<Value>,
}

struct RequestBody {
    presence: Presence,
    schema: &'static str,
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
    content: Option<(&'static str, Json)>,
    example: Option<Value>,
    headers: Vec<&'static str>,
}

impl ResponseDescription {
    /// An answer without a body.
    pub(super) fn empty(status: ResponseStatus, text: &'static str) -> Self {
        Self {
            status,
            text,
            content: None,
            example: None,
            headers: Vec::new(),
        }
    }

    /// A JSON document of the components, with an example.
    pub(super) fn json(
        status: ResponseStatus,
        text: &'static str,
        schema: &'static str,
        example: Value,
    ) -> Self {
        Self::of(status, text, "application/json", reference(schema), example)
    }

    /// A body of any type, with an example.
    pub(super) fn of(
        status: ResponseStatus,
        text: &'static str,
        media_type: &'static str,
        schema: Json,
        example: Value,
    ) -> Self {
        Self {
            content: Some((media_type, schema)),
            example: Some(example),
            ..Self::empty(status, text)
        }
    }

    /// A body of any type that is too large or too changeable for an example.
    pub(super) fn text(
        status: ResponseStatus,
        text: &'static str,
        media_type: &'static str,
        schema: Json,
    ) -> Self {
        Self {
            content: Some((media_type, schema)),
            ..Self::empty(status, text)
        }
    }

    /// The same with headers of the components, which it always has.
    pub(super) fn headers(mut self, headers: &[&'static str]) -> Self {
        self.headers.extend(headers);
        self
    }

    fn render(&self, area: Area) -> (String, Json) {
        let mut answer = object([("description", self.text.into())]);
        let common = area.headers().iter().copied();
        answer = answer.with(
            "headers",
            headers(common.chain(self.headers.iter().copied())),
        );
        if let Some((media_type, schema)) = &self.content {
            let mut content = object([("schema", schema.clone())]);
            if let Some(example) = &self.example {
                content = content.with("example", example.clone());
            }
            answer = answer.with("content", object([(*media_type, content)]));
        }
        (self.status.status().as_u16().to_string(), answer)
    }
}

impl Operation {
    /// An operation with its identifier and the few words that name it.
    pub(super) fn new(area: Area, id: impl Into<String>, summary: &'static str) -> Self {
        Self {
            area,
            id: id.into(),
            summary,
            text: "",
            roles: Vec::new(),
            parameters: Vec::new(),
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
    pub(super) fn path(
        self,
        name: &'static str,
        schema: Json,
        text: &'static str,
        example: &str,
    ) -> Self {
        self.parameter(Parameter {
            place: Place::Path,
            name,
            schema,
            presence: Presence::Required,
            text,
            example: Some(example.into()),
        })
        .refuses(&[Code::NotFound])
    }

    /// A parameter of the query, which may be absent.
    pub(super) fn query(self, name: &'static str, schema: Json, text: &'static str) -> Self {
        self.parameter(Parameter {
            place: Place::Query,
            name,
            schema,
            presence: Presence::Optional,
            text,
            example: None,
        })
        .refuses(&[Code::InvalidQuery])
    }

    /// A parameter of the query that must be there.
    pub(super) fn required_query(
        self,
        name: &'static str,
        schema: Json,
        text: &'static str,
        example: Value,
    ) -> Self {
        self.parameter(Parameter {
            place: Place::Query,
            name,
            schema,
            presence: Presence::Required,
            text,
            example: Some(example),
        })
        .refuses(&[Code::InvalidQuery])
    }

    /// A header of the request, which may be absent.
    pub(super) fn header(self, name: &'static str, schema: Json, text: &'static str) -> Self {
        self.parameter(Parameter {
            place: Place::Header,
            name,
            schema,
            presence: Presence::Optional,
            text,
            example: None,
        })
    }

    fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    /// A body that must be there: a schema of the components.
    pub(super) fn body(
        self,
        schema: &'static str,
        examples: impl IntoIterator<Item = Example>,
    ) -> Self {
        self.takes(Presence::Required, schema, examples)
    }

    /// A body that may be left out.
    pub(super) fn optional_body(
        self,
        schema: &'static str,
        examples: impl IntoIterator<Item = Example>,
    ) -> Self {
        self.takes(Presence::Optional, schema, examples)
    }

    fn takes(
        mut self,
        presence: Presence,
        schema: &'static str,
        examples: impl IntoIterator<Item = Example>,
    ) -> Self {
        self.body = Some(RequestBody {
            presence,
            schema,
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
    pub(super) fn render(&self) -> Json {
        let mut shown = object([
            ("operationId", self.id.as_str().into()),
            ("tags", array([self.area.name()])),
            ("summary", self.summary.into()),
        ]);
        if !self.text.is_empty() {
            shown = shown.with("description", self.text);
        }
        // For a scheme that is not OAuth the list has the roles that are needed (§4.8.30); of several
        // requirements one is enough (§4.8.1).
        let requirement = |role: &Role| object([("credential", array([role.as_str()]))]);
        shown = shown.with("security", array(self.roles.iter().map(requirement)));
        if !self.parameters.is_empty() {
            shown = shown.with(
                "parameters",
                array(self.parameters.iter().map(Parameter::render)),
            );
        }
        if let Some(body) = &self.body {
            shown = shown.with("requestBody", body.render());
        }
        let answers = self.answers.iter().map(|answer| answer.render(self.area));
        let mut responses: Vec<(String, Json)> = answers.collect();
        responses.extend(
            self.problem_responses()
                .iter()
                .map(ProblemResponse::response),
        );
        responses.sort_by(|one, other| one.0.cmp(&other.0));
        shown.with("responses", Json::Object(responses))
    }
}

impl Parameter {
    fn render(&self) -> Json {
        let place = match self.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        };
        let shown = object([
            ("name", self.name.into()),
            ("in", place.into()),
            ("required", (self.presence == Presence::Required).into()),
            ("description", self.text.into()),
            ("schema", self.schema.clone()),
        ]);
        match &self.example {
            Some(example) => shown.with("example", example.clone()),
            None => shown,
        }
    }
}

impl RequestBody {
    fn render(&self) -> Json {
        let examples = self.examples.iter();
        let examples = examples.map(|example| {
            (
                example.name,
                object([("value", Json::Value(example.value.clone()))]),
            )
        });
        let content = object([
            ("schema", reference(self.schema)),
            ("examples", object(examples)),
        ]);
        object([
            ("required", (self.presence == Presence::Required).into()),
            ("content", object([("application/json", content)])),
        ])
    }
}

/// Headers of the components, by name.
pub(super) fn headers(names: impl IntoIterator<Item = &'static str>) -> Json {
    object(names.into_iter().map(|name| {
        let place = format!("#/components/headers/{name}");
        (name, object([("$ref", place.into())]))
    }))
}
