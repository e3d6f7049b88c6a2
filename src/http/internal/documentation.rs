//! The description of the service, as JSON and as a page.
//!
//! It needs no credential, because it says nothing that the source does not say. It is the same for
//! every deployment of a version.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use ring::digest::{SHA256, digest};

use super::table;
use crate::http::openapi::{Document, PAGE_SCRIPT, service};
use crate::http::public;
use crate::http::response::not_modified;
use crate::http::slots::Anyone;

/// Bytes that stay the same as long as the process lives.
struct Published {
    bytes: Bytes,
    etag: String,
    content_type: &'static str,
}

impl Published {
    fn new(text: String, content_type: &'static str) -> Self {
        let tag = URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()));
        Self {
            bytes: text.into(),
            etag: format!("\"{tag}\""),
            content_type,
        }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let mut tags = headers.get_all(IF_NONE_MATCH).iter();
        let mut response = if tags.any(|value| public::names(value, &self.etag)) {
            not_modified()
        } else {
            self.bytes.clone().into_response()
        };
        let mut say = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        };
        say(CONTENT_TYPE, self.content_type);
        say(ETAG, &self.etag);
        // It may be kept, and must be asked for again: an upgrade changes it under the same name.
        say(CACHE_CONTROL, "no-cache");
        say(X_CONTENT_TYPE_OPTIONS, "nosniff");
        if self.content_type == service::HTML {
            say(CONTENT_SECURITY_POLICY, &PAGE_POLICY);
        }
        response
    }
}

/// The page loads nothing; its style stands in it, and so does the one script that may run.
static PAGE_POLICY: LazyLock<String> = LazyLock::new(|| {
    let script = STANDARD.encode(digest(&SHA256, PAGE_SCRIPT.as_bytes()));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{script}'; base-uri \
         'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

static DOCUMENT: LazyLock<Published> =
    LazyLock::new(|| Published::new(document().to_json(), service::JSON));

static PAGE: LazyLock<Published> =
    LazyLock::new(|| Published::new(document().to_html(), service::HTML));

/// The description of both listeners.
fn document() -> Document {
    let internal = table();
    let mut operations: Vec<_> = internal.iter().flat_map(super::Route::described).collect();
    operations.extend(public::operations());
    Document::new(&operations)
}

pub(super) async fn show(_: Anyone, headers: HeaderMap) -> Response {
    DOCUMENT.answer(&headers)
}

pub(super) async fn page(_: Anyone, headers: HeaderMap) -> Response {
    PAGE.answer(&headers)
}
