//! A call as a command line.

use serde_json::Value;

use super::{Call, contents, list, members_of, text};

/// What curl sends by itself.
const FORM: &str = "application/x-www-form-urlencoded";

/// The call with its examples, for a shell in the folder of a service that was just started.
pub(super) fn command(call: &Call<'_>) -> String {
    let (mut path, mut query) = (call.path.to_owned(), Vec::new());
    for parameter in list(call.operation, "parameters") {
        let name = text(parameter, "name");
        let example = parameter.get("example").map(word).unwrap_or_default();
        match text(parameter, "in") {
            "path" => path = path.replace(&format!("{{{name}}}"), &example),
            "query" if parameter.get("required") == Some(&Value::Bool(true)) => {
                query.push(format!("{name}={example}"));
            }
            _ => {}
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let method = match call.method {
        "get" => String::new(),
        method => format!(" -X {}", method.to_uppercase()),
    };
    let mut parts = vec![format!(
        "curl -s{method} {}",
        quoted(&format!("{}{path}", call.server))
    )];
    if let Some(scheme) = list(call.operation, "security").first() {
        parts.push(match scheme.get("client") {
            Some(_) => "-u \"$CLIENT_ID:$CLIENT_SECRET\"".to_owned(),
            None => "-H \"Authorization: Bearer $(cat keys/admin.token)\"".to_owned(),
        });
    }
    let body = call.operation.get("requestBody").into_iter();
    if let Some((media_type, content)) = body.flat_map(contents).next() {
        let mut examples = content.get("examples").into_iter().flat_map(members_of);
        let value = examples
            .next()
            .and_then(|(_, example)| example.get("value"));
        if media_type == FORM {
            let parameters = value.into_iter().flat_map(members_of);
            parts.extend(parameters.map(|(name, value)| {
                format!(
                    "--data-urlencode {}",
                    quoted(&format!("{name}={}", word(value)))
                )
            }));
        } else {
            parts.push(format!(
                "-H {}",
                quoted(&format!("Content-Type: {media_type}"))
            ));
            parts.extend(value.map(|value| format!("-d {}", quoted(&word(value)))));
        }
    }
    parts.join(" \\\n  ")
}

/// A text as it is, and anything else as JSON.
fn word(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
