"""Models as ONNX files: the same lists as the model in ONNX Runtime, for every kind of history."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, Interactions, RecaeWarning
from recae.cli import main
from recae.errors import NotFittedError, StorageError
from recae.recommend.onnx import file
from tests.laws import CLOSE

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

NOT_AS_ONNX = {"random"}
WRITTEN = [name for name in recae.MODELS if name not in NOT_AS_ONNX]
HISTORIES = [[3, 1, 4], [], [0], [7, 2, 9, 11, 5], [*range(12)], [11, 3]]


@pytest.fixture(scope="module")
def ratings() -> Interactions:
    """60 users of 12 items, with weights from 1 to 5."""
    generator = np.random.default_rng(5)
    matrix = sp.random(60, 12, 0.4, format="csr", random_state=7, dtype=np.float32)
    matrix.data[:] = generator.integers(1, 6, matrix.nnz)
    return Interactions.from_csr(matrix)


def opened(path: Path) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def ragged(rows: list[list[int]]) -> dict[str, np.ndarray]:
    """The inputs of the file for lists of columns."""
    lengths = [len(row) for row in rows]
    items = [item for row in rows for item in row]
    return {"items": np.array(items, np.int64), "offsets": np.cumsum([0, *lengths], dtype=np.int64)}


def csr(rows: list[list[int]], n_items: int, weights: list[list[float]] | None = None) -> Any:
    """The same lists as a scipy matrix."""
    matrix = sp.lil_matrix((len(rows), n_items), dtype=np.float32)
    for number, row in enumerate(rows):
        for place, item in enumerate(row):
            matrix[number, item] = weights[number][place] if weights else 1
    return matrix.tocsr()


def assert_lists_of(model: Any, matrix: Any, k: int, found: Any, scores: Any, **rules: Any) -> None:
    """The lists are those of the model, up to what scores may differ between batches."""
    expected = model.recommend_array(matrix, k, on_unknown="popular", **rules)
    assert found.shape == expected.items.shape
    np.testing.assert_array_equal(found < 0, expected.items < 0)
    np.testing.assert_array_equal(np.isneginf(scores), found < 0)
    own = model.score(matrix)
    own[np.diff(matrix.indptr) == 0] = model.item_counts_
    largest = np.abs(np.where(np.isfinite(own), own, 0)).max(axis=1, keepdims=True)
    listed = np.take_along_axis(own, np.maximum(found, 0), axis=1)
    filled = found >= 0
    for other in (listed, expected.scores):
        off = np.abs(np.where(filled, scores, 0) - np.where(filled, other, 0))
        assert (off <= 2 * CLOSE * largest).all()
    for row in found.tolist():
        kept = [item for item in row if item >= 0]
        assert len({*kept}) == len(kept)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.filterwarnings("ignore::recae.errors.RecaeWarning")  # of ones for weights
def test_the_lists_are_those_of_the_model(name: str, ratings: Interactions, tmp_path: Path) -> None:
    cls = recae.MODELS[name]
    model = cls(**cls.small).fit(ratings)
    path = model.to_onnx(tmp_path / "model.onnx")
    onnx.checker.check_model(str(path), full_check=True)
    assert {node.domain for node in onnx.load(str(path)).graph.node} == {""}
    session = opened(path)
    for k in (1, 5, 30):
        items, scores = session.run(None, {**ragged(HISTORIES), "k": np.array([k])})
        assert items.dtype == np.int64 and scores.dtype == np.float32
        assert_lists_of(model, csr(HISTORIES, 12), k, items, scores)


def lists(session: Any, rows: list[list[int]], **inputs: Any) -> tuple[np.ndarray, np.ndarray]:
    found = session.run(["top_items", "top_scores"], {**ragged(rows), **inputs})
    return found[0], found[1]


@pytest.fixture(scope="module")
def ease(ratings: Interactions) -> Any:
    return recae.EASE(l2=2.0).fit(ratings)


@pytest.fixture(scope="module")
def session(ease: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return opened(ease.to_onnx(tmp_path_factory.mktemp("onnx") / "model.onnx"))


def test_scores_are_sums_of_rows_of_the_weights(ease: Any, session: Any) -> None:
    items, scores = lists(session, [[3, 1, 4]], k=np.array([9]))
    summed = ease.weights_.numpy()[[1, 3, 4]].astype(np.float64).sum(axis=0)
    left = [item for item in np.argsort(-summed) if item not in (1, 3, 4)]
    assert items.tolist() == [left]
    np.testing.assert_allclose(scores[0], summed[left], rtol=1e-5, atol=1e-6)


def test_ten_items_of_all_without_further_inputs(ease: Any, session: Any) -> None:
    items, scores = lists(session, [[3], [0, 1, 2]])
    assert items.shape == scores.shape == (2, 10)
    assert (items[0] >= 0).all() and (items[1] == -1).sum() == 1  # 9 of 12 are left


def test_order_repetitions_and_unknown_items_do_not_matter(session: Any) -> None:
    plain = lists(session, [[1, 3, 4], []])
    others = [4, -1, 3, 3, 1, 12, 2**40, 4, -(2**40)]
    for found, expected in zip(lists(session, [others, [-1, 99]]), plain, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_padded_histories_are_the_same(session: Any) -> None:
    padded = np.array([[1, 3, 4], [7, -1, -1], [-1, -1, -1]])
    inputs = {"items": padded.ravel(), "offsets": np.arange(0, padded.size + 1, 3)}
    found = session.run(None, inputs)
    for one, other in zip(found, lists(session, [[1, 3, 4], [7], []]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_entries_outside_the_offsets_belong_to_no_row(session: Any) -> None:
    inputs = {"items": np.array([8, 1, 3, 9]), "offsets": np.array([1, 2, 3])}
    for one, other in zip(session.run(None, inputs), lists(session, [[1], [3]]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_row_depends_on_its_history_alone(session: Any) -> None:
    together = lists(session, HISTORIES)
    for number, history in enumerate(HISTORIES):
        for one, all_of_them in zip(lists(session, [history]), together, strict=True):
            np.testing.assert_array_equal(one[0], all_of_them[number])


def test_no_rows(session: Any) -> None:
    items, scores = lists(session, [])
    assert items.shape == scores.shape == (0, 10)


def test_only_allowed_items_are_listed(ease: Any, session: Any) -> None:
    allowed = np.zeros((1, 12), dtype=bool)
    allowed[0, [2, 3, 5]] = True
    items, scores = lists(session, HISTORIES, allowed=allowed)
    assert {*np.unique(items)} <= {-1, 2, 3, 5}
    ids = ease.items_.decode([2, 3, 5])
    assert_lists_of(ease, csr(HISTORIES, 12), 10, items, scores, items=ids)
    each = np.zeros((2, 12), dtype=bool)
    each[0, 7] = each[1, 8] = True
    items, _ = lists(session, [[1], [1]], allowed=each, k=np.array([2]))
    assert items.tolist() == [[7, -1], [8, -1]]


def test_equal_scores_are_in_the_order_of_the_items(tmp_path: Path) -> None:
    matrix = sp.csr_matrix(np.array([[1, 1, 0, 1, 1, 1], [0, 1, 1, 1, 0, 1.0]]))
    data = Interactions.from_csr(matrix, items=["f", "e", "d", "c", "b", "a"])
    path = recae.Popularity().fit(data).to_onnx(tmp_path / "popular.onnx")
    items, scores = lists(opened(path), [[], [1]], k=np.array([6]))
    assert items.tolist() == [[1, 3, 5, 0, 2, 4], [3, 5, 0, 2, 4, -1]]
    assert scores[0].tolist() == [2, 2, 2, 1, 1, 1]


TRANSFORMS = ["none", "log1p", "bm25", "binarise", "quantile"]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ["ease", "als", "mult-dae"])
@pytest.mark.filterwarnings("ignore::recae.errors.RecaeWarning")  # of ones for weights
def test_weights_are_used_as_by_the_model(
    name: str, transform: str, ratings: Interactions, tmp_path: Path
) -> None:
    cls = recae.MODELS[name]
    used = "target" if name == "als" else "both"
    model = cls(**cls.small, weights=used, weight_transform=transform).fit(ratings)
    session = opened(model.to_onnx(tmp_path / "model.onnx"))
    weights = [[1.0 + place * (item % 3) for place, item in enumerate(row)] for row in HISTORIES]
    flat = np.array([weight for row in weights for weight in row], np.float32)
    given = {} if transform == "binarise" else {"weights": flat}
    items, scores = lists(session, HISTORIES, **given)
    assert_lists_of(model, csr(HISTORIES, 12, weights), 10, items, scores)
    assert_lists_of(model, csr(HISTORIES, 12), 10, *lists(session, HISTORIES))  # ones


def test_of_a_repeated_item_the_last_weight_counts(ratings: Interactions, tmp_path: Path) -> None:
    model = recae.EASE(l2=2.0, weights="both").fit(ratings)
    session = opened(model.to_onnx(tmp_path / "model.onnx"))
    twice = lists(session, [[3, 1, 3]], weights=np.array([9, 2, 4], np.float32))
    once = lists(session, [[1, 3]], weights=np.array([2, 4], np.float32))
    np.testing.assert_array_equal(twice[1], once[1])


def test_a_loaded_model_writes_the_same_file(ease: Any, tmp_path: Path) -> None:
    loaded = recae.load(ease.save(tmp_path / "saved"), recae.Recommender)
    first = ease.to_onnx(tmp_path / "first.onnx").read_bytes()
    second = loaded.to_onnx(tmp_path / "first.onnx", overwrite=True).read_bytes()
    assert first == second


def test_the_ids_are_beside_the_file(ratings: Interactions, tmp_path: Path) -> None:
    names = [f"ü{number} \U0001f3b5" for number in range(12)]
    model = recae.EASE().fit(Interactions.from_csr(ratings.matrix, items=names))
    path = model.to_onnx(tmp_path / "model.onnx")
    about = opened(path).get_modelmeta().custom_metadata_map
    beside = path.with_name(about["items_file"])
    assert beside.name == "model.items.json"
    assert json.loads(beside.read_text(encoding="utf-8"))["item_ids"] == names
    assert sha256(beside.read_bytes()).hexdigest() == about["items_sha256"]
    assert about["kind"] == "EASE" and about["fingerprint"] == model.fingerprint()
    assert json.loads(about["hyperparameters"])["l2"] == model.l2
    assert about["recae_version"] == recae.__version__


def test_large_weights_get_a_file_of_their_own(
    ease: Any, session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    monkeypatch.setattr(file, "LARGE", 64)
    monkeypatch.setattr(file, "MOST", 100)
    ease.to_onnx(path)
    assert names(tmp_path) == ["model.items.json", "model.onnx", "model.onnx.data"]
    for found, expected in zip(
        lists(opened(path), HISTORIES), lists(session, HISTORIES), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    onnx.checker.check_model(str(path), full_check=True)
    monkeypatch.setattr(file, "MOST", 1 << 30)
    ease.to_onnx(path, overwrite=True)  # the weights fit: their own file is not left behind
    assert names(tmp_path) == ["model.items.json", "model.onnx"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_not_replaced_unless_asked(ease: Any, tmp_path: Path) -> None:
    path = ease.to_onnx(tmp_path / "model.onnx")
    before = path.read_bytes()
    with pytest.raises(StorageError) as caught:
        ease.to_onnx(path)
    assert caught.value.parameter == "overwrite"
    path.unlink()
    with pytest.raises(StorageError):  # the file of ids is there
        ease.to_onnx(path)
    assert ease.to_onnx(path, overwrite=True).read_bytes() == before


@pytest.mark.parametrize("name", ["model.bin", "model", "model.onnx.data"])
def test_the_ending_is_checked(ease: Any, name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        ease.to_onnx(tmp_path / name)
    assert caught.value.parameter == "path"


def test_what_cannot_be_written(ratings: Interactions, ease: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Random"):
        recae.Random().fit(ratings).to_onnx(tmp_path / "model.onnx")
    with pytest.raises(ConfigError, match="Random"):
        members = ("EASE()", "Random()")
        recae.Ensemble(members=members).fit(ratings).to_onnx(tmp_path / "model.onnx")
    with pytest.raises(NotFittedError):
        recae.EASE().to_onnx(tmp_path / "model.onnx")
    with pytest.raises(StorageError):
        ease.to_onnx(tmp_path / "nowhere" / "model.onnx")
    assert names(tmp_path) == []


def test_a_file_that_differs_is_not_kept(ratings: Interactions, tmp_path: Path) -> None:
    class Wrong(recae.EASE):
        def _onnx_scores(self, histories: Any) -> Any:
            return super()._onnx_scores(histories) * 1.001

    class Broken(recae.EASE):
        def _onnx_scores(self, histories: Any) -> Any:
            return super()._onnx_scores(histories).reshaped([7], [-1])

    for cls in (Wrong, Broken):
        with pytest.raises(StorageError, match=cls.__name__):
            cls(l2=2.0).fit(ratings).to_onnx(tmp_path / "model.onnx")
        assert names(tmp_path) == []


def test_the_extra_may_be_missing(
    ease: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.warns(RecaeWarning, match="onnx"):
        ease.to_onnx(tmp_path / "unchecked.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnx.helper", None)
    with pytest.raises(ConfigError, match=r"recae\[onnx\]"):
        ease.to_onnx(tmp_path / "model.onnx")
    assert names(tmp_path) == ["unchecked.items.json", "unchecked.onnx"]


BLOCKED = """
import runpy, sys
for name in ("torch", "recae", "pandas", "scipy", "onnx"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_example_needs_neither_recae_nor_torch(ratings: Interactions, tmp_path: Path) -> None:
    ids = [f"item {number}" for number in range(12)]
    model = recae.EASE(l2=2.0).fit(Interactions.from_csr(ratings.matrix, items=ids))
    path = model.to_onnx(tmp_path / "model.onnx")
    example = Path(__file__).parents[3] / "docs" / "deploy" / "onnx_example.py"
    command = [sys.executable, "-c", BLOCKED, str(example), str(path), "item 3", "item 7", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    printed = [line.split("\t") for line in done.stdout.splitlines()]
    expected = model.recommend(history={0: ["item 3", "item 7"]}, k=10)
    assert [item for item, _ in printed] == expected["item_id"].tolist()
    np.testing.assert_allclose([float(s) for _, s in printed], expected["score"], atol=1e-4)
    assert done.stderr == ""


def test_the_example_refuses_ids_of_another_model(
    ratings: Interactions, ease: Any, tmp_path: Path
) -> None:
    path = ease.to_onnx(tmp_path / "model.onnx")
    beside = tmp_path / "model.items.json"
    written = beside.read_bytes()
    example = Path(__file__).parents[3] / "docs" / "deploy" / "onnx_example.py"
    for damaged in (written[:-20], written.replace(b"3, 4", b"4, 3"), b""):
        beside.write_bytes(damaged)
        command = [sys.executable, "-c", BLOCKED, str(example), str(path), "3"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 1 and done.stdout == "" and beside.name in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["ease", "als", "mult-vae", "item-knn"])
def test_edges_of_the_inputs(name: str, ratings: Interactions, tmp_path: Path) -> None:
    cls = recae.MODELS[name]
    session = opened(cls(**cls.small).fit(ratings).to_onnx(tmp_path / "model.onnx"))
    items, scores = lists(session, [[1], []], k=np.array([0]))
    assert items.shape == scores.shape == (2, 0)
    for rows in (1, 2):
        nothing = np.zeros((rows, 12), dtype=bool)
        items, scores = lists(session, [[1], []], k=np.array([3]), allowed=nothing)
        assert (items == -1).all() and np.isneginf(scores).all() and items.shape == (2, 3)
    items, _ = lists(session, [[*range(12)]], k=np.array([2]))
    assert items.tolist() == [[-1, -1]]
    items, _ = lists(session, [], k=np.array([4]), allowed=np.ones((1, 12), dtype=bool))
    assert items.shape == (0, 4)
    more = lists(session, [[1]], allowed=np.ones((2, 12), dtype=bool))
    for one, other in zip(more, lists(session, [[1]]), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(Exception, match="TopK"):
        lists(session, [[1]], k=np.array([-1]))


def test_the_command_line_writes_the_same(ease: Any, tmp_path: Path) -> None:
    ease.save(tmp_path / "saved")
    written = [tmp_path / "one.onnx", tmp_path / "two.onnx"]
    ease.to_onnx(written[0])
    assert main(["onnx", str(tmp_path / "saved"), str(written[1]), "--quiet"]) == 0
    one, two = (lists(opened(path), HISTORIES) for path in written)
    np.testing.assert_array_equal(one[1], two[1])
    assert main(["onnx", str(tmp_path / "saved"), str(written[1]), "--quiet"]) == 4
