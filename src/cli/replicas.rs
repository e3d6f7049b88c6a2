//! `keywright replicas`.

use serde::Deserialize;

use super::failure::Failure;
use super::moment::seen_from;
use super::session::Session;
use super::table::columns;

#[derive(Deserialize)]
struct Replicas {
    max_staleness: Option<String>,
    head: Option<u64>,
    replicas: Vec<Replica>,
}

#[derive(Deserialize)]
struct Replica {
    id: String,
    host: Option<String>,
    version: Option<String>,
    seen_at: u64,
    live: bool,
    through: u64,
}

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    let answer = session.client()?.read("/v1/replicas")?;
    let now = session.now.floor_seconds();
    session.output.show(&answer, |answer: Replicas, output| {
        let (Some(max_staleness), Some(head)) = (answer.max_staleness, answer.head) else {
            return output.line("This store has a single process.");
        };
        output.line(format_args!(
            "A replica keeps signing for {max_staleness} without the store (max_staleness). The last event is {head}.\n"
        ))?;
        let rows = answer.replicas.into_iter().map(|replica| {
            let behind = head.saturating_sub(replica.through);
            [
                replica.id,
                replica.host.unwrap_or_default(),
                replica.version.unwrap_or_default(),
                if replica.live { "live" } else { "silent" }.to_owned(),
                seen_from(now, replica.seen_at),
                behind.to_string(),
            ]
        });
        let headings = ["id", "host", "version", "state", "last seen", "behind"];
        output.line(columns(headings, rows))
    })
}
