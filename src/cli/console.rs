//! `keywright console`.

use std::process::{Command, Stdio};

use keywright_api::ConsoleLink;
use serde_json::json;

use super::failure::Failure;
use super::moment::length;
use super::session::Session;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Print the link and open no browser.
    #[arg(long)]
    print: bool,
}

/// The programs that open a browser, on the systems that there are.
const OPENERS: [&str; 2] = ["xdg-open", "open"];

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let base = session.connection.browser_url()?;
    let client = session.client()?;
    let ConsoleLink { path, expires_at } = client.wait(client.create_console_link())?.read()?;
    let url = format!("{base}{path}");
    if session.output.is_json() {
        let link = json!({ "url": url, "expires_at": expires_at });
        return session.output.line(link);
    }
    let left = length(expires_at.0.saturating_sub(session.now.floor_seconds()));
    if !arguments.print && OPENERS.iter().any(|opener| opens(opener, &url)) {
        let told = format!("The browser opens {base}/console. Its link is good once, for {left}.");
        return session.output.line(told);
    }
    session.output.line(&url)?;
    let remark = format!(
        "Open it within {left}; it is good once. The browser that opens it first acts as you."
    );
    session.output.note(remark)
}

/// Starts a program that opens a browser. Others on the machine can read its argument while it runs, and may
/// then be the first to open the link: the person sees that it is used up.
fn opens(program: &str, url: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null());
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}
