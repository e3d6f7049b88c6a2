//! What the service is compared with: hyper alone, with the same work. It reads the same request, adds
//! the same claims, signs with the same library and answers the same members; it checks nothing, limits
//! no caller and counts nothing.
//!
//!     bare_hyper ES256|RS256             prints its URL

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark may panic, prints its result and reads the clock"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rand::Rng as _;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Map, Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Sign = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

struct Issuer {
    header: String,
    sign: Box<Sign>,
}

#[derive(serde::Deserialize)]
struct SignRequest {
    claims: Map<String, Value>,
    expires_in: u64,
}

// As many threads as there are cores for it, as the service has.
#[tokio::main]
async fn main() {
    let algorithm = std::env::args().nth(1).unwrap();
    let header = json!({"alg": algorithm, "kid": "0".repeat(43), "typ": "at+jwt"});
    let issuer = Arc::new(Issuer {
        header: BASE64URL.encode(header.to_string()),
        sign: match algorithm.as_str() {
            "ES256" => es256(),
            _ => rs256(),
        },
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let issuer = Arc::clone(&issuer);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&issuer), request));
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
        });
    }
}

async fn answer(
    issuer: Arc<Issuer>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let SignRequest {
        mut claims,
        expires_in,
    } = serde_json::from_slice(&body).unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let mut identifier = [0; 16];
    rand::rng().fill_bytes(&mut identifier);
    let jti = BASE64URL.encode(identifier);
    claims.insert("iss".to_owned(), "http://127.0.0.1:8080".into());
    claims.insert("iat".to_owned(), now.into());
    claims.insert("exp".to_owned(), (now + expires_in).into());
    claims.insert("jti".to_owned(), jti.as_str().into());
    let mut token = format!("{}.", issuer.header);
    BASE64URL.encode_string(serde_json::to_vec(&claims).unwrap(), &mut token);
    let signature = (issuer.sign)(token.as_bytes());
    token.push('.');
    BASE64URL.encode_string(signature, &mut token);
    let answer = json!({"token": token, "kid": "0", "jti": jti, "expires_at": now + expires_in});
    let mut response = Response::new(Full::from(answer.to_string()));
    *response.status_mut() = hyper::StatusCode::CREATED;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, json);
    Ok(response)
}

fn es256() -> Box<Sign> {
    let random = SystemRandom::new();
    let format = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(format, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(format, document.as_ref(), &random).unwrap();
    Box::new(move |message| pair.sign(&random, message).unwrap().as_ref().to_vec())
}

fn rs256() -> Box<Sign> {
    use aws_lc_rs::{rand, rsa, signature};
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
    let random = rand::SystemRandom::new();
    Box::new(move |message| {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(
            &signature::RSA_PKCS1_SHA256,
            &random,
            message,
            &mut signature,
        )
        .unwrap();
        signature
    })
}
