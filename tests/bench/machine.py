"""What a measurement stands on: two cores, a service, a load generator, something to compare with."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
SERVICE, LOAD = "0", "1"

# A round in which the server had less of its core measures the load generator, or another program.
ENOUGH_OF_THE_CORE = 0.95
ROUNDS = 3


def on_core(core, command):
    return ["taskset", "-c", core, *map(str, command)]


def require(tool, package):
    if shutil.which(tool) or pathlib.Path(f"/usr/sbin/{tool}").exists():
        return
    subprocess.run(["apt-get", "install", "-y", "-q", package], check=True, stdout=sys.stderr)


class Service:
    """A release build on the service core, in a folder of its own.

    `settings` are members of the configuration, as the environment spells them. With `roots`, a file
    with the certificate's authority, the internal listener is asked by TLS, and verified. `binary` is
    another build than this one, and `wrapper` a command that runs it.
    """

    def __init__(self, folder, settings=None, roots=None, binary=None, wrapper=()):
        self.command = [*wrapper, binary or TARGET / "keywright"]
        self.data = pathlib.Path(folder) / "keys"
        self.settings = {f"KEYWRIGHT_{name}": str(value) for name, value in (settings or {}).items()}
        self.trust = ssl.create_default_context(cafile=roots) if roots else None
        self.start()

    def start(self):
        listen = self.data / "listen.json"
        listen.unlink(missing_ok=True)
        environment = {"PATH": os.environ["PATH"], "KEYWRIGHT_LOG__FILTER": "info", **self.settings}
        arguments = ["--data-dir", self.data, "serve", "--public-listen", "127.0.0.1:0",
                     "--internal-listen", "127.0.0.1:0"]
        started = time.perf_counter()
        self.process = subprocess.Popen(on_core(SERVICE, [*self.command, *arguments]),
                                        env=environment, stderr=subprocess.DEVNULL)
        while not self.ready(listen):
            if self.process.poll() is not None:
                sys.exit("the service does not start")
            time.sleep(0.001)
        self.start_seconds = time.perf_counter() - started
        self.token = (self.data / "admin.token").read_text()

    def ready(self, listen):
        try:
            addresses = json.loads(listen.read_text())
            self.public, self.internal = addresses["public"], addresses["internal"]
            return urllib.request.urlopen(self.public + "/readyz", timeout=1).status == 200
        except (OSError, ValueError):
            return False

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.internal + path, data, headers, method=method)
        return json.load(urllib.request.urlopen(request, timeout=60, context=self.trust))

    def resident_megabytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def processor_seconds(pid):
    """The processor time of a process so far, and that of its children (nginx has its work done by one)."""
    pids = [pid, *map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in pids]
    return sum(int(stat[11]) + int(stat[12]) for stat in fields) / os.sysconf("SC_CLK_TCK")


class Competitor:
    """A server that is measured in turn with others: what it does in a second of processor time."""

    def __init__(self, name, pid, url, connections, script=(), units=1):
        self.name, self.pid, self.url, self.units = name, pid, url, units
        self.connections, self.script = connections, script
        self.rounds = []

    def measure(self, seconds):
        """One round: units a second of processor time, and the share of the core that the server had."""
        before = processor_seconds(self.pid)
        load = wrk(self.url, seconds, self.connections, *self.script)
        text = load.communicate()[0]
        used = processor_seconds(self.pid) - before
        complain(text)
        requests, duration = re.search(r"(\d+) requests in ([\d.]+)s", text).groups()
        return int(requests) * self.units / used, used / float(duration)


def compete(seconds, competitors):
    """Measures all in turn, until each round of three is one in which every server had its core to
    itself, or twice as many have been tried. Returns how many rounds were dropped."""
    tried = []
    while len(tried) < 2 * ROUNDS:
        tried.append([competitor.measure(seconds) for competitor in competitors])
        good = [one for one in tried if all(share >= ENOUGH_OF_THE_CORE for _, share in one)]
        if len(good) == ROUNDS:
            break
    # If all are bad, the processor time is still right, and the share that is printed says so.
    kept = good or tried
    for index, competitor in enumerate(competitors):
        competitor.rounds = [one[index] for one in kept]
    return len(tried) - len(good)


def limits(seconds):
    """What libraries sign alone in a second of processor time: {algorithm: {library: signatures}}."""
    command = on_core(SERVICE, [TARGET / "examples" / "signature_limit", seconds])
    measured = json.loads(subprocess.check_output(command))
    command = ["openssl", "speed", "-seconds", str(seconds), "rsa2048", "ecdsap256"]
    text = subprocess.run(on_core(SERVICE, command), capture_output=True, text=True).stdout
    # `rsa 2048 bits 0.000241s 0.000016s 4148.2 61712.3`: the last two are signatures and verifications a second.
    for algorithm, row in (("RS256", r"rsa +2048 bits"), ("ES256", r" 256 bits ecdsa \(nistp256\)")):
        found = re.search(rf"{row}.* ([\d.]+) +[\d.]+$", text, re.MULTILINE)
        if found:
            measured[algorithm]["openssl speed"] = float(found.group(1))
    return measured


def median_of(values):
    return statistics.median(list(values))


def wrk(url, seconds, connections, *arguments, script="sign.lua"):
    """Requests a second, and the 50th and 99th percentile in milliseconds. The script makes the requests, if it has
    arguments."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if arguments:
        command += ["-s", ROOT / "tests/bench" / script]
    command += [url, *(["--", *arguments] if arguments else [])]
    return subprocess.Popen(on_core(LOAD, command), stdout=subprocess.PIPE, text=True)


def complain(text):
    if "Non-2xx" in text or "Socket errors" in text:
        print(f"  careful: {[line.strip() for line in text.splitlines() if 'Non-2xx' in line or 'Socket' in line]}")


def outcome(process, is_refused=False):
    text = process.communicate()[0]
    if not is_refused:
        complain(text)
    rate = next(float(line.split()[1]) for line in text.splitlines() if "Requests/sec" in line)
    percentiles = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 2 and parts[0] in ("50%", "99%"):
            number, unit = parts[1].rstrip("mus"), parts[1].lstrip("0123456789.")
            percentiles[parts[0]] = float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return rate, percentiles["50%"], percentiles["99%"]


@contextlib.contextmanager
def nginx(folder, body):
    folder = pathlib.Path(folder)
    (folder / "jwks.json").write_bytes(body)
    (folder / "nginx.conf").write_text(f"""
        worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log /dev/null;
        events {{ worker_connections 1024; }}
        http {{
            access_log off; sendfile on; tcp_nodelay on; keepalive_requests 100000000;
            types {{ application/jwk-set+json json; }}
            open_file_cache max=10; add_header Cache-Control "public, max-age=300, stale-if-error=3600";
            server {{ listen 127.0.0.1:18099; root {folder}; }}
        }}""")
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    folder.chmod(0o755)
    process = subprocess.Popen(on_core(SERVICE, [binary, "-c", folder / "nginx.conf", "-p", folder]),
                               stderr=subprocess.DEVNULL)
    time.sleep(1)
    try:
        yield process.pid, "http://127.0.0.1:18099/jwks.json"
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def bare_hyper(algorithm):
    """hyper with the same work and nothing else."""
    command = on_core(SERVICE, [TARGET / "examples" / "bare_hyper", algorithm])
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.pid, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


class Table:
    def __init__(self):
        self.rows = []

    def add(self, what, figure, limit, ratio, aim):
        self.rows.append((what, figure, limit, ratio, aim))
        print("  " + " · ".join(part for part in self.rows[-1] if part), flush=True)

    def render(self):
        head = ("what", "measured", "limit, same run and core", "ratio", "aim")
        rows = [head, *self.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        line = lambda row: "| " + " | ".join(c.ljust(w) for c, w in zip(row, widths)) + " |"
        return "\n".join([line(head), "|" + "|".join("-" * (w + 2) for w in widths) + "|",
                          *map(line, self.rows)])
