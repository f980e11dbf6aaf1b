"""What is too much, who has no key, what the log and the counters say, and what a fault shows."""

import asyncio
import json
import logging
import os
import threading
from functools import partial

import pytest
from server_fixture import FakeEngine, ask, fake_app, requests, running

from tutelage.errors import ConfigError
from tutelage.serve.keys import read_key, refuse_exposure
from tutelage.serve.limits import Limits

SMALL = Limits(body_bytes=1000, texts=3, characters=20, queue_tokens=10, hits=10, searches=1)


@pytest.mark.parametrize("parts", [1, 10])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("path", ["/v1/embeddings", "/embed"])
def test_a_body_beyond_the_limit_is_413_announced_or_not(path, announced, parts):
    body = b'{"input": "' + b"x" * 2000 + b'"}'
    headers = {"content-length": str(len(body))} if announced else None
    (answer,) = requests(fake_app(limits=SMALL), ("POST", path, body), headers=headers, parts=parts)
    assert answer.status == 413
    said = answer.json()["error"]
    assert "larger than 1000 bytes" in (said["message"] if path.startswith("/v1") else said)


@pytest.mark.parametrize("length", ["-1", "1e9", "9" * 5000, "", "²"])
def test_a_content_length_without_sense_is_no_fault_of_ours(length):
    (answer,) = requests(
        fake_app(limits=SMALL), ("POST", "/embed", {"inputs": "a"}), headers={"content-length": length}
    )
    assert answer.status == (413 if length.startswith("9") else 200)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": ["a"] * 4}),
        ("/embed", {"inputs": ["a"] * 4}),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["a"] * 4}}),
        ("/rerank", {"query": "a", "texts": ["a"] * 4}),
        ("/tokenize", {"inputs": ["a"] * 4}),
        ("/v1/search", {"queries": ["a"] * 4}),
        ("/v1/match", {"texts": ["a"] * 4}),
        ("/v1/embeddings", {"input": "a" * 21}),
        ("/tokenize", {"inputs": "a" * 21}),
    ],
)
def test_too_many_texts_or_characters_are_413(path, body):
    (answer,) = requests(fake_app(limits=SMALL), ("POST", path, body))
    assert answer.status == 413


@pytest.mark.parametrize("field", ["query", "source_sentence"])
def test_what_texts_are_compared_with_is_none_of_them(field):
    def compared(one, others):
        if field == "query":
            return "POST", "/rerank", {"query": one, "texts": others, "truncate": False}
        given = {"source_sentence": one, "sentences": others}
        return "POST", "/similarity", {"inputs": given, "parameters": {"truncate": False}}

    limits = Limits(texts=3, characters=50)
    fits, many, long, long_one, beyond = requests(
        fake_app(limits=limits),
        compared("a", ["b", "c", "d"]),
        compared("a", ["b", "c", "d", "e"]),
        compared("a", ["b", "c" * 51]),
        compared("a" * 51, ["b"]),
        compared("a", ["b", "c " * 20]),
    )
    assert (fits.status, len(fits.json())) == (200, 3)
    assert "4 texts; at most 3" in many.json()["error"]
    assert "text 1 has 51 characters" in long.json()["error"]
    assert long_one.json()["error"].startswith(f"{field}: text 0 has 51 characters")
    assert beyond.json()["error"].startswith("Text 1 has 22 tokens")


def test_more_tokens_than_may_wait_are_not_told_one_by_one():
    fits, beyond = requests(
        fake_app(limits=SMALL), ("POST", "/tokenize", {"inputs": "a " * 8}), ("POST", "/tokenize", {"inputs": "a " * 9})
    )
    assert (fits.status, len(fits.json()[0])) == (200, 10)
    assert beyond.status == 413
    assert beyond.json()["error"] == "inputs: 11 tokens; at most 10 in one request. Send several."


def test_tokens_are_spelled_beside_the_event_loop():
    engine, threads = FakeEngine(), []
    engine.pieces = lambda ids: threads.append(threading.current_thread()) or FakeEngine.pieces(engine, ids)
    (answer,) = requests(fake_app(engine=engine), ("POST", "/tokenize", {"inputs": ["a", "b"]}))
    assert answer.status == 200
    assert threads
    assert threading.main_thread() not in threads


def test_a_full_queue_is_429_in_both_forms_and_nothing_is_lost():
    engine = FakeEngine()

    async def scenario():
        async with running(fake_app(engine=engine, limits=SMALL)) as app:
            engine.gate.clear()
            first = asyncio.create_task(ask(app, "POST", "/embed", {"inputs": "a"}))
            while len(engine.calls) < 2:
                await asyncio.sleep(0.001)
            tasks = [
                asyncio.create_task(ask(app, "POST", path, {field: "a b"}))
                for path, field in [("/embed", "inputs"), ("/v1/embeddings", "input")] * 10
            ]
            await asyncio.sleep(0.05)
            engine.gate.set()
            return await asyncio.gather(first, *tasks)

    answers = asyncio.run(scenario())
    assert {answer.status for answer in answers} == {200, 429}
    refused = [answer for answer in answers if answer.status == 429]
    assert len(refused) == 18  # two of four tokens wait, behind the one that runs
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
    said = [answer.json() for answer in refused]
    assert any(each["error"] == "The queue is full. Come back in 1 s (Retry-After)." for each in said)
    assert any("code" in each["error"] and each["error"]["code"] == "rate_limit_exceeded" for each in said)


def test_a_client_that_goes_is_dropped_before_its_texts_run():
    engine = FakeEngine()

    async def scenario():
        async with running(fake_app(engine=engine)) as app:
            engine.gate.clear()
            first = asyncio.create_task(ask(app, "POST", "/embed", {"inputs": "a"}))
            while len(engine.calls) < 2:
                await asyncio.sleep(0.001)
            body = b'{"inputs": "gone"}'
            messages = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
            statuses = []

            async def receive():
                return messages.pop(0)

            async def send(message):
                statuses.append(message.get("status"))

            scope = {
                "type": "http", "method": "POST", "path": "/embed", "query_string": b"", "root_path": "",
                "headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http",
            }  # fmt: skip
            await app(scope, receive, send)
            engine.gate.set()
            await first
            return statuses[0]

    assert asyncio.run(scenario()) == 499
    assert engine.calls == [["warm up"], ["a"]]


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "", " ", "\u202e", "\U0010ffff", "\ufdd0", "e\u0301" * 5])
def test_odd_texts_are_texts(text):
    answers = requests(fake_app(), ("POST", "/embed", {"inputs": text}), ("POST", "/v1/search", {"query": text}))
    assert [answer.status for answer in answers] == [200, 200]


@pytest.mark.parametrize(
    "body",
    [
        b'{"texts": ["\\ud800"]}', b'{"texts": ["a"], "threshold": NaN}', b'{"texts": ["a"], "threshold": 1e999}',
        b'{"texts": ["a"], "k": ' + b"9" * 5000 + b"}", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"\x00",
        b'{"texts": ["a"], "\\ud800": 1}', b'{"texts": ["a"], "k": 1e400}', b'{"texts": ["a"], "k": true}',
        b'{"texts": ["a"], "languages": ["\\udfff"]}',
    ],
    ids=lambda body: repr(body[:30]),
)  # fmt: skip
def test_hostile_bodies_are_the_clients_fault(body):
    (answer,) = requests(fake_app(), ("POST", "/v1/match", body))
    assert 400 <= answer.status < 500 or (answer.status == 200 and b"true" in body)
    assert answer.body == answer.body.decode().encode()


KEY = "sésame-42"
CALLS = [("POST", "/v1/embeddings"), ("POST", "/embed"), ("POST", "/"), ("GET", "/v1/models"), ("GET", "/v1/about"),
         ("GET", "/info"), ("GET", "/openapi.json"), ("POST", "/no"), ("GET", "/v1/no"), ("HEAD", "/v1/about"),
         ("DELETE", "/health"), ("OPTIONS", "/embed")]  # fmt: skip


@pytest.mark.parametrize(
    "given", [None, "Bearer", "Bearer ", "Bearer nope", "Basic sésame-42", "sésame-42", "Bearer x y"]
)
def test_without_the_key_nothing_but_health_and_page(given):
    headers = {} if given is None else {"authorization": given}
    answers = requests(fake_app(key=KEY), *CALLS, headers=headers)
    assert [answer.status for answer in answers] == [401] * len(CALLS)
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)


def test_the_key_opens_and_health_needs_none():
    app = partial(fake_app, key=KEY)
    with_key = {"authorization": f"bearer {KEY}"}
    (answer,) = requests(app(), ("POST", "/embed", {"inputs": "a"}), headers=with_key)
    assert answer.status == 200
    answers = requests(app(), ("GET", "/health"), ("GET", "/ready"), ("GET", "/metrics"))
    assert [answer.status for answer in answers] == [200, 200, 200]


def test_a_body_is_not_read_without_the_key():
    sent = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/embed", "raw_path": b"/embed", "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")], "state": {},
    }  # fmt: skip

    async def scenario():
        async with running(fake_app(key=KEY, limits=SMALL)) as app:
            await app(scope, receive, send)

    asyncio.run(scenario())
    assert sent[0]["status"] == 401


def test_a_search_that_is_refused_costs_no_pass():
    engine = FakeEngine()

    async def scenario():
        async with running(fake_app(engine=engine, limits=SMALL)) as app:
            engine.gate.clear()
            first = asyncio.create_task(ask(app, "POST", "/v1/search", {"query": "first"}))
            while ["first"] not in engine.calls:
                await asyncio.sleep(0.001)
            second = await ask(app, "POST", "/v1/match", {"texts": ["second"]})
            engine.gate.set()
            return (await first).status, second.status

    assert asyncio.run(scenario()) == (200, 429)
    assert not any("second" in texts for texts in engine.calls)


def test_an_empty_group_is_refused_and_no_language_is_one():
    body = {"query": "nurse"}
    refused, answered = requests(
        fake_app(), ("POST", "/v1/search", body | {"groups": [""]}), ("POST", "/v1/search", body | {"languages": [""]})
    )
    assert (refused.status, answered.status) == (422, 200)


def test_a_long_query_is_refused_before_anything_is_done_to_it(monkeypatch):
    monkeypatch.setattr("tutelage.serve.own.canonical", lambda text: pytest.fail("it was normalised"))
    (answer,) = requests(fake_app(limits=SMALL), ("POST", "/v1/search", {"query": "x" * 21}))
    assert answer.status == 413


def test_where_the_key_comes_from(tmp_path, monkeypatch):
    monkeypatch.delenv("TUTELAGE_API_KEY", raising=False)
    assert read_key(None) is None
    monkeypatch.setenv("TUTELAGE_API_KEY", " from-environment\n")
    assert read_key(None) == "from-environment"
    file = tmp_path / "key"
    file.write_text("from-file\n")
    assert read_key(file) == "from-file"
    file.write_text("\n")
    with pytest.raises(ConfigError, match="it is empty"):
        read_key(file)
    with pytest.raises(ConfigError, match="Give a text file that holds the key"):
        read_key(tmp_path / "no")


@pytest.mark.parametrize("key", ["sésame", "s€cret", "two\nlines", "a\x7f"])
def test_a_key_that_no_browser_can_send_is_refused(tmp_path, monkeypatch, key):
    file = tmp_path / "key"
    file.write_text(f"{key}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"--key-file {file}: the key has characters beyond printable ASCII"):
        read_key(file)
    monkeypatch.setenv("TUTELAGE_API_KEY", key)
    with pytest.raises(ConfigError, match=r"\$TUTELAGE_API_KEY: the key has characters beyond printable ASCII"):
        read_key(None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_a_server_that_others_reach_needs_a_key(host):
    with pytest.raises(ConfigError, match="other machines could use this server without a key"):
        refuse_exposure(host, None, False)
    refuse_exposure(host, "key", False)
    refuse_exposure(host, None, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_key(host):
    refuse_exposure(host, None, False)


def lines(caplog):
    return [json.loads(record.message) for record in caplog.records if record.name == "tutelage.access"]


def test_the_log_has_figures_and_no_texts(caplog):
    caplog.set_level(logging.INFO)
    requests(
        fake_app(),
        ("POST", "/v1/embeddings", {"input": ["secret title", "word " * 30]}),
        ("POST", "/v1/search", {"query": "secret title"}),
        ("GET", "/v1/models/secret title"),
        ("GET", "/secret title"),
        ("POST", "/embed", {"inputs": ["secret title"], "prompt_name": "secret title"}),
    )
    found = lines(caplog)
    assert [(line["route"], line["status"]) for line in found] == [
        ("/v1/embeddings", 200), ("/v1/search", 200), ("/v1/models/{model:path}", 404), ("other", 404), ("/embed", 422)
    ]  # fmt: skip
    assert {"texts": 2, "tokens": 20, "truncated": 1}.items() <= found[0].items()
    assert "secret" not in caplog.text


def test_a_fault_of_ours_is_500_with_a_number_that_the_log_has(caplog):
    openai, tei, fine = requests(
        fake_app(),
        ("POST", "/v1/embeddings", {"input": "boom"}),
        ("POST", "/embed", {"inputs": "boom"}),
        ("POST", "/embed", {"inputs": "a"}),
    )
    assert [openai.status, tei.status, fine.status] == [500, 500, 200]
    assert tei.json()["error_type"] == "Backend"
    numbers = [openai.json()["error"]["message"].split()[2].strip("."), tei.json()["error"].split()[2].strip(".")]
    for number, answer in zip(numbers, (openai, tei), strict=True):
        assert f"fault {number}" in caplog.text
        assert b"secret" not in answer.body
        assert b"Traceback" not in answer.body


def test_counters():
    *_, metrics = requests(
        fake_app(),
        ("POST", "/embed", {"inputs": ["a", "word " * 30]}),
        ("POST", "/embed", {"inputs": []}),
        ("GET", "/nobody/knows"),
        ("GET", "/metrics"),
    )
    found = dict(line.rsplit(" ", 1) for line in metrics.body.decode().splitlines() if not line.startswith("#"))
    assert found["tutelage_texts_total"] == "2.0"
    assert found["tutelage_tokens_total"] == "19.0"
    assert found["tutelage_truncated_texts_total"] == "1.0"
    assert found['tutelage_requests_total{route="/embed",status="200"}'] == "1.0"
    assert found['tutelage_requests_total{route="/embed",status="422"}'] == "1.0"
    assert found['tutelage_requests_total{route="other",status="404"}'] == "1.0"
    assert found['tutelage_request_seconds_count{route="/embed"}'] == "2.0"
    assert found["tutelage_queued_tokens"] == "0.0"
    assert float(found["tutelage_tokens_per_second"]) > 0


def test_ready_once_warm_and_no_more_at_the_end():
    engine = FakeEngine()

    async def scenario():
        app = fake_app(engine=engine)
        engine.gate.clear()
        async with app.router.lifespan_context(app):
            cold, alive = await ask(app, "GET", "/ready"), await ask(app, "GET", "/health")
            engine.gate.set()
            while not app.state.served.warm:
                await asyncio.sleep(0.001)
            warm = await ask(app, "GET", "/ready")
            app.state.served.batcher.closing = True
            ending, refused = await ask(app, "GET", "/ready"), await ask(app, "POST", "/embed", {"inputs": "a"})
            return [answer.status for answer in (cold, alive, warm, ending, refused)]

    assert asyncio.run(scenario()) == [503, 200, 200, 503, 503]


def test_no_key_lies_in_the_environment_of_these_tests():
    assert "TUTELAGE_API_KEY" not in os.environ
