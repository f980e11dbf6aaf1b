"""Two processes with half of a batch each give the gradient of one process with the whole, whatever graphs are kept."""

import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from sentence_transformers import SentenceTransformer
from torch.nn.parallel import DistributedDataParallel

from tutelage import GuidedLoss, GuideStore
from tutelage.encode.encoder import encode

ANCHORS = ["nurse", "welder", "coder", "cook", "teacher", "pilot", "baker", "judge"]
POSITIVES = ["rn", "solderer", "programmer", "chef", "tutor", "aviator", "pastry cook", "magistrate"]
NEGATIVES = ["doctor", "smith", "tester", "waiter", "pupil", "steward", "miller", "lawyer"]
SECOND = ["porter", "fitter", "analyst", "butler", "dean", "sailor", "grocer", "notary"]
NAMES, COLUMNS = ("anchor", "positive", "negative_1", "negative_2"), (ANCHORS, POSITIVES, NEGATIVES, SECOND)
OPTIONS = {"temperature": 0.2, "hardness_mode": "hard_negatives", "hardness_strength": 5.0, "token_budget": 24}


def gradients(model: SentenceTransformer, wrapped: object, folder: Path, rows: slice, budget: float) -> tuple:
    store = GuideStore.open(folder / "guide")
    loss = GuidedLoss(model, store, memory_budget=budget, **OPTIONS)
    batch = [dict(zip(NAMES, texts, strict=True)) for texts in list(zip(*COLUMNS, strict=True))[rows]]
    features = loss.collator()(batch)
    columns = [
        {key.removeprefix(f"{name}_"): value for key, value in features.items() if key.startswith(f"{name}_")}
        for name in batch[0]
    ]
    loss.model = wrapped
    value = loss(columns, None)
    value.backward()
    return value.detach(), {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


def work(rank: int, port: int, folder: Path, budget: float) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    model = SentenceTransformer(str(folder / "model"), device="cpu").eval().double()
    half = len(ANCHORS) // 2
    value, found = gradients(
        model, DistributedDataParallel(model, find_unused_parameters=True), folder,
        slice(rank * half, (rank + 1) * half), budget,
    )  # fmt: skip
    dist.all_reduce(value)
    if rank == 0:
        torch.save((value / 2, found), folder / "found.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize("budget", [0.0, 1.0])
def test_two_ranks_equal_one(tiny, tmp_path, budget) -> None:
    tiny.save_pretrained(str(tmp_path / "model"))
    texts = [text for column in COLUMNS for text in column]
    GuideStore.build(lambda given: encode(tiny, given), texts, tmp_path / "guide", name="tiny", dtype="float64")
    model = SentenceTransformer(str(tmp_path / "model"), device="cpu").eval().double()
    wanted = gradients(model, model, tmp_path, slice(None), budget)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(work, args=(port, tmp_path, budget), nprocs=2)
    value, found = torch.load(tmp_path / "found.pt")
    torch.testing.assert_close(value, wanted[0])
    assert found.keys() == wanted[1].keys()
    assert sum(each.abs().sum() for each in found.values()) > 0
    torch.testing.assert_close(found, wanted[1])
