"""One JSON request a line on standard input, one answer a line on standard output.

The answer is `ok`, or `refused CODE message`. The process lives as long as its input, and so do
the caches in it.
"""

import argparse
import json
import sys


def answer_lines(verify):
    """Answers every line with what `verify` makes of it; a refusal is an exception of `verify`."""
    for line in sys.stdin:
        try:
            verify(json.loads(line))
            answer = "ok"
        except Exception as error:  # Whatever a library raises, the token was not accepted.
            answer = f"refused {type(error).__name__} {' '.join(str(error).split())}"
        print(answer, flush=True)


def jwks_url(request):
    """Where a request's keys are: `jwks`, or what stands under its issuer."""
    return request.get("jwks") or f"{request['issuer']}/.well-known/jwks.json"


def cool_down_seconds():
    """The number after `--cool-down`, or `None` for the library's default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cool-down", type=float)
    return parser.parse_args().cool_down
