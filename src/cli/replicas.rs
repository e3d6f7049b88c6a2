//! `keywright replicas`.

use keywright_api::Replicas;

use super::failure::Failure;
use super::moment::seen_from;
use super::session::Session;
use super::table::columns;

pub(super) fn run(session: &mut Session) -> Result<(), Failure> {
    let client = session.client()?;
    let answer = client.wait(client.list_replicas())?;
    let now = session.now.floor_seconds();
    session.output.show(&answer, |answer: Replicas, output| {
        let of_many = answer.max_staleness.as_ref().zip(answer.head.as_ref());
        let Some((max_staleness, head)) = of_many else {
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
                seen_from(now, replica.seen_at.0),
                behind.to_string(),
            ]
        });
        let headings = ["id", "host", "version", "state", "last seen", "behind"];
        output.line(columns(headings, rows))
    })
}
