use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use super::*;
use crate::http::Roots;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn freshness_is_max_age_less_age() {
    let seconds = |lines: &[_]| freshness(&headers(lines)).map(|fresh| fresh.as_secs());
    assert_eq!(seconds(&[]), None);
    assert_eq!(seconds(&[("cache-control", "public")]), None);
    assert_eq!(
        seconds(&[("cache-control", "public, Max-Age=300, stale-if-error=60")]),
        Some(300)
    );
    assert_eq!(seconds(&[("cache-control", "max-age=\"60\"")]), Some(60));
    assert_eq!(
        seconds(&[("cache-control", "max-age=300"), ("age", "100")]),
        Some(200)
    );
    assert_eq!(
        seconds(&[("cache-control", "max-age=300"), ("age", "900")]),
        Some(0)
    );
    assert_eq!(
        seconds(&[
            ("cache-control", "max-age=300"),
            ("cache-control", "no-cache")
        ]),
        Some(0)
    );
    for unreadable in [
        "max-age=soon",
        "max-age=-1",
        "max-age=",
        "max-age",
        "max-age=+5",
    ] {
        assert_eq!(
            seconds(&[("cache-control", unreadable)]),
            Some(0),
            "{unreadable}"
        );
    }
    assert_eq!(
        seconds(&[("cache-control", "max-age=99999999999999999999999")]),
        Some(u64::MAX)
    );
    assert_eq!(
        seconds(&[
            ("cache-control", "max-age=60"),
            ("age", "99999999999999999999999")
        ]),
        Some(0)
    );
    assert_eq!(
        seconds(&[("cache-control", "max-age=60, max-age=3600")]),
        Some(60)
    );
    assert_eq!(seconds(&[("cache-control", "s-maxage=9")]), None);
}

/// A server that says that the keys of its issuer stand at `/old` the first time it is asked, and at
/// `/new` from then on; there are keys at both. The second half is the paths that it was asked for.
fn moving_issuer() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("http://{}", listener.local_addr().unwrap());
    let asked_for = Arc::new(Mutex::new(Vec::new()));
    let (issuer, paths) = (name.clone(), Arc::clone(&asked_for));
    std::thread::spawn(move || {
        let mut address = "/old";
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut line).unwrap();
            while !["\r\n", ""].contains(&&*line) {
                if let Some(rest) = line.strip_prefix("GET ") {
                    let path = rest.split(' ').next().unwrap();
                    paths.lock().unwrap().push(path.to_owned());
                }
                line.clear();
                reader.read_line(&mut line).unwrap();
            }
            let is_metadata = paths.lock().unwrap().last().unwrap().contains("well-known");
            let body = if is_metadata {
                let discovered =
                    format!(r#"{{"issuer":"{issuer}","jwks_uri":"{issuer}{address}"}}"#);
                address = "/new";
                discovered
            } else {
                r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#.to_owned()
            };
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    (name, asked_for)
}

// An address that an issuer has left may be an attacker's by now, who answers it too.
#[tokio::test]
async fn address_that_still_answers_is_not_believed_for_longer_than_its_metadata() {
    let (name, asked_for) = moving_issuer();
    let location = Location::of_issuer(&name).unwrap();
    let client = HttpClient::new(&location, Roots::default()).unwrap();
    let mut fetcher = Fetcher::new(client, location, Duration::from_secs(20));
    for seconds in [0, 1, 3599, 3600, 7199] {
        let now = ClockReading {
            monotonic: Duration::from_secs(seconds),
            wall: UNIX_EPOCH,
        };
        fetcher.fetch(None, now).await.unwrap();
    }
    let metadata = "/.well-known/openid-configuration";
    assert_eq!(
        *asked_for.lock().unwrap(),
        [metadata, "/old", "/old", "/old", metadata, "/new", "/new"]
    );
}
