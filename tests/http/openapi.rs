//! The description against the service that it describes.
//!
//! `docs/openapi.json` is what the service answers at `/openapi.json`, as a golden file: a
//! difference is a change of the contract, and is reviewed with the code.

use crate::exchange::plain;
use crate::support::start;

/// Set to 1, it writes the golden file anew.
const BLESS: &str = "KEYWRIGHT_BLESS";

#[test]
fn the_document_in_the_repository_is_what_the_service_serves() {
    let server = start("");
    let served = plain(&server.internal, "GET", "/openapi.json", &[]);
    assert_eq!(served.status, 200);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    if std::env::var(BLESS).is_ok_and(|value| value == "1") {
        std::fs::write(file, &served.body).unwrap();
    }
    let golden = std::fs::read(file).unwrap_or_default();
    let (golden, served) = (
        String::from_utf8_lossy(&golden).into_owned(),
        String::from_utf8(served.body).unwrap(),
    );
    if golden == served {
        return;
    }
    let mut lines = golden.lines().zip(served.lines()).enumerate();
    let difference = lines.find(|(_, (golden, served))| golden != served);
    let (number, (golden, served)) =
        difference.unwrap_or((golden.lines().count(), ("the end", "more, or less")));
    panic!(
        "docs/openapi.json:{} is not what the code says:\n  file: {golden}\n  code: {served}\n\
         If the change is meant, write it anew: {BLESS}=1 cargo test --test http openapi",
        number + 1
    );
}
