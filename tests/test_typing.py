"""The types that a user's checker sees: hyperparameters have their defaults and their types."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

SNIPPET = """\
import recae
recae.MultVAE(latent=3, hidden=(5,))
recae.EASE(l2="high")
recae.ALS(factors=3)
recae.load("model").transform([[1]])
recae.load("model", recae.Recommender).recommend(k=3)
recae.load("model", recae.Autoencoder).recommend(k=3)
"""


def test_a_users_checker_accepts_what_is_right_and_finds_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "snippet.py"
    path.write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", str(path)]  # with the cache that `make check` has left
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    errors = re.findall(r"snippet\.py:(\d+): error: (.*)", done.stdout)
    assert [line for line, _ in errors] == ["3", "4", "7"], done.stdout
    assert "expected" in errors[0][1] and "factors" in errors[1][1] and "recommend" in errors[2][1]
