"""Shapes and statuses of every route, in process."""

import asyncio
import base64
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from server_fixture import FakeEngine, FakeFinder, ask, fake_app, requests, running

from tutelage.errors import CacheMismatch, ConfigError
from tutelage.serve.learned import Learned
from tutelage.serve.limits import Limits
from tutelage.serve.own import read_worst

HEADER = "x-tutelage-truncated"


def post(path, body, **options):
    """One request to a server of its own."""
    (answer,) = requests(fake_app(**options), ("POST", path, body))
    return answer


def get(path, **options):
    (answer,) = requests(fake_app(**options), ("GET", path))
    return answer


def openai_error(answer):
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    return answer.json()["error"]


def tei_error(answer):
    assert set(answer.json()) == {"error", "error_type"}
    return answer.json()


def test_embeddings_of_a_text_and_of_a_list():
    one, two = requests(
        fake_app(),
        ("POST", "/v1/embeddings", {"input": "a b", "model": "fake"}),
        ("POST", "/v1/embeddings", {"input": ["a b", "c"]}),
    )
    assert one.json()["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert (one.json()["object"], one.json()["model"]) == ("list", "fake")
    assert [each["index"] for each in two.json()["data"]] == [0, 1]
    assert two.json()["data"][0] == one.json()["data"][0]
    np.testing.assert_array_equal(
        np.float32([each["embedding"] for each in two.json()["data"]]), FakeEngine().encode(["a b", "c"])
    )


def test_embeddings_as_base64_are_little_endian_float32():
    answer = post("/v1/embeddings", {"input": "a", "encoding_format": "base64"})
    found = np.frombuffer(base64.b64decode(answer.json()["data"][0]["embedding"]), dtype="<f4")
    np.testing.assert_array_equal(found, FakeEngine().encode(["a"])[0])


@pytest.mark.parametrize(("path", "field"), [("/v1/embeddings", "input"), ("/embed", "inputs")])
def test_dimensions_are_cut_and_scaled_or_refused(path, field):
    right, whole, wrong = requests(
        fake_app(), *(("POST", path, {field: ["a", "b"], "dimensions": dim}) for dim in (4, 8, 5))
    )
    cut = FakeEngine().encode(["a", "b"])[:, :4]
    rows = right.json() if path == "/embed" else [each["embedding"] for each in right.json()["data"]]
    np.testing.assert_allclose(rows, cut / np.linalg.norm(cut, axis=1, keepdims=True), rtol=1e-6)
    assert (whole.status, wrong.status) == (200, 400)
    assert b"not trained for vectors 5 wide. Trained: 8, 4." in wrong.body


def test_a_refused_width_costs_no_pass():
    engine = FakeEngine()
    post("/v1/embeddings", {"input": "a", "dimensions": 3}, engine=engine)
    assert engine.calls == [["warm up"]]


@pytest.mark.parametrize("ids", [[1, 2], [[1, 2], [3]], [[]], [0.5]])
def test_token_ids_are_400_with_the_cure(ids):
    answer = post("/v1/embeddings", {"input": ids})
    assert answer.status == 400
    assert "check_embedding_ctx_length=False" in openai_error(answer)["message"]


def test_an_unknown_model_is_404_in_openais_form():
    asked, looked_up = requests(
        fake_app(), ("POST", "/v1/embeddings", {"input": "a", "model": "gpt"}), ("GET", "/v1/models/a/gpt")
    )
    assert (asked.status, openai_error(asked)["code"]) == (404, "model_not_found")
    assert (looked_up.status, openai_error(looked_up)["code"]) == (404, "model_not_found")


def test_models():
    listed, one = requests(fake_app(), ("GET", "/v1/models"), ("GET", "/v1/models/fake"))
    assert listed.json() == {"object": "list", "data": [one.json()]}
    assert one.json()["id"] == "fake"


@pytest.mark.parametrize("prompt", ["query", None])
def test_prompts_by_name(prompt):
    body = {"prompt_name": prompt} if prompt else {}
    openai, tei = requests(
        fake_app(), ("POST", "/v1/embeddings", {"input": "a", **body}), ("POST", "/embed", {"inputs": "a", **body})
    )
    wanted = FakeEngine().encode(["a"], prompt="query: " if prompt else None)
    np.testing.assert_array_equal(np.float32(tei.json()), wanted)
    np.testing.assert_array_equal(np.float32(openai.json()["data"][0]["embedding"]), wanted[0])


def test_an_unknown_prompt_is_refused_with_those_there_are():
    answer = post("/embed", {"inputs": "a", "prompt_name": "passage"})
    assert answer.status == 422
    assert tei_error(answer)["error"].endswith("Its prompts: query.")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": ["short", "word " * 30]}),
        ("/embed", {"inputs": ["short", "word " * 30]}),
        ("/rerank", {"query": "short", "texts": ["word " * 30]}),
    ],
)
def test_truncation_is_never_silent(path, body):
    cut, refused, whole = requests(
        fake_app(), ("POST", path, body), ("POST", path, {**body, "truncate": False}), ("POST", path, shortened(body))
    )
    assert (cut.status, cut.headers[HEADER]) == (200, "1")
    assert refused.status == 413
    assert whole.status == 200
    assert HEADER not in whole.headers


def shortened(body):
    return {key: value[:1] if isinstance(value, list) and key != "texts" else value for key, value in body.items()} | (
        {"texts": ["short"]} if "texts" in body else {}
    )


def test_similarity_is_the_cosine():
    body = {"inputs": {"source_sentence": "a", "sentences": ["b", "a"]}, "parameters": {"truncate": True}}
    similar, root = requests(fake_app(), ("POST", "/similarity", body), ("POST", "/", body))
    a, b = FakeEngine().encode(["a", "b"])
    assert similar.json() == pytest.approx([float(a @ b), 1.0], abs=1e-6)
    assert root.json() == similar.json()


def test_the_root_embeds_too():
    root, embed = requests(fake_app(), ("POST", "/", {"inputs": "a"}), ("POST", "/embed", {"inputs": "a"}))
    assert root.json() == embed.json()


def test_rerank_puts_the_nearest_first():
    body = {"query": "a", "texts": ["b", "a", "c"]}
    plain, raw, told = requests(
        fake_app(),
        ("POST", "/rerank", body),
        ("POST", "/rerank", {**body, "raw_scores": True}),
        ("POST", "/rerank", {**body, "return_text": True}),
    )
    assert raw.json()[0]["index"] == 1
    scores = [rank["score"] for rank in raw.json()]
    assert scores == sorted(scores, reverse=True)
    assert [rank["score"] for rank in plain.json()] == pytest.approx([(1 + score) / 2 for score in scores])
    assert set(plain.json()[0]) == {"index", "score"}
    assert [rank["text"] for rank in told.json()] == [body["texts"][rank["index"]] for rank in raw.json()]


def test_tokenize_and_info():
    whole, bare, info = requests(
        fake_app(),
        ("POST", "/tokenize", {"inputs": ["a b", "c"]}),
        ("POST", "/tokenize", {"inputs": "a b", "add_special_tokens": False}),
        ("GET", "/info"),
    )
    assert [[token["id"] for token in row] for row in whole.json()] == [[1, 5, 5, 2], [1, 5, 2]]
    assert set(whole.json()[0][0]) == {"id", "text", "special", "start", "stop"}
    assert [[token["id"] for token in row] for row in bare.json()] == [[5, 5]]
    assert (info.json()["model_id"], info.json()["max_input_length"]) == ("fake", 16)


@pytest.mark.parametrize(
    "extra", [{"normalize": False}, {"truncation_direction": "left"}], ids=["normalize", "truncation_direction"]
)
def test_what_an_engine_cannot_do_is_refused_not_ignored(extra):
    answer = post("/embed", {"inputs": "a", **extra})
    assert answer.status == 422
    assert next(iter(extra)) in tei_error(answer)["error"]


def test_search_finds_concepts_for_one_query_or_several():
    one, two, german = requests(
        fake_app(),
        ("POST", "/v1/search", {"query": "nurse", "k": 1}),
        ("POST", "/v1/search", {"queries": ["nurse", "data engineer"], "k": 2}),
        ("POST", "/v1/search", {"query": "nurse", "languages": ["de"], "groups": ["25"]}),
    )
    (((hit,),),) = [one.json()["results"]]
    assert hit == {
        "concept": "urn:2", "code": "2221.1", "label": "nurse", "group": "2221", "score": pytest.approx(1, abs=1e-6),
        "matched": {"text": "nurse", "language": "en"},
    }  # fmt: skip
    assert [row[0]["concept"] for row in two.json()["results"]] == ["urn:2", "urn:1"]
    assert [hit["label"] for hit in german.json()["results"][0]] == ["Dateningenieur"]


def test_match_believes_by_the_index_or_by_the_clients_threshold():
    default, strict, lax = requests(
        fake_app(),
        *(("POST", "/v1/match", {"texts": ["nurse", "zzz"], "threshold": limit}) for limit in (None, 1, 0)),
    )
    assert [row["known"] for row in default.json()["results"]] == [
        True,
        default.json()["results"][1]["confidence"] > 0.5,
    ]
    assert [row["text"] for row in strict.json()["results"]] == ["nurse", "zzz"]
    assert strict.json()["results"][1]["known"] is False
    confidence = lax.json()["results"][1]["confidence"]
    assert lax.json()["results"][1]["known"] is (confidence >= 0)


def test_a_match_shows_what_was_learned_nearest_to_it_where_that_is_asked():
    learned = Learned(FakeEngine(), [("nurse", "RN"), ("RN", "nurse"), ("cook", "chef"), ("cook", "kitchen chef")])
    assert len(learned) == 5
    body = {"texts": [" nurse", "", "kitchen chef"], "learned": 3}
    nurse, empty, chef = post("/v1/match", body, learned=learned).json()["results"]
    assert nurse["learned"][0] == {"anchor": "nurse", "positive": "RN", "score": pytest.approx(1, abs=1e-6)}
    assert ("RN", "nurse") not in {(pair["anchor"], pair["positive"]) for pair in nurse["learned"]}
    assert empty["learned"] == []
    assert (chef["learned"][0]["anchor"], chef["learned"][0]["positive"]) == ("kitchen chef", "cook")
    scores = [pair["score"] for pair in chef["learned"]]
    assert scores == sorted(scores, reverse=True)
    one = post("/v1/match", body | {"learned": 1}, learned=learned).json()["results"]
    assert [len(row["learned"]) for row in one] == [1, 0, 1]
    for unasked in (post("/v1/match", {"texts": ["nurse"]}, learned=learned), post("/v1/match", body)):
        assert unasked.json()["results"][0]["learned"] == []
    assert post("/v1/match", body | {"learned": 21}, learned=learned).status == 422


def test_texts_of_a_search_go_through_the_queue_once():
    engine = FakeEngine()
    post("/v1/match", {"texts": ["nurse", "nurse", "cook"]}, engine=engine)
    assert engine.calls == [["warm up"], ["nurse", "cook"]]


@pytest.mark.parametrize(
    "body", [{}, {"query": "a", "queries": ["b"]}, {"query": "a", "k": 0}, {"query": "a", "k": 101}]
)
def test_a_search_without_sense_is_422(body):
    assert post("/v1/search", body).status == 422


def test_without_an_index_and_a_report_their_routes_say_how_to_have_them():
    search, match, worst, about = requests(
        fake_app(finder=None),
        ("POST", "/v1/search", {"query": "a"}),
        ("POST", "/v1/match", {"texts": ["a"]}),
        ("GET", "/v1/worst"),
        ("GET", "/v1/about"),
    )
    assert [openai_error(each)["code"] for each in (search, match, worst)] == ["no_index", "no_index", "no_report"]
    assert about.json() == {
        "model": "fake", "dim": 8, "dims": [8, 4], "max_texts": 2048, "threshold": None, "calibrated": None,
        "index": None, "report": False,
    }  # fmt: skip


def test_an_index_is_counted_beside_the_event_loop():
    finder, threads = FakeFinder(), []
    finder.stats = lambda: threads.append(threading.current_thread().name) or FakeFinder.stats(finder)
    assert get("/v1/about", finder=finder).status == 200
    assert threads == ["search_0"]


def test_about_tells_how_many_texts_are_taken_so_that_the_page_asks_for_no_more():
    assert get("/v1/about", limits=Limits(texts=32)).json()["max_texts"] == 32


def test_about_tells_of_the_index():
    found = get("/v1/about").json()
    assert (found["threshold"], found["calibrated"]) == (0.5, True)
    assert found["index"]["languages"] == {"de": 2, "en": 2}


def test_worst_queries_come_from_a_runs_report(tmp_path):
    row = {
        "query": "q1", "text": "night nurse", "metric": "map", "before": 0.1, "after": 0.2, "relevant": 1,
        "gold": [{"id": "d1", "text": "nurse", "rank": None}],
        "predicted": [{"id": "d2", "text": "cook", "score": 0.5, "right": False}],
    }  # fmt: skip
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"name": "demo", "worst": {"dev": [row]}}), encoding="utf-8")
    assert get("/v1/worst", report=read_worst(file)).json() == {
        "name": "demo",
        "sets": {
            "dev": {
                "metric": "map",
                "queries": [{"query": "night nurse", "value": 0.2, "gold": ["nurse"], "predicted": [["cook", 0.5]]}],
            }
        },
    }


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"worst": {"dev": [{}]}}', "\xff"])
def test_a_file_that_is_no_report_is_named(tmp_path, content):
    file = tmp_path / "report.json"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"--report .*report\.json of a"):
        read_worst(file)


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/embeddings", {"input": []}), ("/v1/embeddings", {"inptu": "a"}), ("/v1/search", b"{"), ("/v1/match", 5)],
)
def test_faults_in_a_body_are_422_in_openais_form(path, body):
    answer = post(path, body)
    assert answer.status == 422
    assert openai_error(answer)["type"] == "invalid_request_error"


@pytest.mark.parametrize(("path", "body"), [("/embed", {"inputs": []}), ("/rerank", {"query": "a"}), ("/embed", b"no")])
def test_faults_in_a_body_are_422_in_teis_form(path, body):
    answer = post(path, body)
    assert answer.status == 422
    assert tei_error(answer)["error_type"] == "Validation"


def test_unknown_paths_and_methods_keep_their_form():
    v1, other, method, posted = requests(
        fake_app(), ("GET", "/v1/no"), ("GET", "/no"), ("GET", "/v1/embeddings"), ("POST", "/no", {})
    )
    assert [v1.status, other.status, method.status, posted.status] == [404, 404, 405, 404]
    openai_error(v1)
    tei_error(other)


def test_the_page_is_served_under_a_strict_policy(tmp_path: Path):
    (tmp_path / "index.html").write_text("<p>page</p>")
    (tmp_path / "page.js").write_text("let a = 1")
    app = fake_app(page=tmp_path, key="k")
    index, script, missing, outside, posted = requests(
        app, ("GET", "/"), ("GET", "/page.js"), ("GET", "/no.js"), ("GET", "/../pyproject.toml"), ("POST", "/page.js")
    )
    assert index.body == b"<p>page</p>"
    assert script.headers["content-type"].startswith("text/javascript")
    assert [missing.status, outside.status, posted.status] == [404, 404, 401]
    for answer in (index, script):
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


def test_queries_come_in_their_canonical_form():
    engine = FakeEngine()
    found, same = requests(
        fake_app(engine=engine),
        ("POST", "/v1/search", {"query": " Ko\u0308ch "}),
        ("POST", "/v1/search", {"query": "K\u00f6ch"}),
    )
    assert found.json() == same.json()
    assert ["K\u00f6ch"] in engine.calls


def test_a_body_that_is_no_json_names_no_field():
    (answer,) = requests(fake_app(), ("POST", "/v1/search", b'{"query": '))
    error = openai_error(answer)
    assert (answer.status, error["param"]) == (422, None)
    assert error["message"].startswith("The body is not JSON: ")


@pytest.mark.parametrize("path", ["/v1/search", "/v1/match"])
def test_an_index_that_fails_is_the_servers_fault_and_shows_in_ready(path):
    class Failing(FakeFinder):
        fault = CacheMismatch("built anew with another model")

        def search(self, *asked):
            if self.fault:
                raise self.fault
            return super().search(*asked)

        def stats(self):
            if self.fault:
                raise self.fault
            return super().stats()

    finder = Failing()
    body = {"query": "nurse"} if path == "/v1/search" else {"texts": ["nurse"]}

    async def scenario():
        async with running(fake_app(finder=finder)) as app:
            refused, unready = await ask(app, "POST", path, body), await ask(app, "GET", "/ready")
            finder.fault = None
            return refused, unready, await ask(app, "GET", "/ready"), await ask(app, "POST", path, body)

    refused, unready, ready, answered = asyncio.run(scenario())
    assert [each.status for each in (refused, unready, ready, answered)] == [503, 503, 200, 200]
    assert "another model" in openai_error(refused)["message"]
    assert openai_error(refused) | {"message": ""} == {
        "message": "",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    assert unready.json()["error"] == "the index fails; the log and /v1/search say why"
