"""Answers from many threads and processes on one folder equal those of a single thread."""

import multiprocessing
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import recae

NAMES = ("ease", "pure-svd", "als", "mult-vae", "item-knn")
HISTORIES = [[n, (7 * n + 3) % 40, (5 * n + 1) % 40, 999] for n in range(40)] + [[]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    rng = np.random.default_rng(5)
    matrix = sp.random(60, 40, density=0.2, random_state=rng, format="csr", dtype=np.float32)
    data = recae.Interactions.from_csr(matrix).binarised()
    place = tmp_path_factory.mktemp("models")
    kinds = {name: recae.MODELS[name] for name in NAMES}
    return {n: kind(**kind.small).fit(data).save(place / n) for n, kind in kinds.items()}


def answers(path: Path, verify: bool = True) -> list:
    model = recae.load(path, recae.Recommender, verify=verify)
    return [tuple(model.recommend_ids(history, 5)) for history in HISTORIES]


@pytest.mark.parametrize("name", NAMES)
def test_eight_threads_give_the_answers_of_one(folders, name):
    expected = answers(folders[name])
    model = recae.load(folders[name])  # fresh: what is made at the first call is made at once, too

    def ask(place: int) -> tuple:
        return tuple(model.recommend_ids(HISTORIES[place], 5))

    places = np.random.default_rng(1).integers(len(HISTORIES), size=800).tolist()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, places))
    assert all(one == expected[place] for one, place in zip(found, places, strict=True))


def _inherited(model: recae.Recommender) -> Sequence[tuple]:
    return [tuple(model.recommend_ids(history, 5)) for history in HISTORIES]


@pytest.mark.skipif(sys.platform != "linux", reason="fork is safe with threads on Linux only")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", ["ease", "als", "mult-vae"])
def test_four_forked_children_give_the_answers_of_their_parent(folders, name):
    expected = answers(folders[name])  # the parent has computed, and has threads, before it forks
    model = recae.load(folders[name])
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        sender.send(_inherited(model) == expected and answers(folders[name]) == expected)

    children = [context.Process(target=child) for _ in range(4)]
    for process in children:
        process.start()
    found = [receiver.poll(60) and receiver.recv() for _ in children]
    for process in children:
        process.join(60)
    assert found == [True] * 4


def test_a_spawned_worker_gives_the_same_answers(folders):
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        for name in NAMES:
            assert pool.apply(answers, (folders[name], False)) == answers(folders[name])


def test_a_change_of_a_loaded_model_does_not_reach_the_folder(folders):
    expected = answers(folders["ease"])
    model = recae.load(folders["ease"])
    model.weights_.zero_()  # a private page of this process
    assert answers(folders["ease"]) == expected
    for array in (model.items_.ids, recae.load(folders["als"]).item_embeddings_):
        with pytest.raises(ValueError):
            array[0] = 0


def test_the_import_graph_of_a_service_has_no_optional_package(folders):
    code = (
        "import sys, recae\n"
        "m = recae.load(sys.argv[1]); m.recommend_ids([1, 2])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('recae.')))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, folders["ease"]], capture_output=True, text=True, timeout=100
    )
    packages, rooms = (line.split() for line in found.stdout.splitlines())
    optional = {"matplotlib", "optuna", "sklearn", "implicit", "onnx", "onnxruntime", "fastapi"}
    assert not optional & {*packages}
    unneeded = ("recae.tuning", "recae.report", "recae.serve", "recae.evaluation", "recae.cli")
    assert not [name for name in rooms if name.startswith(unneeded)]
