//! A second opinion on limits: it reads the finished token and the limits as JSON, and shares no
//! code with what it judges.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Header and claims of a token, whose signature is not looked at.
pub fn decode(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| {
        let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&bytes).unwrap_or_default()
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

fn texts(value: &Value) -> Vec<&str> {
    let entries = value.as_array().unwrap().iter();
    entries.map(|entry| entry.as_str().unwrap()).collect()
}

fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((beginning, _)) => text.get(..beginning.len()) == Some(beginning),
    }
}

fn is_like_one_of(patterns: &Value, text: &str) -> bool {
    texts(patterns).iter().any(|pattern| is_like(pattern, text))
}

fn seconds(duration: &str) -> u64 {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let number: u64 = number.parse().unwrap();
    number
        * match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => panic!("{duration}"),
        }
}

fn media_type(typ: &str) -> String {
    let typ = typ.to_lowercase();
    match typ.strip_prefix("application/") {
        Some(rest) if !rest.contains('/') => rest.to_owned(),
        _ => typ,
    }
}

/// Whether a token is within the limits of the client that has had it signed. The schema is not
/// judged here.
pub fn within(client: &str, limits: &Value, token: &str) -> Result<(), String> {
    let (header, claims) = decode(token);
    let limit = |name: &str| limits.get(name);
    let rule = |holds: bool, name: &str| {
        holds
            .then_some(())
            .ok_or(format!("{name}: {header} {claims}"))
    };
    if let Some(patterns) = limit("audiences") {
        let audiences = match &claims["aud"] {
            Value::String(one) => vec![one.as_str()],
            Value::Array(_) => texts(&claims["aud"]),
            _ => Vec::new(),
        };
        let all = audiences.iter().all(|one| is_like_one_of(patterns, one));
        rule(!audiences.is_empty() && all, "audiences")?;
    }
    if let Some(subjects) = limit("subjects") {
        let subject = claims["sub"].as_str().ok_or("no subject")?;
        let holds = match subjects {
            Value::String(_) => subject == client,
            patterns => is_like_one_of(patterns, subject),
        };
        rule(holds, "subjects")?;
    }
    if let (Some(scopes), Some(scope)) = (limit("scopes"), claims.get("scope")) {
        // As liberal as a resource server could be: any white space, any comma.
        let of_verifier = scope.as_str().ok_or("a scope of another type")?;
        let separators = |one: char| one.is_whitespace() || one == ',' || one.is_control();
        let mut asked = of_verifier.split(separators).filter(|one| !one.is_empty());
        rule(asked.all(|one| texts(scopes).contains(&one)), "scopes")?;
    }
    if let Some(allowed) = limit("claims") {
        let own = ["iss", "iat", "exp", "jti", "sub", "aud", "scope", "nbf"];
        let mut names = claims.as_object().unwrap().keys().map(String::as_str);
        rule(
            names.all(|name| own.contains(&name) || texts(allowed).contains(&name)),
            "claims",
        )?;
    }
    if let Some(longest) = limit("max_ttl").and_then(Value::as_str) {
        let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        rule(lifetime <= seconds(longest), "max_ttl")?;
    }
    if let Some(algorithms) = limit("algorithms") {
        rule(
            texts(algorithms).contains(&header["alg"].as_str().unwrap()),
            "algorithms",
        )?;
    }
    if let Some(types) = limit("types") {
        let typ = media_type(header["typ"].as_str().unwrap());
        rule(
            texts(types).iter().any(|one| media_type(one) == typ),
            "types",
        )?;
    }
    Ok(())
}
