//! AWS Signature Version 4 in the `Authorization` header, with the hash of the body.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, Tag, sign};

use super::credentials::S3Credentials;

/// A request as it is signed.
pub(super) struct SignedRequest<'r> {
    pub(super) method: &'r str,
    /// As it is sent: each byte but letters, digits and `-._~/` is escaped.
    pub(super) path: &'r str,
    /// In the order of their names, which are in lower case.
    pub(super) headers: &'r [(&'r str, &'r str)],
    pub(super) body_hash: &'r str,
    /// As in `20130524T000000Z`.
    pub(super) time: &'r str,
    pub(super) region: &'r str,
    pub(super) service: &'r str,
}

/// The hash of a body, in hexadecimal digits.
pub(super) fn hash_of_body(body: &[u8]) -> String {
    hex(digest(&SHA256, body).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn mac(key: &[u8], text: &str) -> Tag {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes())
}

impl SignedRequest<'_> {
    /// The value of `Authorization`.
    pub(super) fn authorization(&self, credentials: &S3Credentials) -> String {
        let day = self.time.split('T').next().unwrap_or_default();
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let mut request = format!("{}\n{}\n\n", self.method, self.path);
        for (name, value) in self.headers {
            let _ = writeln!(request, "{name}:{}", value.trim());
        }
        let _ = write!(request, "\n{names}\n{}", self.body_hash);
        let request = hex(digest(&SHA256, request.as_bytes()).as_ref());
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{request}", self.time);
        let secret = zeroize::Zeroizing::new(format!("AWS4{}", *credentials.secret));
        let key = mac(secret.as_bytes(), day);
        let key = mac(key.as_ref(), self.region);
        let key = mac(key.as_ref(), self.service);
        let key = mac(key.as_ref(), "aws4_request");
        let signature = hex(mac(key.as_ref(), &text).as_ref());
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            credentials.id
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(id: &str, secret: &str) -> S3Credentials {
        S3Credentials {
            id: id.to_owned(),
            secret: secret.to_owned().into(),
            session_token: None,
        }
    }

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    // The examples "GET Object" and "PUT Object" of the page above.
    #[test]
    fn the_published_examples_of_s3_are_signed_as_published() {
        let credentials = credentials(
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        );
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let date = ("x-amz-date", "20130524T000000Z");
        let request = |method, path, headers, body_hash| SignedRequest {
            method,
            path,
            headers,
            body_hash,
            time: "20130524T000000Z",
            region: "us-east-1",
            service: "s3",
        };
        let headers = [
            host,
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", EMPTY),
            date,
        ];
        let get = request("GET", "/test.txt", &headers, EMPTY);
        assert_eq!(
            get.authorization(&credentials),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
             Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let body = hash_of_body(b"Welcome to Amazon S3.");
        let headers = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            host,
            ("x-amz-content-sha256", body.as_str()),
            date,
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        let put = request("PUT", "/test%24file.text", &headers, &body);
        let signed = put.authorization(&credentials);
        let signature = "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";
        assert!(signed.ends_with(signature), "{signed}");
    }

    // get-vanilla and post-vanilla of AWS's Signature Version 4 test suite.
    #[test]
    fn the_published_test_suite_is_signed_as_published() {
        let credentials = credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        for (method, signature) in [
            (
                "GET",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "POST",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
        ] {
            let headers = [
                ("host", "example.amazonaws.com"),
                ("x-amz-date", "20150830T123600Z"),
            ];
            let request = SignedRequest {
                method,
                path: "/",
                headers: &headers,
                body_hash: EMPTY,
                time: "20150830T123600Z",
                region: "us-east-1",
                service: "service",
            };
            let signed = request.authorization(&credentials);
            assert!(signed.ends_with(signature), "{signed}");
        }
    }
}
