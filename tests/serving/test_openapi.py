"""A thousand requests generated from the API's own description: nothing breaks, and what comes back is what the description says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from pyfl.serving.api import create_app
from pyfl.serving.guard import Guard
from pyfl.serving.limits import Limits
from pyfl.serving.predictor import Predictor
from pyfl.serving.streams import Bell
from tests.serving.digits_peer import DigitsPeer

TOKEN = "t" * 32
EXAMPLES = 160  # of each operation and kind of request; those that take nothing have few
CHECKS = [not_a_server_error, response_schema_conformance, status_code_conformance, content_type_conformance]

_peer = DigitsPeer()
_bell = Bell(_peer)
_bell.stop()  # so that event streams end with what has happened
_app = create_app(_peer, _bell, Predictor(_peer))
schema = schemathesis.openapi.from_asgi(
    "/openapi.json", Guard(_app, TOKEN, Limits(requests_per_s=1e9, burst=10**9)), headers={"Authorization": f"Bearer {TOKEN}"}
)


def test_a_thousand_requests_made_from_the_description_break_nothing() -> None:
    answered: Counter[tuple[str, int]] = Counter()
    for operation in (found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                answer = case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS)
                answered[case.operation.label, answer.status_code] += 1

            try:
                ask()
            except Unsatisfiable:  # nothing can be wrong with a request that takes nothing
                assert mode is GenerationMode.NEGATIVE
    assert answered.total() >= 1000
    for operation in ("POST /v1/predict", "POST /v1/control", "GET /v1/events", "GET /v1/tree", "GET /v1/model", "GET /v1/local"):
        assert answered[operation, 200], f"no request to {operation} came through: {answered}"
