"""How long do one and five whole epochs take with everything they need, and do both sides learn the same?

Ours: the guide store's building (inside the clock), then `GuidedTrainer` with `GuidedLoss` and `NoDuplicateBatches`.
Theirs, imported: `SentenceTransformerTrainer` with `GISTEmbedLoss` and the NO_DUPLICATES sampler ("documented"), and
with the fastest of `GISTEmbedLoss` and several settings of `CachedGISTEmbedLoss` under the faster of NO_DUPLICATES and
NO_DUPLICATES_HASHED ("best").
MiniLM student and guide, fp32, no dropout, no evaluation, nothing saved. The second question: over the same order of
batches the loss of every step must be the same to 1e-3.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

from measure.models import CACHED_SETTINGS, cached_options, minilm, trainable
from measure.texts import training_pairs
from measure.turns import Side, fastest, keep, take_turns, tell, work
from rich.table import Table
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss, GISTEmbedLoss
from transformers import PrinterCallback

from tutelage import GuidedLoss, GuideStore
from tutelage.sampling import NoDuplicateBatches
from tutelage.train.trainer import GuidedTrainer

TEMPERATURE, MAX_LENGTH = 0.05, 64
SAMPLERS = ("no_duplicates_hashed", "no_duplicates")  # the first is the faster one on large data
TRIAL_STEPS, CURVE_STEPS = 2, 50
TOLERANCE = 1e-3

Trainer = Callable[..., SentenceTransformerTrainer]


def training(make: Trainer, case: dict[str, Any]) -> Callable[..., Any]:
    """A whole training from the same weights each time it is called; the last loss comes back, or every one."""
    model = trainable(minilm(MAX_LENGTH), "fp32")
    begin = {name: weight.clone() for name, weight in model.state_dict().items()}
    _, pairs = training_pairs(case["rows"])

    def run(steps: int = case.get("steps", -1)) -> Any:
        model.load_state_dict(begin)
        losses: list[float] = []
        with TemporaryDirectory() as folder:
            args = SentenceTransformerTrainingArguments(
                folder, num_train_epochs=case["epochs"], max_steps=steps, learning_rate=5e-5, use_cpu=True,
                per_device_train_batch_size=case["batch_size"], dataloader_drop_last=True, save_strategy="no",
                report_to="none", disable_tqdm=True,
            )  # fmt: skip
            trainer = make(model, pairs, args, folder)
            trainer.remove_callback(PrinterCallback)
            trainer.loss.register_forward_hook(lambda module, features, loss: losses.append(loss.item()))
            trainer.train()
        return losses if case.get("steps") else losses[-1]

    return run


def ours(**case: Any):
    def make(model, pairs, args, folder):
        args.batch_sampler = NoDuplicateBatches
        texts = pairs["anchor"][:] + pairs["positive"][:]
        store = GuideStore.build(guide, texts, f"{folder}/guide", dtype="float32", progress=None)
        loss_of = GuidedLoss(model, store, temperature=TEMPERATURE)
        return GuidedTrainer(model=model, args=args, train_dataset=pairs, loss=loss_of)

    guide = minilm(MAX_LENGTH)
    run = training(make, case)
    run(TRIAL_STEPS)
    return run, {}


def theirs(sampler: Any, setting: tuple[int, int | None] | None, case: dict[str, Any]):
    """Their training with a batch sampler, and with the cached loss in this setting or the plain one."""
    guide = minilm(MAX_LENGTH).requires_grad_(False).eval()

    def make(model, pairs, args, folder):
        args.batch_sampler = sampler
        loss_of = GISTEmbedLoss(model, guide, temperature=TEMPERATURE)
        if setting:
            loss_of = CachedGISTEmbedLoss(model, guide, temperature=TEMPERATURE, **cached_options(setting))
        return SentenceTransformerTrainer(model=model, args=args, train_dataset=pairs, loss=loss_of)

    return training(make, case)


def documented(**case: Any):
    run = theirs(SAMPLERS[1], None, case)
    run(TRIAL_STEPS)
    return run, {}


def same_batches(**case: Any):
    return theirs(NoDuplicateBatches, None, case), {}


def search(**case: Any):
    def trial(sampler: str, setting: tuple[int, int | None] | None) -> Callable[[], Any]:
        return partial(theirs(sampler, setting, case), TRIAL_STEPS)

    setting = fastest({each: trial(SAMPLERS[0], each) for each in (None, *CACHED_SETTINGS)})
    return float, {"setting": setting, "sampler": fastest({each: trial(each, setting) for each in SAMPLERS})}


def best(**case: Any):
    setting, sampler = case["chosen"]["setting"], case["chosen"]["sampler"]
    run = theirs(sampler, setting, case)
    run(TRIAL_STEPS)
    return run, {"loss": "CachedGISTEmbedLoss" if setting else "GISTEmbedLoss", **case["chosen"]}


SIDES = {"ours": ours, "documented": documented, "best": best}


def curve(case: dict[str, Any]) -> dict[str, Any]:
    """The two losses of every step over the same batches, and how far they part."""
    case |= {"batch_size": min(case["batch_size"], 64)}
    found = take_turns(__file__, ["ours", "same_batches"], case | {"epochs": 1, "steps": CURVE_STEPS}, repeats=1)
    losses = {side: result["values"][0] for side, result in found.items()}
    apart = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
    return {"steps": CURVE_STEPS, **case, "max_apart": apart, "same": apart <= TOLERANCE, "losses": losses}


def main(rows: list[int], epochs: list[int], batch_size: int, repeats: int) -> None:
    cases: list[dict[str, Any]] = []
    facts = {"texts": training_pairs(1)[0], "temperature": TEMPERATURE, "cases": cases}
    table = Table(
        "epochs", "pairs", "ours s", "documented s", "best s", "x documented", "x best", "best loss", "sampler"
    )
    trial = Side(__file__, "search", {"rows": rows[0], "epochs": 1, "batch_size": batch_size})
    trial.close()
    for pairs, passes in zip(rows, epochs, strict=True):
        case = {"rows": pairs, "epochs": passes, "batch_size": batch_size, "chosen": trial.facts}
        found = take_turns(__file__, list(SIDES), case, repeats)
        ratio = {side: result["seconds"] / found["ours"]["seconds"] for side, result in found.items()}
        cases.append(case | {"ratio": ratio, "sides": found})
        keep("epoch", facts)  # a broken run keeps its part
        cells = [f"{found[side]['seconds']:.1f}" for side in SIDES]
        cells += [f"{ratio[side]:.2f}" for side in ("documented", "best")]
        table.add_row(str(passes), str(pairs), *cells, found["best"]["loss"], found["best"]["sampler"])
    compared = curve({"rows": rows[0], "batch_size": batch_size})
    table.caption = f"Loss over {CURVE_STEPS} steps of the same batches: at most {compared['max_apart']:.1e} apart, "
    table.caption += f"{'within' if compared['same'] else 'NOT WITHIN'} {TOLERANCE}."
    keep("epoch", facts | {"curve": compared})
    tell(table, {"cases": cases, "curve": compared})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        sides = SIDES | {"search": search, "same_batches": same_batches}
        work(partial(sides[sys.argv[2]], **json.loads(sys.argv[3])), warm_up=False)
    else:
        options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        options.add_argument("--epochs", type=int, nargs="+", default=[1, 5])
        options.add_argument("--rows", type=int, nargs="+", default=[1024, 256], help="pairs, one for each of --epochs")
        options.add_argument("--batch-size", type=int, default=128)
        options.add_argument("--repeats", type=int, default=3)
        given = options.parse_args()
        main(given.rows, given.epochs, given.batch_size, given.repeats)
