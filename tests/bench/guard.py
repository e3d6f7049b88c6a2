"""How long a banned user gets in, and how many tokens a guard judges.

A ban is timed from its answer to the last request that was accepted: where tokens are signed, by a
guard, through nginx and through Envoy, as docs/verifiers.md sets them up.
"""

import contextlib
import http.client
import http.server
import pathlib
import random
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from machine import LOAD, ROOT, SERVICE, TARGET, Service, on_core, outcome, require

ENVOY = ROOT / "target/venv/bin/envoy"
# How long nothing more must be accepted until a ban counts as in force.
QUIET_SECONDS = 1.5


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Orders(http.server.BaseHTTPRequestHandler):
    """The service behind the gateways."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def process(command, port):
    """A process that listens on this port."""
    running = subprocess.Popen(on_core(LOAD, command), stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if running.poll() is not None:
                raise SystemExit(f"{command[0]} does not start")
            time.sleep(0.05)
        yield
    finally:
        running.terminate()
        running.wait()


def configuration(file, ports):
    """A gateway's configuration from the page, with other ports."""
    page = (ROOT / "docs/verifiers.md").read_text()
    text = re.search(rf"^```\w+ guard {re.escape(file)}\n(.*?)^```", page, re.M | re.S).group(1)
    for before, after in ports.items():
        text = text.replace(f"127.0.0.1:{before}", f"127.0.0.1:{after}")
        text = text.replace(f"port_value: {before} ", f"port_value: {after} ")
    return text


@contextlib.contextmanager
def gateways(folder, guard):
    """The ports of nginx and of Envoy, if it is there."""
    behind = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Orders)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    ports = {}
    with contextlib.ExitStack() as stack:
        for name, file in (("nginx", "nginx-guard.conf"), ("Envoy", "envoy-guard.yaml")):
            port = free_port()
            text = configuration(file, {9000: guard, 8000: port, 3000: behind.server_port})
            path = folder / file
            if name == "nginx":
                own = "".join(f"{kind}_temp_path {folder}/{kind};\n"
                              for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
                path.write_text(text.replace("http {\n", f"http {{\naccess_log off;\n{own}"))
                binary = shutil.which("nginx") or "/usr/sbin/nginx"
                command = [binary, "-p", folder, "-e", "stderr", "-c", path, "-g",
                           f"daemon off; master_process off; pid {folder}/nginx.pid;"]
            elif ENVOY.exists():
                path.write_text(text)
                command = [ENVOY, "--disable-hot-restart", "--concurrency", "1", "-l", "error", "-c", path]
            else:
                print("  Envoy is left out: run scripts/test first, it installs it")
                continue
            stack.enter_context(process(command, port))
            ports[name] = port
        try:
            yield ports
        finally:
            behind.shutdown()


def accepted_by(port, token):
    """Asks once over a connection that is kept."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def ask():
        connection.request("GET", "/", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200

    return ask


def signed_by(service, subject):
    def ask():
        try:
            service.call("POST", "/v1/issuers/bans/tokens", {"claims": {"sub": subject, "aud": "orders"}})
            return True
        except urllib.error.HTTPError:
            return False

    return ask


def last_acceptance(ask, banned_at, seconds, name):
    """Asks until nothing was accepted for a while, and notes when the last accepted request began."""
    last = 0.0
    while time.perf_counter() - banned_at - last < QUIET_SECONDS:
        asked_at = time.perf_counter() - banned_at
        if ask():
            last = asked_at
        time.sleep(0.005)
    seconds.setdefault(name, []).append(last)


def measure(table, seconds, bans):
    require("nginx", "nginx-light")
    require("wrk", "wrk")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        service = Service(folder)
        issuer = f"{service.public}/bans"
        service.call("PUT", "/v1/issuers/bans", {"url": issuer})
        port = free_port()
        guard = [TARGET / "keywright", "guard", "--listen", f"127.0.0.1:{port}", "--issuer", issuer,
                 "--audience", "orders"]
        sign = lambda subject: service.call("POST", "/v1/issuers/bans/tokens",
                                            {"claims": {"sub": subject, "aud": "orders"}})["token"]
        with process(guard, port), gateways(folder, port) as ports:
            took = {}
            promised = {"expected": [], "guaranteed": []}
            for number in range(bans):
                subject = f"user-{number}"
                token = sign(subject)
                targets = {name: accepted_by(target, token) for name, target in {"a guard": port, **ports}.items()}
                if not all(ask() for ask in targets.values()):
                    raise SystemExit("a good token is refused")
                targets["a signer"] = signed_by(service, subject)
                # At any moment between two polls of the feed.
                time.sleep(random.random())
                ban = service.call("POST", "/v1/issuers/bans/revocations", {"subject": subject, "ban": True})
                banned_at = time.perf_counter()
                threads = [threading.Thread(target=last_acceptance, args=(ask, banned_at, took, name))
                           for name, ask in targets.items()]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                for name, times in promised.items():
                    times.append(ban["in_force_at_verifiers"][name] - ban["created_at"])
            promise = " and ".join(f"{max(times)} s {name}" for name, times in promised.items())
            for name, times in sorted(took.items()):
                table.add(f"seconds from a ban to the last acceptance, {name}",
                          f"{statistics.median(times):.2f} median, {max(times):.2f} worst of {bans}", promise, "",
                          "median ≤ 2")
        # Alone on the service's core, with a token that is good.
        service.stop()
        service.start()
        issuer = f"{service.public}/verdicts"
        service.call("PUT", "/v1/issuers/verdicts", {"url": issuer})
        token = service.call("POST", "/v1/issuers/verdicts/tokens",
                             {"claims": {"sub": "user", "aud": "orders"}})["token"]
        guard = [TARGET / "keywright", "guard", "--listen", f"127.0.0.1:{port}", "--issuer", issuer,
                 "--audience", "orders"]
        with process(guard, port):
            url = f"http://127.0.0.1:{port}/"
            command = ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {token}", url]
            load = subprocess.Popen(on_core(SERVICE, command), stdout=subprocess.PIPE, text=True)
            rate, _, slowest = outcome(load)
            table.add("ES256 verdicts/s of a guard", f"{rate:,.0f}", "", f"p99 {slowest:.1f} ms", "reported")
        service.stop()
