"""Reads requests to an OTLP collector from standard input, each a line in hexadecimal, with the messages that
OpenTelemetry publishes for Python, and prints their spans as JSON."""

import json
import sys

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


def plain(attributes):
    values = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        assert attribute.key not in values, attribute.key
        values[attribute.key] = getattr(attribute.value, kind)
    return values


def known_alone(message):
    """A field that the messages do not know is a mistake."""
    rewritten = type(message).FromString(message.SerializeToString())
    rewritten.DiscardUnknownFields()
    assert rewritten == message, "unknown fields"


spans = []
for line in sys.stdin:
    request = ExportTraceServiceRequest.FromString(bytes.fromhex(line))
    known_alone(request)
    for resource_spans in request.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                spans.append(
                    {
                        "resource": plain(resource_spans.resource.attributes),
                        "scope": scope_spans.scope.name,
                        "trace_id": span.trace_id.hex(),
                        "span_id": span.span_id.hex(),
                        "parent": span.parent_span_id.hex(),
                        "state": span.trace_state,
                        "name": span.name,
                        "kind": Span.SpanKind.Name(span.kind),
                        "began": span.start_time_unix_nano,
                        "ended": span.end_time_unix_nano,
                        "attributes": plain(span.attributes),
                        "status": Status.StatusCode.Name(span.status.code),
                        "flags": span.flags,
                    }
                )
print(json.dumps(spans))
