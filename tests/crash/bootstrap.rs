//! Crashes before the service has served for the first time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::state::State;
use crate::support::{spawn_in, start, start_in};
use crate::{Moments, report};

const FOLDERS: usize = 3;
const KILLS_IN_EACH: usize = 5;

#[test]
fn a_first_start_that_is_killed_anywhere_is_made_up_for_by_the_next() {
    let began = Instant::now();
    drop(start(""));
    let whole_millis = u64::try_from(began.elapsed().as_millis()).expect("a short time");
    let mut moments = Moments::new("first starts");
    for _ in 0..FOLDERS {
        let folder = Arc::new(tempfile::tempdir().expect("a temporary folder"));
        for _ in 0..KILLS_IN_EACH {
            let mut child = spawn_in(folder.path(), "");
            std::thread::sleep(Duration::from_millis(moments.below(whole_millis)));
            child.kill().expect("the process can be killed");
            child.wait().expect("it ends");
        }
        let server = start_in(folder, "").unwrap_or_else(|log| panic!("no start: {log}"));
        let state = State::of(&server);
        state.check();
        assert_eq!(state.issuers.keys().collect::<Vec<_>>(), ["default"]);
        assert_eq!(state.issuers["default"].version, 1);
        // One credential, and it is the one in the file: with it all of this was asked.
        let created = |event: &&serde_json::Value| event["event"] == "client-created";
        assert_eq!(
            state.events.iter().filter(created).count(),
            1,
            "{:?}",
            state.events
        );
        assert_eq!(server.fetch("/readyz").status, 200);
    }
    let kills = FOLDERS * KILLS_IN_EACH;
    report(&format!(
        "{kills} first starts killed within {whole_millis} ms"
    ));
}
