"""What protection costs: limits of a client, TLS, the issuance log, and a neighbour that floods.

Each is measured beside the same without it, turn by turn in the same run, so that a machine that
changes its speed changes it for both.
"""

import contextlib
import pathlib
import statistics
import subprocess
import tempfile
import time

from machine import ROUNDS, Service, outcome, require, wrk

TOKENS = "/v1/issuers/default/tokens"

# Every limit that there is, met by the requests of sign.lua, and a rate that is never reached.
LIMITS = {
    "issuers": ["default"],
    "audiences": ["orders", "billing"],
    "subjects": ["user-*"],
    "scopes": ["orders:read", "orders:write"],
    "claims": ["client_id"],
    "claims_schema": {
        "type": "object",
        "required": ["client_id"],
        "properties": {"client_id": {"type": "string", "pattern": "^[a-z]{1,16}$"},
                       "sub": {"type": "string", "maxLength": 64}},
    },
    "max_ttl": "60s",
    "algorithms": ["ES256"],
    "types": ["at+jwt"],
    "rate": {"signatures_per_second": 1_000_000, "burst": 1_000_000},
}


def certificate(folder):
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    chain, key = pathlib.Path(folder) / "tls.pem", pathlib.Path(folder) / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
               "-days", "2", "-subj", "/CN=keywright", "-addext", "subjectAltName=IP:127.0.0.1",
               "-keyout", key, "-out", chain]
    subprocess.run(list(map(str, command)), check=True, stderr=subprocess.DEVNULL)
    return chain, key


@contextlib.contextmanager
def serving(settings=None, roots=None):
    with tempfile.TemporaryDirectory() as folder:
        service = Service(folder, settings, roots)
        try:
            yield service
        finally:
            service.stop()


def client(service, name, limits):
    body = {"name": name, "roles": ["issuer"], "limits": limits}
    return service.call("POST", "/v1/clients", body)["credential"]


def costs(table, seconds):
    """Tokens a second with each protection, beside the same with none. wrk verifies no certificate;
    the client was created by a connection that did, and what the service does is the same."""
    with contextlib.ExitStack() as stack:
        chain, key = certificate(stack.enter_context(tempfile.TemporaryDirectory()))
        tls = {"INTERNAL__TLS__CERTIFICATE": chain, "INTERNAL__TLS__KEY": key}
        log = {"ISSUANCE_LOG__TO": "file"}
        bare = stack.enter_context(serving())
        encrypted = stack.enter_context(serving(tls, chain))
        logged = stack.enter_context(serving(log))
        everything = stack.enter_context(serving({**tls, **log}, chain))
        free = {}
        variants = {
            "nothing": (bare, client(bare, "free", free)),
            "every limit of a client": (bare, client(bare, "limited", LIMITS)),
            "TLS": (encrypted, client(encrypted, "free", free)),
            "the issuance log": (logged, client(logged, "free", free)),
            "limits, TLS and the log": (everything, client(everything, "limited", LIMITS)),
        }
        for count, connections, aim in ((1, 32, "≥ 0.9"), (100, 8, "≥ 0.9")):
            rates = {name: [] for name in variants}
            for _ in range(ROUNDS):
                for name, (service, credential) in variants.items():
                    url = service.internal + TOKENS + ("/batch" if count > 1 else "")
                    load = wrk(url, seconds, connections, credential, "ES256", str(count))
                    rates[name].append(outcome(load)[0] * count)
            kind = "single requests" if count == 1 else f"batches of {count}"
            without = rates.pop("nothing")
            for name, measured in rates.items():
                ratio = statistics.median(ours / plain for ours, plain in zip(measured, without))
                table.add(f"ES256 tokens/s with {name}, {kind}", f"{statistics.median(measured):,.0f}",
                          f"{statistics.median(without):,.0f} without", f"{ratio:.2f}", aim)
        lines = sum(1 for _ in (logged.data.parent / f"{logged.data.name}-issuance.jsonl").open("rb"))
        written = (logged.data.parent / f"{logged.data.name}-issuance.jsonl").stat().st_size
        table.add("bytes of an issuance line", f"{written / max(lines, 1):.0f}", "", "", "reported")


def flood(table, seconds):
    """What a client notices of another one that asks far beyond its rate."""
    with serving() as service:
        url = service.internal + TOKENS
        calm = client(service, "calm", {})
        rate = {"signatures_per_second": 200, "burst": 200}
        hasty = client(service, "hasty", {"rate": rate})
        ask = lambda credential, length, connections: wrk(url, length, connections, credential, "ES256", "1")
        alone, beside, refused = [], [], []
        for _ in range(ROUNDS):
            alone.append(outcome(ask(calm, seconds, 4))[1:])
            load = ask(hasty, seconds + 2, 64)
            time.sleep(1)
            beside.append(outcome(ask(calm, seconds, 4))[1:])
            refused.append(outcome(load, is_refused=True)[0])
        for index, percentile in enumerate(("p50", "p99")):
            ratio = statistics.median(now[index] / then[index] for now, then in zip(beside, alone))
            figures = [statistics.median(pair[index] for pair in pairs) for pairs in (beside, alone)]
            table.add(f"ES256 sign {percentile} while another client floods", f"{figures[0]:.2f} ms",
                      f"{figures[1]:.2f} ms alone", f"{ratio:.2f}", "≤ 1.5")
        table.add("answers/s to the client that floods, at 200 tokens/s",
                  f"{statistics.median(refused):,.0f}", "", "", "reported")


def measure(table, seconds):
    require("openssl", "openssl")
    costs(table, seconds)
    flood(table, seconds)
