"""Malformed requests made from the OpenAPI document."""

from collections.abc import Callable
from typing import Any

import pytest

from live_server import Server

schemathesis = pytest.importorskip("schemathesis")


@pytest.mark.parametrize(("mode", "max_examples"), [("positive", 10), ("negative", 150)])
def test_no_request_is_a_failure_of_the_server(serve: Callable[..., Server], mode: str, max_examples: int) -> None:
    from hypothesis import HealthCheck, given, settings
    from schemathesis import GenerationMode, checks

    server = serve(max_upload_mb=0.5)
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    statuses: list[int] = []
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=max_examples,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
        def check(case: Any) -> None:
            response = case.call(base_url=server.url)
            statuses.append(response.status_code)
            case.validate_response(
                response,
                checks=[
                    checks.not_a_server_error,
                    checks.status_code_conformance,
                    checks.content_type_conformance,
                    checks.response_schema_conformance,
                ],
            )

        try:
            check()
        except Exception as error:
            if type(error).__name__ != "Unsatisfiable":  # nothing can be wrong with a request without parameters
                raise

    assert len(statuses) >= max_examples
    server.wait_until(lambda: server.service.requests.num_inside == 0)
