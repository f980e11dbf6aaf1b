"""How many requests does the server answer, and how soon, beside a plain handler around ``model.encode``?

MiniLM, distinct ESCO labels (else the sample's, numbered) over loopback, 16 clients in a process of their own, each
asking again as soon as it is answered: requests of 1 label, then of 32. ``documented``: FastAPI and uvicorn with a
``def`` that calls `SentenceTransformer.encode`, as one writes it. ``ours``: `tutelage serve`'s application, torch
engine; ``int8``: the same over the export in 8 bits. All with the same number of threads.

Then too much: ten times as many clients as the queue holds requests for. Every request must be answered, by 200 or 429.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from measure.models import minilm
from measure.texts import every_text
from measure.turns import keep, take_turns, tell, work
from pydantic import BaseModel
from rich.table import Table

from tutelage.encode.models import MINILM
from tutelage.export.onnx import export_onnx
from tutelage.serve.app import create_app
from tutelage.serve.engine import TorchEngine, load_engine
from tutelage.serve.limits import Limits

LOAD = Path(__file__).parent / "measure" / "load.py"
EXPORTED = Path(gettempdir()) / "tutelage-benchmark-minilm"
MAX_LENGTH = 256  # tokens
QUEUE = 4096  # tokens that may wait under too much load: about 16 requests of 32 labels


class Wanted(BaseModel):
    input: list[str]


def bodies_of(requests: int, texts: int) -> list[str]:
    """Requests, no text in two of them."""
    found = list(dict.fromkeys(every_text()))
    numbered = (text if not turn else f"{text} {turn}" for turn in range(1 + requests * texts // len(found))
                for text in found)  # fmt: skip
    pool = list(islice(numbered, requests * texts))
    return [json.dumps({"input": pool[row : row + texts]}) for row in range(0, len(pool), texts)]


def documented_app() -> FastAPI:
    app, model = FastAPI(), minilm(MAX_LENGTH)

    @app.post("/v1/embeddings")
    def embeddings(wanted: Wanted):
        vectors = model.encode(wanted.input, normalize_embeddings=True, show_progress_bar=False)
        return {"data": [{"index": i, "embedding": vector.tolist()} for i, vector in enumerate(vectors)]}

    return app


def our_app(kind: str, limits: Limits | None = None) -> FastAPI:
    if kind == "torch":
        return create_app(TorchEngine(minilm(MAX_LENGTH), "minilm"), limits=limits)
    if not (EXPORTED / "onnx" / "manifest.json").is_file():
        export_onnx(MINILM, int8=True, out=EXPORTED)
    return create_app(load_engine(str(EXPORTED), kind), limits=limits)


APPS = {
    "documented": documented_app, "ours": partial(our_app, "torch"), "int8": partial(our_app, "onnx-int8"),
    "overloaded": partial(our_app, "torch", Limits(queue_tokens=QUEUE)),
}  # fmt: skip


def listening(app: FastAPI) -> int:
    """The port of a server in a thread of this process, which ends with it."""
    server = uvicorn.Server(
        uvicorn.Config(app, "127.0.0.1", 0, access_log=False, log_config=None, timeout_keep_alive=60)
    )
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return server.servers[0].sockets[0].getsockname()[1]


def side(name: str, clients: int, requests: int, texts: int):
    port, bodies = listening(APPS[name]()), bodies_of(requests, texts)
    given = json.dumps({"port": port, "clients": clients, "bodies": bodies})

    def run() -> dict[str, Any]:
        done = subprocess.run([sys.executable, str(LOAD)], input=given, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout)

    return run, {"threads": torch.get_num_threads()}


def middle(found: dict[str, Any]) -> dict[str, float]:
    """Medians over the turns."""
    return {key: statistics.median(run[key] for run in found["values"]) for key in ("per_second", "p50_ms", "p99_ms")}


def main(clients: int, sizes: list[tuple[int, int]], sides: list[str]) -> None:
    facts: dict[str, Any] = {"clients": clients, "model": MINILM, "device": "cpu"}
    cases: list[dict[str, Any]] = []
    table = Table("texts", "side", "requests/s", "p50 ms", "p99 ms", "x throughput", "p99 of documented")
    for texts, requests in sizes:
        case = {"clients": clients, "requests": requests, "texts": texts}
        turns = take_turns(__file__, sides, case)
        found = {name: middle(turns[name]) for name in sides}
        base = found["documented"]
        ratio = {name: found[name]["per_second"] / base["per_second"] for name in sides}
        cases.append({**case, "ratio": ratio, "middle": found, "sides": turns})
        keep("serve", facts | {"cases": cases})  # a broken run keeps its part
        for name in sides:
            mine = found[name]
            table.add_row(str(texts), name, *(f"{mine[key]:.1f}" for key in ("per_second", "p50_ms", "p99_ms")),
                          f"{ratio[name]:.2f}", f"{mine['p99_ms'] / base['p99_ms']:.2f}")  # fmt: skip
    texts, requests = sizes[-1]
    case = {"clients": 10 * clients, "requests": 10 * requests, "texts": texts}
    (run,) = take_turns(__file__, ["overloaded"], case, repeats=1)["overloaded"]["values"]
    keep("serve", facts | {"cases": cases, "overload": {**case, "queue_tokens": QUEUE, **run}})
    table.caption = f"{10 * clients} clients at once: {run['statuses']}, {run['lost']} lost"
    tell(table, {"cases": cases, "overload": run})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(partial(side, sys.argv[2], **json.loads(sys.argv[3])))
    else:
        options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        options.add_argument("--clients", type=int, default=16)
        options.add_argument("--texts", type=int, nargs="+", default=[1, 32], help="of one request")
        options.add_argument("--requests", type=int, nargs="+", default=[2000, 320], help="of one run, all clients")
        options.add_argument("--sides", nargs="+", default=["ours", "documented", "int8"])
        asked = options.parse_args()
        main(asked.clients, [*zip(asked.texts, asked.requests, strict=True)], asked.sides)
