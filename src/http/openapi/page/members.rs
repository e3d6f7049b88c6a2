//! Schemas as tables: a row for each member, with its type and its rules.

use serde_json::Value;

use super::markup::{code, escape, inline};
use super::{elements, list, members_of, text};

/// The members of an object. A schema that has none is described in a line.
pub(super) fn table(schema: &Value) -> String {
    let mut page = String::new();
    if schema.get("properties").is_none() {
        page.push_str(&format!("<p>{}</p>\n", kind(schema)));
        return page;
    }
    page.push_str("<table>\n<tr><th>member</th><th>type</th><th>rule</th></tr>\n");
    let (required, others): (Vec<_>, Vec<_>) =
        properties(schema).partition(|(name, _)| is_required(schema, name));
    let marked = required
        .into_iter()
        .map(|member| (member, " <span class=\"must\">required</span>"));
    let others = others.into_iter().map(|member| (member, ""));
    for ((name, member), mark) in marked.chain(others) {
        page.push_str(&format!(
            "<tr><td>{}{mark}</td><td>{}</td><td>{}</td></tr>\n",
            code(name),
            kind(member),
            rules(member)
        ));
    }
    page.push_str("</table>\n");
    page
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").into_iter().flat_map(members_of)
}

fn is_required(schema: &Value, name: &str) -> bool {
    list(schema, "required")
        .iter()
        .any(|required| required == name)
}

/// What kind of value it is. Another schema is a link to it.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(name) = text(schema, "$ref").strip_prefix("#/components/schemas/") {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    for union in ["anyOf", "oneOf", "allOf"] {
        if let Some(parts) = schema.get(union)
            && schema.get("properties").is_none()
        {
            let kinds: Vec<String> = elements(parts).iter().map(kind).collect();
            return kinds.join(" or ");
        }
    }
    match (text(schema, "type"), schema.get("items")) {
        ("array", Some(items)) => format!("array of {}", kind(items)),
        ("object", _) => match names(schema) {
            names if names.is_empty() => "object".to_owned(),
            names => format!("object of {names}"),
        },
        ("", _) => "any".to_owned(),
        (name, _) => escape(name),
    }
}

fn names(schema: &Value) -> String {
    let names: Vec<String> = properties(schema).map(|(name, _)| code(name)).collect();
    names.join(", ")
}

/// What is said of it, and its bounds.
pub(super) fn rules(schema: &Value) -> String {
    let mut rules = vec![inline(text(schema, "description"))];
    let subject = match schema.get("items") {
        Some(items) => items,
        None => schema,
    };
    if let Some(words) = subject.get("enum") {
        let words: Vec<String> = elements(words)
            .iter()
            .map(|word| code(&plain(word)))
            .collect();
        rules.push(format!("One of {}.", words.join(", ")));
    }
    let bound = |name: &str| schema.get(name).map(plain);
    match (bound("minimum"), bound("maximum")) {
        (Some(minimum), Some(maximum)) => rules.push(format!("{minimum} to {maximum}.")),
        (Some(minimum), _) if minimum != "0" => rules.push(format!("At least {minimum}.")),
        _ => {}
    }
    for (name, label) in [("minItems", "At least"), ("maxItems", "At most")] {
        if let Some(count) = bound(name) {
            rules.push(format!("{label} {count}."));
        }
    }
    if let Some(length) = bound("maxLength") {
        rules.push(format!("At most {length} characters."));
    }
    if let Some(pattern) = bound("pattern") {
        rules.push(format!("Matches {}.", code(&pattern)));
    }
    rules.retain(|rule| !rule.is_empty());
    rules.join(" ")
}

fn plain(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}
