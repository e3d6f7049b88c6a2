//! The document as a page for people: nothing to load, one style and one script of its own.
//!
//! It is rendered from the document and from nothing else, so that it cannot say anything different.

mod curl;
mod markup;
mod members;

use serde_json::{Map, Value};

use super::problem::CODES;
use markup::{code, escape, inline, paragraphs};

/// What the page runs, between its tags: a search. Its hash stands in the page's policy.
pub(in crate::http) const SCRIPT: &str = include_str!("search.js");

const METHODS: [&str; 6] = ["get", "post", "put", "patch", "delete", "options"];

/// An operation with its place.
struct Call<'d> {
    method: &'d str,
    path: &'d str,
    operation: &'d Value,
    /// Where its listener is by default.
    server: &'d str,
}

/// Where the internal listener is by default. The document says it without an address, because it is
/// served there.
const INTERNAL: &str = "http://127.0.0.1:8081";

/// Renders the document.
pub(super) fn render(document: &Value) -> String {
    let empty = Value::Null;
    let part = |name: &str| document.get(name).unwrap_or(&empty);
    let information = part("info");
    let title = escape(text(information, "title"));
    let calls = calls(part("paths"));
    let tags = elements(part("tags"));
    let components = part("components");
    let schemas = components.get("schemas").unwrap_or(&empty);

    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} API</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n\
         <h1>{title} API</h1>\n<p class=\"version\">Version {}, OpenAPI {}. The same as a \
         document: <a href=\"/openapi.json\">openapi.json</a></p>\n",
        include_str!("style.css"),
        escape(text(information, "version")),
        escape(text(document, "openapi")),
    );
    page.push_str(&paragraphs(text(information, "description")));
    page.push_str(
        "<p class=\"search\" hidden><label for=\"search\">Search (/)</label> <input id=\"search\" \
         type=\"search\" autocomplete=\"off\" spellcheck=\"false\"> <output id=\"found\" \
         for=\"search\"></output></p>\n</header>\n<nav>\n<h2>Contents</h2>\n<ul>\n\
         <li><a href=\"#authentication\">How to authenticate</a></li>\n",
    );
    for tag in tags {
        let name = escape(text(tag, "name"));
        page.push_str(&format!("<li><a href=\"#area-{name}\">{name}</a>\n<ul>\n"));
        for call in of_area(&calls, tag) {
            page.push_str(&format!(
                "<li><a href=\"#{}\">{}</a></li>\n",
                escape(text(call.operation, "operationId")),
                escape(text(call.operation, "summary"))
            ));
        }
        page.push_str("</ul></li>\n");
    }
    page.push_str(
        "<li><a href=\"#problems\">problems</a></li>\n<li><a href=\"#schemas\">schemas</a></li>\n\
         </ul>\n</nav>\n<main>\n",
    );
    page.push_str(&authentication(components));
    for tag in tags {
        let name = escape(text(tag, "name"));
        page.push_str(&format!(
            "<section>\n<h2 id=\"area-{name}\">{name}</h2>\n{}",
            paragraphs(text(tag, "description"))
        ));
        for call in of_area(&calls, tag) {
            page.push_str(&article(call, components));
        }
        page.push_str("</section>\n");
    }
    page.push_str(&problems(schemas));
    page.push_str(&all_schemas(schemas));
    page.push_str(&format!(
        "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    ));
    page
}

/// What every call needs, before the calls themselves.
fn authentication(components: &Value) -> String {
    let scheme = components.pointer("/securitySchemes/credential");
    let description = scheme.map_or("", |scheme| text(scheme, "description"));
    format!(
        "<section>\n<h2 id=\"authentication\">How to authenticate</h2>\n{}\
         <p>A first start writes a credential with every role to {}:</p>\n\
         <pre>curl -s {INTERNAL}/v1/issuers -H \"Authorization: Bearer $(cat keys/admin.token)\"</pre>\n\
         </section>\n",
        paragraphs(description),
        code("keys/admin.token")
    )
}

fn calls(paths: &Value) -> Vec<Call<'_>> {
    let paths = members_of(paths);
    paths
        .flat_map(|(path, item)| {
            let server = list(item, "servers").first();
            let server = server.and_then(|server| server.pointer("/variables/public/default"));
            let server = server.and_then(Value::as_str).unwrap_or(INTERNAL);
            let operations = members_of(item);
            let operations = operations.filter(|(name, _)| METHODS.contains(&name.as_str()));
            operations.map(move |(method, operation)| Call {
                method,
                path,
                operation,
                server,
            })
        })
        .collect()
}

fn of_area<'c, 'd>(calls: &'c [Call<'d>], tag: &'c Value) -> impl Iterator<Item = &'c Call<'d>> {
    calls.iter().filter(|call| {
        let tags = list(call.operation, "tags");
        tags.iter()
            .any(|own| own.as_str() == Some(text(tag, "name")))
    })
}

fn article(call: &Call<'_>, components: &Value) -> String {
    let operation = call.operation;
    let mut page = format!(
        "<article id=\"{}\">\n<h3>{}</h3>\n<code class=\"call\"><b>{}</b> {}</code>\n\
         <p class=\"role\">{}</p>\n{}<pre class=\"curl\">{}</pre>\n",
        escape(text(operation, "operationId")),
        escape(text(operation, "summary")),
        call.method.to_uppercase(),
        escape(call.path),
        role(operation),
        paragraphs(text(operation, "description")),
        escape(&curl::command(call))
    );
    if let Some(parameters) = operation.get("parameters") {
        page.push_str(
            "<h4>Parameters</h4>\n<table>\n<tr><th>parameter</th><th>in</th><th>rule</th></tr>\n",
        );
        for parameter in elements(parameters) {
            let schema = parameter.get("schema").map(members::rules);
            page.push_str(&format!(
                "<tr><td>{}</td><td>{}</td><td>{} {}</td></tr>\n",
                code(text(parameter, "name")),
                escape(text(parameter, "in")),
                inline(text(parameter, "description")),
                schema.unwrap_or_default()
            ));
        }
        page.push_str("</table>\n");
    }
    if let Some(body) = operation.get("requestBody") {
        page.push_str("<h4>Body</h4>\n");
        for (_, content) in contents(body) {
            if let Some(schema) = content.get("schema") {
                page.push_str(&members::table(resolve(schema, components)));
            }
            let examples = content.get("examples").into_iter().flat_map(members_of);
            for (_, example) in examples {
                page.push_str(&block(example.get("value")));
            }
        }
    }
    page.push_str(&answers(operation, components));
    page.push_str("</article>\n");
    page
}

fn role(operation: &Value) -> String {
    let schemes = list(operation, "security");
    if schemes.iter().any(|scheme| scheme.get("client").is_some()) {
        return "The client authenticates, unless the grant is public.".to_owned();
    }
    let roles = schemes
        .iter()
        .flat_map(|scheme| list(scheme, "credential"))
        .filter_map(Value::as_str);
    match roles.map(code).collect::<Vec<_>>().join(" or ") {
        none if none.is_empty() => "No credential.".to_owned(),
        roles => format!("Needs the role {roles}."),
    }
}

/// What it answers: the good ends with their examples, then a row of codes for each problem.
fn answers(operation: &Value, components: &Value) -> String {
    let mut good = String::new();
    let mut bad = String::new();
    let responses = operation.get("responses").into_iter();
    for (status, response) in responses.flat_map(members_of) {
        let response = resolve(response, components);
        let codes = codes_of(response);
        if !codes.is_empty() {
            let links = codes.iter().map(|code| {
                format!(
                    "<a href=\"#problem-{0}\"><code>{0}</code></a>",
                    escape(code)
                )
            });
            bad.push_str(&format!(
                "<tr><td>{status}</td><td>{}</td></tr>\n",
                links.collect::<Vec<_>>().join(" ")
            ));
            continue;
        }
        let mut kinds = String::new();
        let mut example = String::new();
        for (media_type, content) in contents(response) {
            let kind = content.get("schema").map(members::kind).unwrap_or_default();
            kinds.push_str(&format!(" {kind}, {}", code(media_type)));
            if content.get("example").is_some() {
                example.push_str(&block(content.get("example")));
            }
        }
        good.push_str(&format!(
            "<p><strong>{status}</strong> {}{kinds}</p>\n{example}",
            inline(text(response, "description"))
        ));
    }
    let problems = match bad.is_empty() {
        true => String::new(),
        false => format!("<h4>Problems</h4>\n<table>\n{bad}</table>\n"),
    };
    format!("<h4>Answers</h4>\n{good}{problems}")
}

fn codes_of(response: &Value) -> Vec<&str> {
    let codes = list(response, CODES).iter();
    codes.filter_map(Value::as_str).collect()
}

fn contents(part: &Value) -> impl Iterator<Item = (&String, &Value)> {
    part.get("content").into_iter().flat_map(members_of)
}

/// The component that a reference names, or what is no reference as it is.
fn resolve<'d>(part: &'d Value, components: &'d Value) -> &'d Value {
    let place = text(part, "$ref").strip_prefix("#/components");
    place
        .and_then(|place| components.pointer(place))
        .unwrap_or(part)
}

/// The text of a member; without one, nothing.
fn text<'d>(value: &'d Value, member: &str) -> &'d str {
    let text = value.get(member).and_then(Value::as_str);
    text.unwrap_or_default()
}

/// The elements of a member that is an array.
fn list<'d>(value: &'d Value, member: &str) -> &'d [Value] {
    value.get(member).map_or(&[], elements)
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members_of(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn block(example: Option<&Value>) -> String {
    let text = match example {
        Some(example) => match example.as_str() {
            Some(text) => text.trim_end().to_owned(),
            None => format!("{example:#}"),
        },
        None => String::new(),
    };
    format!("<pre>{}</pre>\n", escape(&text))
}

fn problems(schemas: &Value) -> String {
    let mut page = String::from(
        "<section>\n<h2 id=\"problems\">problems</h2>\n\
         <p>An error is a <a href=\"#schema-Problem\">Problem</a>. Decide on its code: it is \
         stable.</p>\n<table>\n<tr><th>status</th><th>code</th><th>when</th><th>what to do</th></tr>\n",
    );
    let codes = schemas.get("ProblemCode");
    for entry in codes.map_or(&[][..], |code| list(code, CODES)) {
        let status = entry.get("status").map(Value::to_string);
        let code = escape(text(entry, "code"));
        page.push_str(&format!(
            "<tr id=\"problem-{code}\"><td>{}</td><td><code>{code}</code></td><td>{}</td><td>{}</td></tr>\n",
            status.unwrap_or_default(),
            inline(text(entry, "description")),
            inline(text(entry, "remedy"))
        ));
    }
    page.push_str("</table>\n</section>\n");
    page
}

fn all_schemas(schemas: &Value) -> String {
    let mut page = String::from("<section>\n<h2 id=\"schemas\">schemas</h2>\n");
    for (name, schema) in members_of(schemas) {
        page.push_str(&format!(
            "<article id=\"schema-{0}\">\n<h3>{0}</h3>\n{1}",
            escape(name),
            paragraphs(text(schema, "description"))
        ));
        match name.as_str() {
            "ProblemCode" => page.push_str("<p>See <a href=\"#problems\">problems</a>.</p>\n"),
            _ => page.push_str(&members::table(schema)),
        }
        page.push_str("</article>\n");
    }
    page.push_str("</section>\n");
    page
}
