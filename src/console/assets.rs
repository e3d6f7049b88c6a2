//! The stylesheet and the modules, in the program itself. Each is served under a name with a hash of what it
//! says, so that a browser may keep it for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::Response;
use ring::digest::{SHA256, digest};

use super::pages::not_found;
use super::response;

/// A file that pages refer to.
pub(super) struct Asset {
    /// Its name, with a hash of its bytes.
    name: String,
    media_type: &'static str,
    bytes: &'static [u8],
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The one stylesheet.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("console", "css", CSS, include_bytes!("assets/console.css")));

/// The token inspector.
pub(super) static INSPECTOR: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "inspector",
        "js",
        SCRIPT,
        include_bytes!("assets/inspector.js"),
    )
});

/// Countdowns.
pub(super) static COUNTDOWN: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "countdown",
        "js",
        SCRIPT,
        include_bytes!("assets/countdown.js"),
    )
});

/// The check of the audit log's chain.
pub(super) static CHAIN: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("chain", "js", SCRIPT, include_bytes!("assets/chain.js")));

/// Every asset.
static ALL: [&LazyLock<Asset>; 4] = [&STYLE, &INSPECTOR, &COUNTDOWN, &CHAIN];

impl Asset {
    fn new(stem: &str, extension: &str, media_type: &'static str, bytes: &'static [u8]) -> Self {
        let hash = digest(&SHA256, bytes);
        let hash: String = hash
            .as_ref()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            name: format!("{stem}-{hash}.{extension}"),
            media_type,
            bytes,
        }
    }

    /// What it says.
    pub(super) fn text(&self) -> &'static str {
        std::str::from_utf8(self.bytes).unwrap_or_default()
    }

    /// Where it is.
    pub(super) fn path(&self) -> String {
        format!("/console/assets/{}", self.name)
    }
}

pub(super) async fn serve(Path(name): Path<String>) -> Response {
    match ALL.iter().find(|asset| asset.name == name) {
        Some(asset) => response::asset(asset.media_type, asset.bytes),
        None => not_found().await,
    }
}
