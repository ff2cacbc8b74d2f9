"""The types that a user's checker sees: hyperparameters have their defaults and their types."""

import subprocess
import sys
from pathlib import Path

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
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    found = [line for line in done.stdout.splitlines() if line.startswith("snippet.py")]
    assert [line.split(":")[1] for line in found] == ["3", "4", "7"], done.stdout
    assert "expected" in found[0] and "factors" in found[1] and "recommend" in found[2]
