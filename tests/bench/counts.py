"""What a request costs in instructions and in allocations, counted by callgrind.

Its processor has no AVX-512, so the instructions of a signature are those of an older one; they are counted
by themselves and taken off.
"""

import http.client
import pathlib
import re
import subprocess
import tempfile
import urllib.parse

from machine import TARGET, Service, require

REQUESTS = 1_000
CLAIMS = '{"sub":"user-1","aud":"orders","scope":"orders:read orders:write","client_id":"web"}'
SINGLE = f'{{"claims":{CLAIMS},"expires_in":60,"typ":"at+jwt","alg":"ES256"}}'

# What the allocator of the service and that of C are called by.
ALLOCATORS = re.compile(r"^(mi_(malloc|zalloc|calloc|realloc)(_aligned)?|malloc|calloc|realloc)$")


def callgrind(output, *options):
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", *options]


def instructions(output):
    """The instructions in a profile, and how often allocators were called from outside themselves."""
    names, total, allocations = {}, 0, 0
    caller = callee = ""
    resolve = lambda text: resolve_name(names, text)
    for line in pathlib.Path(output).read_text(errors="replace").splitlines():
        if line.startswith("fn="):
            caller = resolve(line[3:])
        elif line.startswith("cfn="):
            callee = resolve(line[4:])
        elif line.startswith("calls="):
            if ALLOCATORS.match(callee) and not ALLOCATORS.match(caller):
                allocations += int(line[6:].split()[0])
        elif line.startswith(("summary:", "totals:")):
            total = int(line.split()[1])
    return total, allocations


def resolve_name(names, text):
    """A name is written once, after its number in brackets."""
    number, _, name = text.partition(" ")
    if name:
        names[number] = name
    return names.get(number, text)


def signature_instructions(folder):
    """The instructions of one ES256 signature by ring, without those of the start."""
    counted = []
    for count in (REQUESTS, 2 * REQUESTS):
        output = pathlib.Path(folder) / f"signatures-{count}"
        command = [*callgrind(output), TARGET / "examples" / "signature_limit", "ES256", str(count)]
        subprocess.run(list(map(str, command)), check=True, stderr=subprocess.DEVNULL)
        counted.append(instructions(output)[0])
    return (counted[1] - counted[0]) / REQUESTS


def control(pid, *options):
    subprocess.run(["callgrind_control", *options, str(pid)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def requests(url, method, path, body, headers, count):
    address = urllib.parse.urlparse(url)
    connection = http.client.HTTPConnection(address.hostname, address.port)
    for _ in range(count):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status < 300, response.status
    connection.close()


def counts_of(binary, signature):
    """{what: (instructions without the signature, allocations)} of one build."""
    batch = '{"requests":[' + ",".join([SINGLE] * 100) + "]}"
    counted = {}
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "service"
        service = Service(folder, binary=binary, wrapper=callgrind(output, "--instr-atstart=no"))
        headers = {"Authorization": f"Bearer {service.token}", "Content-Type": "application/json"}
        tokens = "/v1/issuers/default/tokens"
        kinds = {
            "an ES256 token, single request": (service.internal, "POST", tokens, SINGLE, REQUESTS, 1),
            "an ES256 token, in a batch of 100": (service.internal, "POST", tokens + "/batch", batch,
                                                  REQUESTS // 100, 100),
            "a JWKS GET": (service.public, "GET", "/.well-known/jwks.json", None, REQUESTS, 1),
        }
        for number, (what, (url, method, path, body, count, units)) in enumerate(kinds.items(), 1):
            requests(url, method, path, body, headers, max(count // 10, 2))
            control(service.process.pid, "--instr=on")
            requests(url, method, path, body, headers, count)
            control(service.process.pid, "--instr=off")
            control(service.process.pid, "--dump")
            total, allocations = instructions(f"{output}.{number}")
            own = total / count / units - (signature if method == "POST" else 0)
            counted[what] = own, allocations / count / units
        service.stop()
    return counted


def measure(table, against=None):
    require("valgrind", "valgrind")
    with tempfile.TemporaryDirectory() as folder:
        signature = signature_instructions(folder)
    table.add("instructions of an ES256 signature by ring", f"{signature:,.0f}", "", "", "reported")
    ours = counts_of(TARGET / "keywright", signature)
    others = counts_of(against.resolve(), signature) if against else {}
    for what, (own, allocations) in ours.items():
        for name, figure, index in (("instructions", own, 0), ("allocations", allocations, 1)):
            other = others[what][index] if what in others else None
            table.add(f"{name} of {what}", f"{figure:,.1f}" if index else f"{figure:,.0f}",
                      f"{other:,.1f} the other build" if other else "", f"{figure / other:.2f}" if other else "",
                      "reported")
