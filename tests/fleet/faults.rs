//! What fails.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::proxy::Line;
use crate::traffic::Traffic;
use crate::world::{Fleet, REPLICAS, STALENESS};

/// One kind of failure. Afterwards all is as before, but for the time that it takes to recover.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) happens: fn(&mut Fleet<'_>, &Traffic),
}

/// Longer than any lease.
const LONG: Duration = STALENESS.saturating_add(Duration::from_millis(1500));

/// All of them, in the order in which they happen.
pub(crate) const ALL: [Fault; 7] = [
    Fault {
        name: "killed",
        happens: |fleet, _| {
            fleet.kill(0);
            sleep(Duration::from_secs(1));
            fleet.restart(0);
        },
    },
    Fault {
        name: "revoked while cut off",
        happens: |fleet, traffic| {
            fleet.proxies[1].set(Line::Silent);
            traffic.revoke_active(fleet, 0);
            sleep(LONG);
            fleet.proxies[1].set(Line::Whole);
        },
    },
    Fault {
        name: "frozen",
        happens: |fleet, _| {
            fleet.signal(1, "STOP");
            sleep(LONG);
            fleet.signal(1, "CONT");
        },
    },
    Fault {
        name: "database stopped",
        happens: |fleet, _| {
            fleet.postgres.stop_immediately();
            sleep(Duration::from_secs(1));
            fleet.postgres.resume();
        },
    },
    Fault {
        name: "clock wrong",
        happens: |fleet, traffic| {
            if fleet.has_clock {
                fleet.set_clock("+5");
                traffic.revoke_active(fleet, 0);
                sleep(LONG);
                fleet.set_clock("+0");
            }
        },
    },
    Fault {
        name: "connections reset",
        happens: |fleet, _| {
            for proxy in &fleet.proxies {
                proxy.set(Line::Reset);
            }
            sleep(Duration::from_millis(300));
            for proxy in &fleet.proxies {
                proxy.set(Line::Whole);
            }
        },
    },
    Fault {
        name: "rotated by all at once",
        happens: |fleet, traffic| {
            let fleet = &*fleet;
            std::thread::scope(|scope| {
                for index in 0..REPLICAS {
                    let reason = traffic.reason();
                    scope.spawn(move || {
                        let body = json!({ "reason": reason });
                        let path = "/v1/issuers/default/rotate";
                        let answer = fleet.call(index, "POST", path, Some(&body));
                        if answer.is_ok_and(|answer| answer.status == 200) {
                            traffic.acknowledge(reason);
                        }
                    });
                }
            });
        },
    },
];
