"""Clients that others wrote, unmodified, against a running server."""

import base64
import os
import signal
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import openai
import pytest
import tiktoken
from conftest import tiny_model
from huggingface_hub import InferenceClient
from langchain_openai import OpenAIEmbeddings
from server_fixture import FakeFinder, live

from tutelage.encode.encoder import encode
from tutelage.serve.app import create_app
from tutelage.serve.engine import TorchEngine

KEY = "a key of these tests"
TEXTS = ["nurse", "senior data engineer (m/f/d)", "", "Kältemechaniker"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def url(model):
    engine = TorchEngine(model, "tiny", dims=[8])
    with live(create_app(engine, finder=FakeFinder(engine), key=KEY)) as address:
        yield address


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_openai(client, model, form):
    options = {"encoding_format": form} if form else {}
    found = client.embeddings.create(model="tiny", input=TEXTS, **options)
    np.testing.assert_allclose(vectors_of(found), encode(model, TEXTS), atol=1e-6)
    assert found.usage.prompt_tokens == sum(map(len, TorchEngine(model, "tiny").tokens(TEXTS)))


def vectors_of(found):
    """The client decodes base64 where it asked for it on its own account."""
    rows = [each.embedding for each in found.data]
    return np.array(
        [np.frombuffer(base64.b64decode(row), "<f4") if isinstance(row, str) else row for row in rows],
        dtype=np.float32,
    )


def test_openai_dimensions_and_extras(client, model):
    found = client.embeddings.create(model="tiny", input="nurse", dimensions=8, extra_body={"truncate": False})
    whole = encode(model, ["nurse"])[:, :8]
    np.testing.assert_allclose(vectors_of(found), whole / np.linalg.norm(whole), atol=1e-6)
    with pytest.raises(openai.BadRequestError, match="Trained: 16, 8"):
        client.embeddings.create(model="tiny", input="nurse", dimensions=7)


def test_openai_models(client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"


def test_openai_knows_its_errors(client, url):
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(model="text-embedding-3-small", input="nurse")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        client.embeddings.create(model="tiny", input=[1, 2, 3])
    with pytest.raises(openai.UnprocessableEntityError):
        client.embeddings.create(model="tiny", input=[])
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key="another", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        stranger.embeddings.create(model="tiny", input="nurse")
    assert refused.value.code == "invalid_api_key"


def test_langchain_sends_texts_if_told_to(url, model):
    found = OpenAIEmbeddings(base_url=f"{url}/v1", api_key=KEY, model="tiny", check_embedding_ctx_length=False)
    np.testing.assert_allclose(found.embed_documents(TEXTS), encode(model, TEXTS), atol=1e-6)
    np.testing.assert_allclose(found.embed_query("nurse"), encode(model, ["nurse"])[0], atol=1e-6)


def test_langchain_by_default_sends_token_ids_and_is_told_the_cure(url, monkeypatch):
    letters = tiktoken.Encoding(
        "letters", pat_str=".", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={}
    )
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: letters)  # its own would be fetched from the network
    found = OpenAIEmbeddings(base_url=f"{url}/v1", api_key=KEY, model="tiny", max_retries=0)
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        found.embed_documents(["nurse"])


@pytest.fixture
def online(monkeypatch):
    """The hub's client refuses every address while it is told to be offline, loopback too."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("online")
def test_hugging_face(url, model):
    client = InferenceClient(base_url=url, token=KEY)
    np.testing.assert_allclose(client.feature_extraction("nurse"), encode(model, ["nurse"]), atol=1e-6)
    found = client.feature_extraction(TEXTS, normalize=True, truncate=True, dimensions=8)
    cut = encode(model, TEXTS)[:, :8]
    np.testing.assert_allclose(found, cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=1e-6)
    one, *others = encode(model, ["nurse", *TEXTS])
    np.testing.assert_allclose(client.sentence_similarity("nurse", TEXTS), others @ one, atol=1e-6)


@pytest.mark.usefixtures("online")
def test_hugging_face_by_route(url, model):
    client = InferenceClient(model=f"{url}/embed", token=KEY)
    np.testing.assert_allclose(client.feature_extraction("nurse"), encode(model, ["nurse"]), atol=1e-6)


@pytest.mark.parametrize("engine", ["tiny", "minilm"])
def test_a_request_alone_equals_the_same_in_a_crowd(engine, request, model):
    loaded = model if engine == "tiny" else request.getfixturevalue("minilm")
    texts = [f"{word} {i}" for i in range(10) for word in ("nurse", "engineer of data and of much else", "cook")]
    found = {}

    def ask(text):
        found[text] = post(text)

    def post(text):
        return np.array(http.post("/embed", json={"inputs": text}).json(), dtype=np.float32)

    with live(create_app(TorchEngine(loaded, engine))) as url, local(url) as http:
        threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        alone = np.concatenate([post(text) for text in texts])
    # Other company in a pass means other padding, hence another order of float32 sums.
    np.testing.assert_allclose(np.concatenate([found[text] for text in texts]), alone, atol=1e-5)


def local(url):
    """A client for loopback: no certificates to load."""
    return httpx.Client(base_url=url, verify=False, trust_env=False, timeout=60)


SERVER = """
import sys, time
from server_fixture import FakeEngine, fake_app
from tutelage.serve.running import configured
class Slow(FakeEngine):
    def encode(self, texts, **options):
        time.sleep(0.5)
        return super().encode(texts, **options)
server = configured(fake_app(engine=Slow()), "127.0.0.1", int(sys.argv[1]))
server.run()
"""


def test_sigterm_finishes_what_was_accepted(free_port):
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(free_port)], env=os.environ | {"PYTHONPATH": paths()})
    http = local(f"http://127.0.0.1:{free_port}")
    try:
        wait_until(lambda: http.get("/ready").status_code == 200)
        answers = []
        asking = threading.Thread(target=lambda: answers.append(http.post("/embed", json={"inputs": "a"}).status_code))
        asking.start()
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert answers == [200]
        assert process.wait(30) == -signal.SIGTERM
    finally:
        process.kill()
        process.wait()
        http.close()


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def paths():
    return os.pathsep.join(path for path in sys.path if path)


def wait_until(holds):
    for _ in range(1200):
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not come to pass within a minute")
