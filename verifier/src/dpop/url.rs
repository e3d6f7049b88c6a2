//! One spelling for each address (RFC 3986 §6.2.2, §6.2.3), so that `htu` is compared as RFC 9449 §4.3 asks.

/// An address without query and fragment: scheme and host in lower case, no default port, `/` for an empty
/// path, and each octet of the path in one spelling. `None` for everything that is no such address:
/// another scheme, a user, a host or a path that is not plain ASCII. Dot segments stay: no HTTP client sends
/// them, and two that differ are two addresses.
pub(crate) fn normalized(url: &str) -> Option<String> {
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let url = url.split(['?', '#']).next()?;
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let path_start = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_start);
    let (host, port) = host_and_port(authority)?;
    let mut normalized = format!("{scheme}://{}", host.to_ascii_lowercase());
    if let Some(port) = port.filter(|port| *port != default_port) {
        normalized.push_str(&format!(":{port}"));
    }
    match path {
        "" => normalized.push('/'),
        path => push_path(&mut normalized, path)?,
    }
    Some(normalized)
}

fn host_and_port(authority: &str) -> Option<(&str, Option<u16>)> {
    // The colons of an IPv6 address are in brackets.
    let host_end = authority.find(']').map_or(0, |end| end + 1);
    let colon = authority.get(host_end..)?.find(':');
    let (host, port) = match colon {
        Some(colon) => {
            let (host, port) = authority.split_at(host_end + colon);
            (host, port.strip_prefix(':').unwrap_or_default())
        }
        None => (authority, ""),
    };
    let is_of_a_host =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|address| {
            let is_legal = |byte: u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            address.bytes().all(is_legal)
        }),
        None => !host.is_empty() && host.bytes().all(is_of_a_host),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    if !is_host || !is_number {
        return None;
    }
    match port {
        "" => Some((host, None)),
        port => Some((host, Some(port.parse().ok()?))),
    }
}

/// Writes escapes of unreserved characters as these, and the digits of all others in upper case.
fn push_path(output: &mut String, path: &str) -> Option<()> {
    let mut parts = path.split('%');
    output.push_str(parts.next()?);
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let octet = u8::from_str_radix(digits, 16).ok()?;
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
            output.push(char::from(octet));
        } else {
            output.push_str(&format!("%{octet:02X}"));
        }
        output.push_str(rest);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_one_spelling() {
        for (spellings, expected) in [
            (
                [
                    "https://id.example/token",
                    "HTTPS://ID.Example:443/token?a=b#c",
                ],
                "https://id.example/token",
            ),
            (
                ["https://id.example/%74oken", "https://id.example:/token#?x"],
                "https://id.example/token",
            ),
            (["http://[::1]:80", "http://[::1]/?"], "http://[::1]/"),
            (
                ["http://a:8080/%c3%A4/%2f", "http://A:08080/%C3%a4/%2F"],
                "http://a:8080/%C3%A4/%2F",
            ),
        ] {
            for spelling in spellings {
                assert_eq!(
                    normalized(spelling).as_deref(),
                    Some(expected),
                    "{spelling}"
                );
            }
        }
    }

    #[test]
    fn different_addresses_stay_different() {
        let all = [
            "https://id.example/token",
            "http://id.example/token",
            "https://id.example/token/",
            "https://id.example/Token",
            "https://id.example//token",
            "https://id.example/a/../token",
            "https://id.example:8443/token",
            "https://id.example./token",
            "https://id.example/token%2F",
            "https://id.example/token%3Fa",
        ];
        for (at, one) in all.iter().enumerate() {
            for other in all.iter().skip(at + 1) {
                assert_ne!(normalized(one), normalized(other), "{one} and {other}");
            }
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "/token",
            "id.example/token",
            "ftp://id.example/token",
            "https://",
            "https:///token",
            "https://user@id.example/token",
            "https://id.example:x/token",
            "https://id.example:65536/token",
            "https://id.example/%",
            "https://id.example/%4",
            "https://id.example/%+4",
            "https://id.example/a b",
            "https://\u{e4}.example/",
            "https://id.example/\u{e4}",
            "https://[::1/token",
            "https://i%64.example/token",
        ] {
            assert_eq!(normalized(text), None, "{text}");
        }
    }
}
