//! A token source that exchanges the tokens of another one (RFC 8693), against an issuer that shows what it
//! is asked.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use keywright_client::{Credential, Error, TokenRequest};
use serde_json::{Value, json};

type Form = BTreeMap<String, String>;

/// An issuer that numbers its tokens and remembers the forms that it was sent. It refuses one exchange.
struct Issuer {
    url: String,
    forms: Arc<Mutex<Vec<Form>>>,
}

impl Issuer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let forms = Arc::new(Mutex::new(Vec::new()));
        let (own, remembered) = (url.clone(), Arc::clone(&forms));
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                answer(connection, &own, &remembered);
            }
        });
        Self { url, forms }
    }
}

fn answer(mut connection: TcpStream, url: &str, forms: &Mutex<Vec<Form>>) {
    let mut request = String::new();
    let mut buffer = [0; 4096];
    // A request of the client comes in one piece.
    let read = connection.read(&mut buffer).unwrap();
    request.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let (status, document) = match head.starts_with("GET /.well-known/oauth-authorization-server ")
    {
        true => {
            let endpoint = format!("{url}/token");
            ("200 OK", json!({"issuer": url, "token_endpoint": endpoint}))
        }
        false => granted(body, &mut forms.lock().unwrap()),
    };
    let document = document.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        document.len()
    );
    connection
        .write_all(format!("{head}{document}").as_bytes())
        .unwrap();
}

fn granted(body: &str, forms: &mut Vec<Form>) -> (&'static str, Value) {
    let pairs = url::form_urlencoded::parse(body.as_bytes());
    let form: Form = pairs.into_owned().collect();
    let is_first_exchange = form.contains_key("subject_token")
        && !forms.iter().any(|form| form.contains_key("subject_token"));
    forms.push(form);
    match is_first_exchange {
        true => {
            let description = "invalid-token: the subject token was taken back";
            let refusal = json!({"error": "invalid_request", "error_description": description});
            ("400 Bad Request", refusal)
        }
        false => {
            let token = format!("token-{}", forms.len());
            let answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": 600});
            ("200 OK", answer)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_source_is_exchanged_for_one_that_says_less() {
    let issuer = Issuer::start();
    let secret = || Credential::parse("kw_1_secret").unwrap();
    let subject = TokenRequest::client_credentials(&issuer.url, "web", secret())
        .unwrap()
        .into_source();
    let tokens = TokenRequest::exchange(&issuer.url, "orders", secret(), subject)
        .unwrap()
        .with_audience("billing")
        .with_scope("read")
        .into_source();
    let refused = tokens.token().await.unwrap_err();
    assert!(matches!(refused, Error::TokenRefused(_)), "{refused}");
    let pausing = tokens.token().await.unwrap_err();
    let Error::Pausing { seconds, .. } = pausing else {
        panic!("{pausing}");
    };
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
    let token = tokens.token().await.unwrap();
    assert_eq!(token.as_str(), "token-4");
    assert_eq!(tokens.token().await.unwrap(), token);
    let forms = issuer.forms.lock().unwrap().clone();
    let own = json!({"grant_type": "client_credentials"});
    let exchange = |subject: &str| {
        json!({
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": subject,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "audience": "billing", "scope": "read",
        })
    };
    // A subject token that was refused is not shown again.
    let expected = [own.clone(), exchange("token-1"), own, exchange("token-3")];
    assert_eq!(json!(forms), json!(expected));
}
