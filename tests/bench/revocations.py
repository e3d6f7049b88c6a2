"""What revocations cost: to signers, to verifiers that follow them, and on the wire."""

import base64
import json
import subprocess
import tempfile
import threading
import time
import urllib.request

from machine import ROUNDS, SERVICE, TARGET, Competitor, Service, compete, median_of, on_core, outcome, wrk

ISSUER = "/v1/issuers/revoked"
# How many revocations a second there are while the bytes of the feed are counted, and for how long.
RATE, COUNTED_SECONDS = 10, 30


def issuer_of(service):
    url = f"{service.public}/revoked"
    service.call("PUT", ISSUER, {"url": url, "algorithms": ["ES256", "RS256"]})
    return url


def token_of(service, algorithm, subject):
    claims = {"sub": subject, "aud": "orders", "client_id": "shop", "scope": "orders:read", "sid": "s-81"}
    return service.call("POST", f"{ISSUER}/tokens", {"claims": claims, "alg": algorithm})["token"]


def revoke(service, count, name="user", **members):
    """Takes subjects back in batches of 1,000; how many a second."""
    began = time.perf_counter()
    for batch in range(0, count, 1000):
        numbers = range(batch, min(count, batch + 1000))
        revocations = [{"subject": f"{name}-{number}", **members} for number in numbers]
        service.call("POST", f"{ISSUER}/revocations/batch", {"revocations": revocations})
    return count / (time.perf_counter() - began)


def head_of(url, query=""):
    """The bytes of a head, and its claims."""
    jws = urllib.request.urlopen(f"{url}/.well-known/revocations{query}", timeout=40).read()
    payload = jws.split(b".")[1]
    return jws, json.loads(base64.urlsafe_b64decode(payload + b"=="))


def segments_of(url, head, known):
    """The bytes of the segments that are not known yet, which then are."""
    fetched = 0
    for segment in head["segments"]:
        if segment["hash"] not in known:
            known.add(segment["hash"])
            fetched += len(urllib.request.urlopen(f"{url}/.well-known/revocations/{segment['hash']}").read())
    return fetched


def bytes_while_revoking(service, url):
    """Bytes an hour that a verifier fetches at ten revocations a second, asking once a second."""
    _, head = head_of(url)
    known, fetched, began = set(), 0, time.perf_counter()
    segments_of(url, head, known)
    stop = threading.Event()

    def revoke_on():
        number = 0
        while not stop.is_set():
            service.call("POST", f"{ISSUER}/revocations", {"subject": f"another-{number}"})
            number += 1
            stop.wait(max(0.0, began + number / RATE - time.perf_counter()))

    revoking = threading.Thread(target=revoke_on)
    revoking.start()
    while time.perf_counter() - began < COUNTED_SECONDS:
        asked_at = time.perf_counter()
        jws, head = head_of(url, f"?known={head['root']}&wait=25")
        fetched += len(jws) + segments_of(url, head, known)
        time.sleep(max(0.0, asked_at + 1 - time.perf_counter()))
    stop.set()
    revoking.join()
    return fetched * 3600 / (time.perf_counter() - began)


def signing(table, none, many, what, seconds):
    """Sign rate and p99 of a service with revocations, beside one that has none, in turn."""
    competitors = [Competitor(name, service.process.pid, f"{service.internal}{ISSUER}/tokens", 128,
                              (service.token, "ES256", "1"))
                   for name, service in (("revoked", many), ("none", none))]
    compete(seconds, competitors)
    rates = [median_of(rate for rate, _ in competitor.rounds) for competitor in competitors]
    ratio = median_of(ours / theirs for (ours, _), (theirs, _) in zip(*(one.rounds for one in competitors)))
    table.add(f"ES256 tokens, single requests, {what}", f"{rates[0]:,.0f}", f"{rates[1]:,.0f} with none",
              f"{ratio:.2f}", "≥ 0.97")
    # By few connections: with many it is the time in the queue.
    latencies = {many: [], none: []}
    for _ in range(2 * ROUNDS):
        for service, measured in latencies.items():
            path = f"{service.internal}{ISSUER}/tokens"
            measured.append(outcome(wrk(path, seconds, 2, service.token, "ES256", "1"))[2])
    ours, theirs = median_of(latencies[many]), median_of(latencies[none])
    table.add(f"ES256 sign p99, {what}", f"{ours:.2f} ms", f"{theirs:.2f} ms with none", f"{ours / theirs:.2f}",
              "reported")


def verifying(table, url, tokens, count, seconds):
    for (algorithm, age), token in tokens.items():
        command = on_core(SERVICE, [TARGET / "examples" / "follow_limit", url, seconds])
        measured = json.loads(subprocess.run(command, input=token, capture_output=True, text=True, check=True).stdout)
        table.add(f"{algorithm} verifications, {count:,} revoked, a token from {age}", f"{measured['following']:,.0f}",
                  f"{measured['alone']:,.0f} with none", f"{measured['ratio']:.2f}", "≥ 0.97")
    table.add(f"memory of a verifier for {count:,} revocations", f"{measured['megabytes']:.1f} MB", "", "", "reported")


def measure(table, seconds, count):
    with tempfile.TemporaryDirectory() as none_folder, tempfile.TemporaryDirectory() as many_folder:
        none, many = Service(none_folder), Service(many_folder)
        issuer_of(none)
        url = issuer_of(many)
        tokens = {(algorithm, "before"): token_of(many, algorithm, "somebody") for algorithm in ("ES256", "RS256")}
        memory = many.resident_megabytes()
        table.add("revocations/s in batches of 1,000", f"{revoke(many, count):,.0f}", "", "", "reported")
        jws, head = head_of(url)
        total = segments_of(url, head, set())
        table.add(f"bytes for {count:,} revocations", f"{len(jws):,} head, {total:,} segments", "", "", "reported")
        table.add("bytes an hour that a verifier fetches, at rest", f"{len(jws) * 3600 // 25:,}", "", "", "reported")
        table.add(f"the same at {RATE} revocations a second", f"{bytes_while_revoking(many, url):,.0f}", "", "",
                  "reported")
        time.sleep(2)
        tokens |= {(algorithm, "after"): token_of(many, algorithm, "somebody") for algorithm in ("ES256", "RS256")}
        signing(table, none, many, f"{count:,} revoked, all past", seconds)
        verifying(table, url, tokens, count, seconds)
        table.add(f"resident memory, {count:,} revoked", f"{many.resident_megabytes():.0f} MB",
                  f"{memory:.0f} MB before", "", "reported")
        many.stop()
        many.start()
        none.stop()
        none.start()
        table.add(f"start to ready, {count:,} revoked", f"{many.start_seconds * 1000:.0f} ms",
                  f"{none.start_seconds * 1000:.0f} ms with none", "", "reported")
        revoke(many, count, "banned", ban=True)
        time.sleep(2)
        signing(table, none, many, f"{count:,} banned", seconds)
        many.stop()
        none.stop()
