"""What many issuers cost: to start, to keep in memory, to look after, and to sign for at random."""

import pathlib
import statistics
import subprocess
import tempfile
import time

from machine import ROUNDS, TARGET, Service, outcome, processor_seconds, wrk

# How long the service is left alone to see what it does by itself.
IDLE_SECONDS = 20


def filled(folder, issuers):
    """A service on a store that has so many issuers, and how long it took to be ready."""
    data = pathlib.Path(folder) / "keys"
    subprocess.run([TARGET / "examples" / "many_issuers", data, str(issuers)], check=True,
                   stdout=subprocess.DEVNULL)
    service = Service(folder)
    starts = [service.start_seconds]
    for _ in range(2):
        service.stop()
        service.start()
        starts.append(service.start_seconds)
    return service, statistics.median(starts)


def idle_cost(service):
    """Processor milliseconds a minute when nothing is asked and nothing is due."""
    before = processor_seconds(service.process.pid)
    time.sleep(IDLE_SECONDS)
    return (processor_seconds(service.process.pid) - before) * 1000 * 60 / IDLE_SECONDS


def measure(table, seconds, issuers):
    with tempfile.TemporaryDirectory() as few_folder, tempfile.TemporaryDirectory() as many_folder:
        few, start_of_few = filled(few_folder, 1)
        many, start_of_many = filled(many_folder, issuers)
        table.add(f"start to ready, {issuers:,} issuers with two algorithms", f"{start_of_many:.2f} s",
                  f"{start_of_few:.2f} s with one", "", "reported")
        time.sleep(2)
        memory = many.resident_megabytes(), few.resident_megabytes()
        table.add(f"resident memory, {issuers:,} issuers", f"{memory[0]:.0f} MB", f"{memory[1]:.0f} MB with one",
                  f"{(memory[0] - memory[1]) * 1024 / (issuers - 1):.1f} KB an issuer", "reported")
        costs = idle_cost(many), idle_cost(few)
        table.add("processor time a minute, nothing due", f"{costs[0]:.0f} ms", f"{costs[1]:.0f} ms with one", "",
                  "not more")
        url = f"{many.internal}/v1/issuers/issuer-0/tokens"
        for algorithm in ("ES256", "RS256"):
            ask = lambda *issuers: outcome(wrk(url, seconds, 32, many.token, algorithm, "1", *issuers))[0]
            pairs = [(ask(str(issuers)), ask()) for _ in range(ROUNDS)]
            ratio = statistics.median(random / one for random, one in pairs)
            table.add(f"{algorithm} tokens/s, {issuers:,} issuers at random",
                      f"{statistics.median(random for random, _ in pairs):,.0f}",
                      f"{statistics.median(one for _, one in pairs):,.0f} for one of them", f"{ratio:.2f}", "≥ 0.9")
        few.stop()
        many.stop()
