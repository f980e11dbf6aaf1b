"""What docs/serving.md shows is answered, and what it lists is all there is."""

import json
import re
from pathlib import Path

from fastapi.routing import APIRoute
from server_fixture import fake_app, requests

from tutelage.serve.limits import Limits

DOCUMENT = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_every_example_is_answered():
    posted = re.findall(r"^ask (\S+) '(.+)'$", DOCUMENT, re.MULTILINE)
    read = re.findall(r"^curl -s http://127\.0\.0\.1:8000(\S+)", DOCUMENT, re.MULTILINE)
    report = {"name": "demo", "sets": {}}
    asked = [*(("POST", path, json.loads(body)) for path, body in posted), *(("GET", path) for path in read)]
    answers = requests(fake_app(report=report), *asked)
    assert [(each[1], answer.status) for each, answer in zip(asked, answers, strict=True)] == [
        (each[1], 200) for each in asked
    ]
    described = set(fake_app().openapi()["paths"]) - {"/", "/v1/models/{model}"}
    assert {path for _, path, *_ in asked} == described


def test_every_metric_is_listed():
    (answer,) = requests(fake_app(), ("GET", "/metrics"))
    counted = set(re.findall(r"^# TYPE (\w+) (?:counter|gauge|histogram)$", answer.body.decode(), re.MULTILINE))
    counted = {name for name in counted if not name.endswith("_created")}
    listed = set(re.findall(r"`(tutelage_\w+)", DOCUMENT.partition("| metric |")[2]))
    assert counted == listed


def test_the_limits_are_those_of_the_code():
    limits = Limits()
    for number in (limits.texts, limits.characters, limits.queue_tokens):
        assert f"{number:,}" in DOCUMENT
    assert f"{limits.body_bytes // 2**20} MiB" in DOCUMENT
    assert f"| `k` | {limits.hits} |" in DOCUMENT
    assert f"| requests to the index under way | {limits.searches} |" in DOCUMENT


def test_only_async_handlers():
    """A ``def`` would run in one of 40 threads, where a tokenizer that counts would meet itself."""
    import inspect

    routes = [route for route in fake_app().routes if isinstance(route, APIRoute)]
    assert all(inspect.iscoroutinefunction(route.endpoint) for route in routes)
