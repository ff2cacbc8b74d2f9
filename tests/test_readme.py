"""README.md is true: its Python and its `recae` commands run, in the order they are read.

A block runs unless `<!-- not run -->` stands on a line of its own before it. In shell blocks only
`recae` commands run; for `make` the target must exist, for `python -m evaluation` the script; pip,
git and the like are skipped. All share one folder, which holds `plays.parquet` (planted: users of
four tastes) and `new_users.parquet`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from evaluation import __main__ as evaluation
from evaluation.peers.migrate import run as migrate
from evaluation.peers.migrate import side
from recae.apply.anomaly import profiles, reconstruction
from recae.cli import main
from recae.data.sets.catalog import Dataset

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "add-a-model.md"
OTHERS = ROOT / "docs" / "other-models.md"
SYNTHETIC = ROOT / "docs" / "synthetic-users.md"
COMPRESS = ROOT / "docs" / "compress-images.md"
EMBEDDINGS = ROOT / "docs" / "compress-embeddings.md"
ANOMALIES = ROOT / "docs" / "detect-anomalies.md"
IMAGES = ROOT / "docs" / "images.md"
MAPS = ROOT / "docs" / "maps.md"
STEER = ROOT / "docs" / "steer.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOT_RUN = "<!-- not run -->"
SHELL = ("console", "bash", "sh", "shell")
SKIPPED = ("pip", "git", "cd", "source", ".")

TASTES, USERS, ITEMS = 4, 300, 120


def blocks(text: str) -> list[tuple[int, str, str]]:
    """The blocks to run: their line in the file, language and content."""
    found = []
    for match in BLOCK.finditer(text):
        before, (language, content) = text[: match.start()], match.groups()
        marked = before.rstrip().endswith(NOT_RUN)
        if language in ("python", *SHELL) and not marked:
            found.append((before.count("\n") + 2, language, content))
    return found


def commands(block: str) -> list[str]:
    """The commands of a shell block, without prompts, comments and what they print."""
    lines = block.replace("\\\n", " ").splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line[2:] for line in lines if line.startswith("$ ")]
    parts = [shlex.split(line, comments=True) for line in lines]
    return [shlex.join(part).removeprefix(".venv/bin/") for part in parts if part]


def planted(users: range, rng: np.random.Generator) -> pd.DataFrame:
    """Histories in which a user's items are mostly those of one of four tastes."""
    rows = []
    size = ITEMS // TASTES
    for user in users:
        own = rng.choice(size, size=12, replace=False) + size * (user % TASTES)
        other = rng.choice(ITEMS, size=4, replace=False)
        items = rng.permutation(np.union1d(own, other))
        rows += [(user, item, 1_600_000_000 + 60 * step) for step, item in enumerate(items)]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    planted(range(USERS), rng).to_parquet(tmp_path / "plays.parquet")
    planted(range(USERS, USERS + 5), rng).to_parquet(tmp_path / "new_users.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_shell(command: str) -> None:
    words = shlex.split(command.removeprefix("python -m ") if "-m recae" in command else command)
    if words[0] == "recae":
        assert main(words[1:]) == 0, command
    elif words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for target in (word for word in words[1:] if "=" not in word):
            assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), command
    elif words[:3] == ["python", "-m", "evaluation"]:
        known = evaluation.suites() | evaluation.scripts() | {"list": ""}
        assert len(words) == 3 or words[3].replace("-", "_") in known, command
    else:
        skipped = words[0] in SKIPPED or words[:3] in (
            ["python", "-m", "pip"],
            ["python", "-m", "venv"],
        )
        assert skipped, f"README.md has a command that this test knows nothing of: {command}"


def run(page: Path) -> dict[str, Any]:
    """Runs a page; the names that its Python has defined."""
    found = blocks(page.read_text(encoding="utf-8"))
    assert found, f"{page.name} shows nothing that runs"
    names: dict[str, Any] = {"__name__": "readme"}
    for line, language, content in found:
        if language == "python":
            # Padded, so that a traceback names the line of the page.
            source = "\n" * (line - 1) + content
            exec(compile(source, str(page), "exec", dont_inherit=True), names)
        else:
            for command in commands(content):
                run_shell(command)
    return names


def fewer_users(monkeypatch: pytest.MonkeyPatch, every: int) -> None:
    """MovieLens has every second or third user only: a page says the same of them in less time."""
    load = recae.load_dataset

    def found(*asked: Any) -> Any:
        dataset = load(*asked)
        data = dataset.interactions
        frame = data.to_frame()
        some = frame[frame["user_id"].isin(data.users.ids[::every])]
        return replace(dataset, interactions=recae.Interactions.from_frame(some))

    monkeypatch.setattr(recae, "load_dataset", found)


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which computes what it was asked already only once: matrices by content."""
    kept: dict[Any, Any] = {}

    def found(matrix: Any, *rest: Any) -> Any:
        key = (matrix.data.tobytes(), matrix.indices.tobytes(), matrix.indptr.tobytes(), *rest)
        if key not in kept:
            kept[key] = function(matrix, *rest)
        return kept[key]

    return found


PAGES = [
    "data",
    "recommend",
    "export",
    "rules",
    "evaluate",
    "definitions",
    "tune",
    "weights",
    "command-line",
    "suites",
    "building-blocks",
    "explain",
    "speed",
    "tutorial-compare",
    "tutorial-nightly",
    "choose",
    "faq",
    "track",
]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_docs_runs(page: str, folder: Path) -> None:
    run(ROOT / "docs" / f"{page}.md")


def movielens(name: str) -> Dataset:
    """Stands for MovieLens 100K, which is not here: users of four tastes, with ratings and titles;
    50 and 181 are of one taste."""
    assert name == "ml-100k"
    rng = np.random.default_rng(0)
    frame = planted(range(1, USERS + 1), rng).replace({"item_id": {51: 181}})
    frame["weight"] = rng.integers(2, 6, len(frame))
    titles = [f"Film {item}" for item in range(200)]
    items = pd.DataFrame({"title": titles}, index=pd.Index(range(200), name="item_id"))
    return Dataset(name, recae.Interactions.from_frame(frame), items, card={})


def test_the_readme_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recae, "load_dataset", movielens)
    run(README)


@pytest.mark.parametrize("page", ["start", "tutorial-own-data", "tutorial-movielens", "concepts"])
def test_a_page_on_movielens_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recae, "load_dataset", movielens)
    top = run(ROOT / "docs" / f"{page}.md")["top"]
    items = [int(str(item).removeprefix("f/")) for item in top["item_id"]]
    size = ITEMS // TASTES  # user 1, and who has seen 50 and 181, is of the second taste
    assert sum(item // size == 1 for item in items) > len(items) / 2


def test_the_guide_to_a_model_of_ones_own_runs(folder: Path) -> None:
    try:
        names = run(GUIDE)
    finally:
        recae.MODELS.pop("logistic-dae", None)
    model, split = names["model"], names["split"]
    floor = recae.Popularity().fit(split.train)
    own, popular = (recae.evaluate(m, split.test, ["ndcg@20"])["ndcg@20"] for m in (model, floor))
    assert own > 1.2 * popular  # users have tastes: it has learnt something
    first = blocks(GUIDE.read_text(encoding="utf-8"))[0][2]
    assert len(first.strip().splitlines()) < 30


def test_the_guide_to_other_models_runs(folder: Path) -> None:
    names = run(OTHERS)
    assert names["als_report"]["ndcg@20"] > 0.1  # users have tastes


@pytest.mark.filterwarnings("ignore::recae.RecaeWarning")  # of users who are skipped
@pytest.mark.parametrize("peer", migrate.PEERS)
def test_the_side_of_recae_in_a_migration_guide_runs(peer: str, folder: Path) -> None:
    """The blocks and the calls in the tables; their outputs are compared by `migrate`."""
    plays = pd.read_parquet("plays.parquet")  # over years, not minutes
    plays["timestamp"] = 1_300_000_000 + 86_400 * (plays["timestamp"] - 1_600_000_000)
    plays.to_parquet("plays.parquet")
    page = migrate.page_of(peer)
    text = page.read_text(encoding="utf-8").replace("epochs=20", "epochs=2")  # quicker
    found = side.run(text, side.RECAE, str(page))
    assert sum(value is not None for value in found.values()) > 8


def test_the_guide_to_maps_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer_users(monkeypatch, 2)
    names = run(MAPS)
    assert names["drawn"].provenance["trustworthiness"] > 0.9
    assert names["found"].share > 1.2 * names["found"].chance
    assert names["shown"].coherence("digit").share > 0.5  # a tenth by chance
    assert {"films.html", "films.png", "people.html", "items.html", "users.png"} <= {
        path.name for path in folder.iterdir()
    }


def test_the_guide_to_synthetic_users_runs(folder: Path) -> None:
    names = run(SYNTHETIC)
    found = names["report"].measures
    assert names["report"].kept > 0.8  # users have tastes, and synthetic ones have them too
    assert found.loc["pair_correlation", "synthetic"] > found.loc["pair_correlation", "popularity"]
    assert found.loc["exact_copies", "synthetic"] == 0


def test_the_guide_to_images_runs(folder: Path) -> None:
    names = run(IMAGES)
    test, labels = names["test"], names["labels"]
    assert names["model"].explained_variance(test) > 1 - names["of_pca"]  # as the page says
    assert np.square(names["cleaned"] - test).mean() < np.square(names["spoiled"] - test).mean() / 2
    digit, turned, square = names["likely"]
    assert digit > turned > square
    assert (names["words"] != 0).sum(axis=1).max() == 6
    assert set(labels) == set(range(10))


def test_the_guide_to_compressing_images_runs(folder: Path) -> None:
    names = run(COMPRESS)
    codec, test, back = names["codec"], names["test"], names["back"]
    assert abs(codec.bytes_ - 14) < 0.28
    assert np.square(back - test.astype(float)).mean() < test.astype(float).var() / 5
    assert "cut short" in str(names["caught"])


def test_the_guide_to_compressing_embeddings_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer_users(monkeypatch, 3)
    names = run(EMBEDDINGS)
    assert names["small"].bytes_per_item <= 16
    assert names["after"]["ndcg@100"] > 0.95 * names["before"]["ndcg@100"]


def test_the_guide_to_anomalies_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHOICES", "RATINGS"):  # a third of the epochs catches them, too
        usual = getattr(reconstruction, name)
        monkeypatch.setattr(reconstruction, name, replace(usual, epochs=usual.epochs // 3))
    # The page looks at the same data twice, which gives the same measures: once is enough here.
    monkeypatch.setattr(profiles, "measure", once(profiles.measure))
    with pytest.warns(recae.RecaeWarning, match="fake"):
        names = run(ANOMALIES)
    assert names["caught"] > 0.9 and names["false_alarms"] < 0.03  # of 34 planted, 671 genuine
    assert (names["detector"].predict(names["odd"]) == -1).mean() > 0.9


def test_the_guide_to_steering_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = recae.apply.steer.find_tastes

    def found(*asked: Any, seed: int = 0, **options: Any) -> Any:
        # The page only prints how well the tastes of another seed agree: a few epochs will do.
        return find(*asked, seed=seed, epochs=20 if seed else None, **options)

    monkeypatch.setattr(recae.apply.steer, "find_tastes", found)
    measured = run(STEER)["measured"]
    shares = {genre: found["share"] for genre, found in measured.items()}
    for genre, share in shares.items():
        assert share.loc[2] > share.loc[0] > share.loc[-1], genre
    # The units depend on the rounding of the processor: a weak one may be among them.
    assert sum(share.loc[2] > 1.2 * share.loc[0] for share in shares.values()) >= 3


def test_blocks_and_commands_are_found() -> None:
    text = (
        "a\n```python\nx = 1\n```\n\n<!-- not run -->\n```python\n1 / 0\n```\n"
        "```text\nno\n```\n```console\n$ recae fit a \\\n  b  # why\nwhat it prints\n```\n"
    )
    assert blocks(text) == [
        (3, "python", "x = 1\n"),
        (14, "console", "$ recae fit a \\\n  b  # why\nwhat it prints\n"),
    ]
    assert commands(blocks(text)[1][2]) == ["recae fit a b"]


@pytest.mark.parametrize("command", ["make nothing", "python -m evaluation nothing", "rm -r x"])
def test_a_wrong_command_is_found(command: str) -> None:
    with pytest.raises(AssertionError):
        run_shell(command)


LINKING = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\]\([^)]*\)", "", heading).strip().lower()
        found.append(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return set(found)


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_local_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        place = page.parent / target if target else page
        if not place.exists() or (
            anchor and place.suffix == ".md" and anchor not in anchors(place)
        ):
            wrong.append(f"{target}#{anchor}")
    assert wrong == []


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `k`-core, and [a link](x.md)!\n```\n# no heading\n```\n", "utf-8")
    assert anchors(page) == {"a-k-core-and-a-link"}
