"""Bodies that nobody meant: from the server's own OpenAPI, and from chance. None is answered with 5xx."""

import asyncio
import copy
import json
import random
import re

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS
from server_fixture import ask, fake_app, running

BODIES = 10_000
ROUTES = {
    "/v1/embeddings": {"input": ["a", "b c"], "model": "fake", "encoding_format": "base64", "dimensions": 4,
                       "prompt_name": "query", "truncate": True},
    "/embed": {"inputs": ["a", "b"], "normalize": True, "truncate": False, "dimensions": 8},
    "/": {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {"truncate": True}},
    "/rerank": {"query": "a", "texts": ["b", "c"], "raw_scores": True, "return_text": True},
    "/tokenize": {"inputs": ["a"], "add_special_tokens": False},
    "/v1/search": {"queries": ["nurse"], "k": 3, "languages": ["de"], "groups": ["22"]},
    "/v1/match": {"texts": ["nurse", ""], "k": 1, "threshold": 0.5},
}  # fmt: skip
ODD = [None, True, -1, 0, 2**63, 10**400, 1e308, float("nan"), float("-inf"), "", "\x00", "\ud800", "é" * 300, [], [[]],
       {}, [None], ["a", 1], {"a": {"b": []}}, "x" * 3000, ["word"] * 50, "query", 4, "right", "left"]  # fmt: skip

app = fake_app()
schema = schemathesis.openapi.from_dict(app.openapi())
schema.app = app


def fuzzed(operation):
    """The test of one operation, under a name of its own: several test processes tell tests apart by that alone."""

    def test(case):
        (check,) = CHECKS.get_by_names(["not_a_server_error"])
        case.call_and_validate(checks=[check])

    test.__name__ = "test_requests_made_from_the_description_of_" + re.sub(r"\W+", "_", operation.label).lower()
    within = settings(
        max_examples=15, derandomize=True, deadline=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    return schema.include(path=operation.path, method=operation.method).parametrize()(within(test))


TESTS = [fuzzed(found.ok()) for found in schema.get_all_operations()]
globals().update({test.__name__: test for test in TESTS})


def test_every_operation_has_its_test():
    operations = sum(len(methods) for methods in app.openapi()["paths"].values())
    assert len({test.__name__ for test in TESTS}) == len(TESTS) == operations


def mutated(draw: random.Random, body):
    """The body with one thing in it changed, dropped, added or put into another."""
    where = body
    while isinstance(where, (dict, list)) and where and draw.random() < 0.6:
        inner = draw.choice(list(where.values()) if isinstance(where, dict) else where)
        if not isinstance(inner, (dict, list)):
            break
        where = inner
    odd = copy.deepcopy(draw.choice(ODD))
    if isinstance(where, dict):
        key = draw.choice([*where, "extra", "\ud800"])
        if draw.random() < 0.2:
            where.pop(key, None)
        else:
            where[key] = odd
    elif isinstance(where, list):
        where.insert(draw.randrange(len(where) + 1), odd)
    return body


def broken(draw: random.Random, body) -> bytes:
    """Random bytes, a body changed a few times, or the bytes of one damaged."""
    kind = draw.random()
    if kind < 0.1:
        return draw.randbytes(draw.randrange(200))
    changed = json.loads(json.dumps(body))
    for _ in range(draw.randrange(1, 4)):
        changed = mutated(draw, changed)
    content = bytearray(json.dumps(changed, ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass"))
    if kind < 0.4:
        for _ in range(draw.randrange(1, 6)):
            at = draw.randrange(len(content) + 1)
            content[at : at + draw.randrange(3)] = draw.randbytes(draw.randrange(3))
    return bytes(content)


def test_ten_thousand_fuzzed_bodies():
    draw = random.Random(0)
    statuses: dict[int, int] = {}

    async def send_them():
        async with running(fake_app()) as app:
            for _ in range(BODIES):
                path, body = draw.choice(list(ROUTES.items()))
                content = broken(draw, body)
                answer = await ask(app, "POST", path, content)
                assert answer.status < 500, (path, content)
                json.loads(answer.body)
                statuses[answer.status] = statuses.get(answer.status, 0) + 1

    asyncio.run(send_them())
    assert sum(statuses.values()) == BODIES
    assert statuses[200] > BODIES / 50, "the bodies are too far from sense to reach what lies behind the checks"
    assert statuses[422] > BODIES / 10
