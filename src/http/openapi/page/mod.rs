//! The document as a page for people: no script, nothing to load, one style of its own.
//!
//! It is rendered from the document and from nothing else, so that it cannot say anything different.

mod markup;
mod members;

use super::json::Json;
use markup::{code, escape, inline, paragraphs};

const METHODS: [&str; 5] = ["get", "post", "put", "delete", "options"];

/// An operation with its place.
struct Call<'d> {
    method: &'d str,
    path: &'d str,
    operation: &'d Json,
}

/// Renders the document.
pub(super) fn render(document: &Json) -> String {
    let empty = Json::Object(Vec::new());
    let part = |name: &str| document.get(name).unwrap_or(&empty);
    let information = part("info");
    let title = escape(information.text_of("title"));
    let calls = calls(part("paths"));
    let tags = part("tags").elements();
    let components = part("components");
    let schemas = components.get("schemas").unwrap_or(&empty);

    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} API</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n\
         <h1>{title} API</h1>\n<p class=\"version\">Version {}, OpenAPI {}. The same as a \
         document: <a href=\"/openapi.json\">openapi.json</a></p>\n",
        include_str!("style.css"),
        escape(information.text_of("version")),
        escape(document.text_of("openapi")),
    );
    page.push_str(&paragraphs(information.text_of("description")));
    page.push_str("</header>\n<nav>\n<h2>Contents</h2>\n<ul>\n");
    for tag in tags {
        let name = escape(tag.text_of("name"));
        page.push_str(&format!("<li><a href=\"#area-{name}\">{name}</a>\n<ul>\n"));
        for call in of_area(&calls, tag) {
            page.push_str(&format!(
                "<li><a href=\"#{}\">{}</a></li>\n",
                escape(call.operation.text_of("operationId")),
                escape(call.operation.text_of("summary"))
            ));
        }
        page.push_str("</ul></li>\n");
    }
    page.push_str(
        "<li><a href=\"#problems\">problems</a></li>\n<li><a href=\"#schemas\">schemas</a></li>\n\
         </ul>\n</nav>\n<main>\n",
    );
    for tag in tags {
        let name = escape(tag.text_of("name"));
        page.push_str(&format!(
            "<section>\n<h2 id=\"area-{name}\">{name}</h2>\n{}",
            paragraphs(tag.text_of("description"))
        ));
        for call in of_area(&calls, tag) {
            page.push_str(&article(call, components));
        }
        page.push_str("</section>\n");
    }
    page.push_str(&problems(schemas));
    page.push_str(&all_schemas(schemas));
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn calls(paths: &Json) -> Vec<Call<'_>> {
    let paths = paths.members().iter();
    paths
        .flat_map(|(path, item)| {
            let operations = item.members().iter();
            let operations = operations.filter(|(name, _)| METHODS.contains(&name.as_str()));
            operations.map(move |(method, operation)| Call {
                method,
                path,
                operation,
            })
        })
        .collect()
}

fn of_area<'c, 'd>(calls: &'c [Call<'d>], tag: &'c Json) -> impl Iterator<Item = &'c Call<'d>> {
    calls.iter().filter(|call| {
        let tags = call.operation.get("tags").map_or(&[][..], Json::elements);
        tags.iter()
            .any(|own| own.text() == Some(tag.text_of("name")))
    })
}

fn article(call: &Call<'_>, components: &Json) -> String {
    let operation = call.operation;
    let mut page = format!(
        "<article id=\"{}\">\n<h3>{}</h3>\n<code class=\"call\"><b>{}</b> {}</code>\n\
         <p class=\"role\">{}</p>\n{}",
        escape(operation.text_of("operationId")),
        escape(operation.text_of("summary")),
        call.method.to_uppercase(),
        escape(call.path),
        role(operation),
        paragraphs(operation.text_of("description"))
    );
    if let Some(parameters) = operation.get("parameters") {
        page.push_str(
            "<h4>Parameters</h4>\n<table>\n<tr><th>parameter</th><th>in</th><th>rule</th></tr>\n",
        );
        for parameter in parameters.elements() {
            let schema = parameter.get("schema").map(members::rules);
            page.push_str(&format!(
                "<tr><td>{}</td><td>{}</td><td>{} {}</td></tr>\n",
                code(parameter.text_of("name")),
                escape(parameter.text_of("in")),
                inline(parameter.text_of("description")),
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
            let examples = content.get("examples").map_or(&[][..], Json::members);
            for (_, example) in examples {
                page.push_str(&block(example.get("value")));
            }
        }
    }
    page.push_str(&answers(operation, components));
    page.push_str("</article>\n");
    page
}

fn role(operation: &Json) -> String {
    let security = operation.get("security").map_or(&[][..], Json::elements);
    let roles = security
        .iter()
        .filter_map(|scheme| scheme.get("credential"))
        .flat_map(Json::elements)
        .filter_map(Json::text);
    match roles.map(code).collect::<Vec<_>>().join(" or ") {
        none if none.is_empty() => "No credential.".to_owned(),
        roles => format!("Needs the role {roles}."),
    }
}

/// What it answers: the good ends with their examples, then a row of codes for each problem.
fn answers(operation: &Json, components: &Json) -> String {
    let mut good = String::new();
    let mut bad = String::new();
    let responses = operation.get("responses").map_or(&[][..], Json::members);
    for (status, response) in responses {
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
            inline(response.text_of("description"))
        ));
    }
    let problems = match bad.is_empty() {
        true => String::new(),
        false => format!("<h4>Problems</h4>\n<table>\n{bad}</table>\n"),
    };
    format!("<h4>Answers</h4>\n{good}{problems}")
}

fn codes_of(response: &Json) -> Vec<&str> {
    let Some((_, content)) = contents(response)
        .iter()
        .find(|(media_type, _)| media_type == "application/problem+json")
    else {
        return Vec::new();
    };
    let parts = content.get("schema").and_then(|schema| schema.get("allOf"));
    let code = parts
        .map_or(&[][..], Json::elements)
        .iter()
        .find_map(|part| part.get("properties")?.get("code")?.get("enum"));
    let codes = code.map_or(&[][..], Json::elements).iter();
    codes.filter_map(Json::text).collect()
}

fn contents(part: &Json) -> &[(String, Json)] {
    part.get("content").map_or(&[], Json::members)
}

/// The component that a reference names, or what is no reference as it is.
fn resolve<'d>(part: &'d Json, components: &'d Json) -> &'d Json {
    let place = part.text_of("$ref").strip_prefix("#/components/");
    let named = place.and_then(|place| place.split_once('/'));
    named
        .and_then(|(kind, name)| components.get(kind)?.get(name))
        .unwrap_or(part)
}

fn block(example: Option<&Json>) -> String {
    let text = match example {
        Some(example) => match example.text() {
            Some(text) => text.trim_end().to_owned(),
            None => serde_json::to_string_pretty(example).unwrap_or_default(),
        },
        None => String::new(),
    };
    format!("<pre>{}</pre>\n", escape(&text))
}

fn problems(schemas: &Json) -> String {
    let mut page = String::from(
        "<section>\n<h2 id=\"problems\">problems</h2>\n\
         <p>An error is a <a href=\"#schema-Problem\">Problem</a>. Decide on its code: it is \
         stable.</p>\n<table>\n<tr><th>status</th><th>code</th><th>when</th><th>what to do</th></tr>\n",
    );
    let codes = schemas
        .get("ProblemCode")
        .and_then(|code| code.get("oneOf"));
    for entry in codes.map_or(&[][..], Json::elements) {
        let status = entry.get("x-status").map(serde_json::to_string);
        let code = escape(entry.text_of("const"));
        page.push_str(&format!(
            "<tr id=\"problem-{code}\"><td>{}</td><td><code>{code}</code></td><td>{}</td><td>{}</td></tr>\n",
            status.and_then(Result::ok).unwrap_or_default(),
            inline(entry.text_of("description")),
            inline(entry.text_of("x-remedy"))
        ));
    }
    page.push_str("</table>\n</section>\n");
    page
}

fn all_schemas(schemas: &Json) -> String {
    let mut page = String::from("<section>\n<h2 id=\"schemas\">schemas</h2>\n");
    for (name, schema) in schemas.members() {
        page.push_str(&format!(
            "<article id=\"schema-{0}\">\n<h3>{0}</h3>\n{1}",
            escape(name),
            paragraphs(schema.text_of("description"))
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
