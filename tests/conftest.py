"""Shapes and types are checked on every call under test; real data and real weights are fixtures."""

import json
import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Several test processes (make test) share the cores: each, and what it starts, has its part of the threads.
os.environ.setdefault(
    "OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), 1))
)

from jaxtyping import install_import_hook

install_import_hook("tutelage", "beartype.beartype")

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer  # noqa: E402
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers  # noqa: E402
from transformers import (  # noqa: E402
    BertConfig,
    BertModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaTokenizer,
)

from tutelage.encode.models import MINILM, load_model  # noqa: E402
from tutelage.records.taxonomy import labels  # noqa: E402

pytest_plugins = ["browser.visiting"]  # not a conftest of its own: there would be two modules of that name

LETTERS = "abcdefghijklmnopqrstuvwxyzäöüßéñçğış0123456789-'/.?,"


@pytest.fixture(scope="session")
def minilm() -> SentenceTransformer:
    """The real all-MiniLM-L6-v2. Do not train it: take `minilm_copy`."""
    return load_model(MINILM, device="cpu")


@pytest.fixture
def minilm_copy() -> SentenceTransformer:
    return load_model(MINILM, device="cpu")


@pytest.fixture
def tiny(tmp_path: Path) -> SentenceTransformer:
    """A BERT of two layers, 16 wide, one token a letter, random weights: milliseconds a step. Dropout is on."""
    return tiny_model(tmp_path / "tiny")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model with both its ONNX forms. Do not change it: take a copy."""
    from tutelage.export.onnx import export_onnx

    folder = tmp_path_factory.mktemp("exported")
    tiny_model(folder / "parts").save_pretrained(str(folder / "model"))
    export_onnx(str(folder / "model"), int8=True)
    return folder / "model"


def tiny_model(folder: Path, seed: int = 0) -> SentenceTransformer:
    """Built from parts, saved and loaded: no hub, no real weights."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    transformer = Transformer(str(folder))
    return SentenceTransformer(modules=[transformer, Pooling(transformer.get_embedding_dimension())], device="cpu")


def tiny_xlmr(folder: Path, seed: int = 0) -> SentenceTransformer:
    """bge-m3 in small: an XLM-R of 2 layers, 64 wide, pieces learned from the sample; its first token, at length 1."""
    pieces = Tokenizer(models.Unigram())
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=800, special_tokens=special, unk_token="<unk>", show_progress=False)
    pieces.train_from_iterator((label.text for label in labels("sample:en,de,es,tr")), trainer)
    vocab = [(piece, score) for piece, score in json.loads(pieces.to_str())["model"]["vocab"]]
    tokenizer = XLMRobertaTokenizer(vocab=vocab, model_max_length=128)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=130, type_vocab_size=1, pad_token_id=1,
    )  # fmt: skip
    XLMRobertaModel(config).save_pretrained(folder)
    transformer = Transformer(str(folder))
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="cls")
    return SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data; tests that ask for it are skipped, and counted, where there is none."""
    named = os.environ.get("TUTELAGE_DATA")
    if not named:
        pytest.skip("needs real data: set TUTELAGE_DATA")
    return Path(named)


LOUD = {
    "TUTELAGE_DATA": "tests on real data were SKIPPED: TUTELAGE_DATA names no folder.",
    "needs a browser": "tests in a browser were SKIPPED: apt-get install chromium, pip install playwright.",
}


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly how many tests had no real data, or no browser, to run on."""
    for reason, line in LOUD.items():
        skipped = [r for r in terminalreporter.stats.get("skipped", []) if reason in str(r.longrepr)]
        if skipped:
            terminalreporter.write_line(f"!! {len(skipped)} {line}", red=True, bold=True)
