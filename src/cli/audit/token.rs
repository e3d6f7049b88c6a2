//! `keywright audit token`: which client got a token, from the issuance log.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use keywright_verifier::Jws;
use serde_json::{Map, Value};

use crate::cli::client::Client;
use crate::cli::failure::Failure;
use crate::cli::moment::described;
use crate::cli::session::Session;
use crate::cli::table::pairs;
use crate::data_folder::DataFolder;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The token's jti, or the token itself.
    #[arg(value_name = "JTI|TOKEN", allow_hyphen_values = true)]
    jti: String,
    /// A file of the issuance log; repeatable [default: DATA_DIR-issuance.jsonl and the files that it
    /// was renamed to].
    #[arg(long = "log", value_name = "FILE")]
    logs: Vec<PathBuf>,
}

/// The largest token that is read, in bytes.
const LARGEST_TOKEN: usize = 65_536;

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let jti = jti_of(&arguments.jti)?;
    let logs = match arguments.logs.as_slice() {
        [] => default_logs(session.connection.data_dir())?,
        named => named.to_vec(),
    };
    for log in &logs {
        if let Some(entry) = find(log, &jti)? {
            return show(&entry, session);
        }
    }
    let logs: Vec<String> = logs.iter().map(|log| log.display().to_string()).collect();
    Err(Failure::rejected(
        "token-not-found",
        format!("no entry for {jti} in {}", logs.join(", ")),
    ))
}

fn jti_of(argument: &str) -> Result<String, Failure> {
    if argument.matches('.').count() != 2 {
        return Ok(argument.to_owned());
    }
    let inspected = Jws::inspect(argument, LARGEST_TOKEN)
        .map_err(|error| Failure::rejected(error.code(), error))?;
    match inspected.claims.get("jti") {
        Some(Value::String(jti)) => Ok(jti.clone()),
        _ => Err(Failure::rejected("no-jti", "the token has no jti")),
    }
}

/// The log beside the data folder, and the files beside it that begin with its name, the latest first.
fn default_logs(data_dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let log = DataFolder::issuance_log_of(data_dir);
    let name = log
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let folder = match log.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let unreadable = |source| Failure::Unreadable {
        what: folder.display().to_string(),
        source,
    };
    let mut renamed = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let other = path.file_name().unwrap_or_default().to_string_lossy();
        if other.starts_with(&name) && *other != *name {
            renamed.push(path);
        }
    }
    renamed.sort_by_key(|path| {
        let modified = path
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok();
        std::cmp::Reverse(modified)
    });
    renamed.insert(0, log);
    Ok(renamed)
}

/// The entry of a signed token in one file. Lines that are no entries are passed over.
fn find(log: &Path, jti: &str) -> Result<Option<Map<String, Value>>, Failure> {
    let unreadable = |source| Failure::Unreadable {
        what: log.display().to_string(),
        source,
    };
    let mut lines = BufReader::new(File::open(log).map_err(unreadable)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            return Ok(None);
        }
        let Ok(Value::Object(entry)) = serde_json::from_slice(&line) else {
            continue;
        };
        if entry.get("jti").and_then(Value::as_str) == Some(jti) {
            return Ok(Some(entry));
        }
    }
}

fn show(entry: &Map<String, Value>, session: &mut Session) -> Result<(), Failure> {
    if session.output.is_json() {
        return session.output.show_found(entry, |_, _| Ok(()));
    }
    let client = entry
        .get("client")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // The name is a help where the service answers; the log alone says who it was.
    let name = session
        .client()
        .ok()
        .and_then(|service| name_of(&service, client));
    let now = session.now.floor_seconds();
    let rows = entry.iter().map(|(member, value)| {
        let shown = match (member.as_str(), value) {
            ("client", Value::String(id)) => match &name {
                Some(name) => format!("{id} ({name})"),
                None => id.clone(),
            },
            ("exp", value) => value
                .as_u64()
                .map_or_else(|| value.to_string(), |at| described(now, at)),
            (_, Value::String(text)) => text.clone(),
            (_, value) => value.to_string(),
        };
        [member.clone(), shown]
    });
    session.output.line(pairs(rows))
}

fn name_of(service: &Client, id: &str) -> Option<String> {
    let client = service.wait(service.read_client(id)).ok()?;
    Some(client.read().ok()?.terms.name)
}
