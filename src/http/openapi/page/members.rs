//! Schemas as tables: a row for each member, with its type and its rules.

use super::super::json::Json;
use super::markup::{code, escape, inline};

/// The members of an object. A schema that has none is described in a line.
pub(super) fn table(schema: &Json) -> String {
    let mut page = String::new();
    let properties = schema.get("properties").map_or(&[][..], Json::members);
    if properties.is_empty() {
        page.push_str(&format!("<p>{}</p>\n", kind(schema)));
        return page;
    }
    page.push_str("<table>\n<tr><th>member</th><th>type</th><th>rule</th></tr>\n");
    for (name, member) in properties {
        let must = match is_required(schema, name) {
            true => " <span class=\"must\">required</span>",
            false => "",
        };
        page.push_str(&format!(
            "<tr><td>{}{must}</td><td>{}</td><td>{}</td></tr>\n",
            code(name),
            kind(member),
            rules(member)
        ));
    }
    page.push_str("</table>\n");
    page
}

fn is_required(schema: &Json, name: &str) -> bool {
    let names = schema.get("required").map_or(&[][..], Json::elements);
    names.iter().any(|required| required.text() == Some(name))
}

/// What kind of value it is. Another schema is a link to it.
pub(super) fn kind(schema: &Json) -> String {
    if let Some(name) = schema.text_of("$ref").strip_prefix("#/components/schemas/") {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    for union in ["anyOf", "oneOf", "allOf"] {
        if let Some(parts) = schema.get(union)
            && !schema
                .members()
                .iter()
                .any(|(name, _)| name == "properties")
        {
            let kinds: Vec<String> = parts.elements().iter().map(kind).collect();
            return kinds.join(" or ");
        }
    }
    match (schema.text_of("type"), schema.get("items")) {
        ("array", Some(items)) => format!("array of {}", kind(items)),
        ("object", _) => match names(schema) {
            names if names.is_empty() => "object".to_owned(),
            names => format!("object of {names}"),
        },
        ("", _) => "any".to_owned(),
        (name, _) => escape(name),
    }
}

fn names(schema: &Json) -> String {
    let properties = schema.get("properties").map_or(&[][..], Json::members);
    let names: Vec<String> = properties.iter().map(|(name, _)| code(name)).collect();
    names.join(", ")
}

/// What is said of it, and its bounds.
pub(super) fn rules(schema: &Json) -> String {
    let mut rules = vec![inline(schema.text_of("description"))];
    let subject = match schema.get("items") {
        Some(items) => items,
        None => schema,
    };
    if let Some(words) = subject.get("enum") {
        let words: Vec<String> = words
            .elements()
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

fn plain(value: &Json) -> String {
    match value.text() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string(value).unwrap_or_default(),
    }
}
