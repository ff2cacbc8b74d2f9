"""Checkpoints: a run that was killed goes on to the same bits; nothing else is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import recae
from recae import ConfigError, DataError, Interactions
from recae.errors import StorageError, TrainingInterrupted
from recae.estimators.saved import write_arrays
from recae.nn import AutoencoderNet
from recae.training import Epoch
from recae.training.checkpoint import KEY

DATA = Interactions.from_csr(sp.random(60, 30, 0.2, format="csr", random_state=1))
FOLD = recae.data.splits.holdout_pairs(DATA, 0.3, seed=3)
MODELS: list[Any] = [
    lambda **more: recae.MultDAE(latent=8, epochs=6, batch_size=16, **more),
    lambda **more: recae.MultVAE(latent=8, hidden=(12,), epochs=6, batch_size=16, **more),
    # Two optimisers in turns; draws of its own; halves of its own, and a falling learning rate.
    lambda **more: recae.RecVAE(latent=4, width=8, depth=2, epochs=6, encoder_epochs=2, **more),
    lambda **more: recae.RecVAE(
        latent=4, width=8, depth=2, epochs=6, encoder_epochs=2, slim_every=1, slim_l2=2.0, **more
    ),
    lambda **more: recae.ELSA(latent=4, epochs=6, batch_size=16, **more),
    lambda **more: recae.CDAE(latent=4, epochs=6, negatives=2, optimiser="adagrad", **more),
    lambda **more: recae.FLVAE(
        latent=4, width=8, depth=2, decoder_depth=2, epochs=6, milestones=(1, 3), **more
    ),
    lambda **more: recae.HVamp(
        latent=3, width=8, components=4, epochs=6, optimiser="normalised-adam", **more
    ),
]


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


def killer(after: int) -> Any:
    def callback(epoch: Epoch) -> None:
        if epoch.number == after:
            raise Killed

    return callback


def numbers(model: Any) -> list[tuple[int, float, dict[str, float]]]:
    return [(e.number, e.loss, dict(e.metrics)) for e in model.epochs_]


@pytest.fixture
def every_epoch(monkeypatch) -> None:
    """Also after epochs so quick that their state would not be written."""
    monkeypatch.setattr("recae.training.checkpoint.SHARE", float("inf"))


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make().name)
@pytest.mark.parametrize("validated", [False, True])
def test_a_killed_run_goes_on_to_the_same_bits(make, validated, tmp_path, every_epoch) -> None:
    fold = FOLD.validation if validated else None
    whole = make().fit(FOLD.train, fold, seed=5)
    for after in (1, 2, 5):
        path = tmp_path / f"run {after}"
        with pytest.raises(Killed):
            # The state of the epoch before is on disk when the callback of this one is called.
            make().fit(FOLD.train, fold, seed=5, checkpoint=path, callbacks=[killer(after + 1)])
        seen: list[Epoch] = []
        resumed = make().fit(FOLD.train, fold, seed=5, checkpoint=path, callbacks=[seen.append])
        assert [epoch.number for epoch in seen] == list(range(after + 1, len(whole.epochs_) + 1))
        assert numbers(resumed) == numbers(whole)
        for name, tensor in whole._arrays().items():
            assert torch.equal(tensor, resumed._arrays()[name]), name


def test_a_run_killed_many_times_goes_on_to_the_same_bits(tmp_path, every_epoch) -> None:
    whole = MODELS[1]().fit(FOLD.train, FOLD.validation)
    for after in (2, 3, 4):
        with pytest.raises(Killed):
            MODELS[1]().fit(
                FOLD.train, FOLD.validation, checkpoint=tmp_path / "c", callbacks=[killer(after)]
            )
    resumed = MODELS[1]().fit(FOLD.train, FOLD.validation, checkpoint=tmp_path / "c")
    np.testing.assert_array_equal(resumed.score(FOLD.train), whole.score(FOLD.train))


def test_a_run_short_of_memory_goes_on_in_the_same_parts(
    tmp_path, every_epoch, monkeypatch
) -> None:
    """Parts draw their noise one after the other: other parts would give other bits."""
    model = MODELS[1]
    forward = AutoencoderNet.forward

    def short(net: Any, batch: Any, noise: Any = None) -> Any:
        if len(batch) > 6:
            raise RuntimeError("CUDA out of memory.")
        return forward(net, batch, noise)

    with (
        monkeypatch.context() as full,
        pytest.warns(recae.RecaeWarning, match="users .*memory .*cpu"),
    ):
        full.setattr(AutoencoderNet, "forward", short)
        whole = model().fit(DATA, seed=2)
        with pytest.raises(Killed):
            model().fit(DATA, seed=2, checkpoint=tmp_path / "state", callbacks=killer(2))
    resumed = model().fit(DATA, seed=2, checkpoint=tmp_path / "state")  # memory is free again
    assert numbers(resumed) == numbers(whole)
    assert np.array_equal(resumed.score(DATA), whole.score(DATA))


def test_a_finished_run_is_not_trained_again(tmp_path) -> None:
    first = MODELS[0]().fit(DATA, checkpoint=tmp_path / "c")
    seen: list[Epoch] = []
    again = MODELS[0]().fit(DATA, checkpoint=tmp_path / "c", callbacks=[seen.append])
    assert seen == [] and numbers(again) == numbers(first)
    np.testing.assert_array_equal(again.score(DATA), first.score(DATA))


def test_a_run_that_patience_or_a_callback_ended_stays_ended(tmp_path) -> None:
    patient = MODELS[0](lr=1e-9, patience=1)
    # At such a rate no weight changes enough to change a list: epoch 2 is no better than epoch 1.
    patient.fit(FOLD.train, FOLD.validation, checkpoint=tmp_path / "patience")
    assert len(patient.epochs_) == 2
    again = MODELS[0](lr=1e-9, patience=1)
    again.fit(FOLD.train, FOLD.validation, checkpoint=tmp_path / "patience")
    assert numbers(again) == numbers(patient)
    stop = lambda epoch: epoch.number == 3  # noqa: E731
    stopped = MODELS[0]().fit(DATA, checkpoint=tmp_path / "callback", callbacks=[stop])
    again = MODELS[0]().fit(DATA, checkpoint=tmp_path / "callback")
    assert len(stopped.epochs_) == 3 and numbers(again) == numbers(stopped)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": lambda: recae.MultVAE(latent=8)}, "model 'mult-dae' there, 'mult-vae' here"),
        ({"model": lambda: MODELS[0](lr=0.5)}, "hyperparameters lr 0.001 there, 0.5 here"),
        ({"seed": 1}, "seed 0 there, 1 here"),
        ({"data": FOLD.train}, "data '[0-9a-f]{16}' there"),
        ({"validation": FOLD.validation}, "validation None .*, .* here"),
    ],
)
def test_another_run_is_refused_and_kept(tmp_path, change, message) -> None:
    path = tmp_path / "c"
    MODELS[0]().fit(DATA, checkpoint=path)
    before = path.read_bytes()
    options: dict[str, Any] = {"model": MODELS[0], "data": DATA, "validation": None, "seed": 0}
    options |= change
    with pytest.raises(ConfigError, match=f"c is .*another run: .*{message}.*delete"):
        options.pop("model")().fit(**options, checkpoint=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"text", b"\x08" + b"\x00" * 90])
def test_a_file_that_is_no_checkpoint_is_refused_and_kept(tmp_path, content) -> None:
    (tmp_path / "thesis").write_bytes(content)
    with pytest.raises(DataError, match="thesis .*checkpoint.*damaged"):
        MODELS[0]().fit(DATA, checkpoint=tmp_path / "thesis")
    assert (tmp_path / "thesis").read_bytes() == content


def test_a_checkpoint_cut_short_or_newer_or_foreign_is_refused(tmp_path) -> None:
    path = tmp_path / "c"
    MODELS[0]().fit(DATA, checkpoint=path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(DataError, match="c .*checkpoint.*damaged"):
        MODELS[0]().fit(DATA, checkpoint=path)
    path.write_bytes(whole)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()[KEY])
    save_file(load_file(path), path, {KEY: json.dumps(header | {"format": 7})})
    with pytest.raises(DataError, match="c .*format 7; .* format 3"):
        MODELS[0]().fit(DATA, checkpoint=path)
    save_file({"weights": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="c .*checkpoint.*damaged"):
        MODELS[0]().fit(DATA, checkpoint=path)


def test_paths_that_cannot_be_written_are_refused_before_training(tmp_path) -> None:
    def trained(epoch: Epoch) -> None:
        raise AssertionError("it should not have come to this")

    for path, message in (
        (tmp_path / "absent" / "c", "folder .*absent.* exist"),
        (tmp_path, "directory: .*file"),
    ):
        with pytest.raises(StorageError, match=message):
            MODELS[0]().fit(DATA, checkpoint=path, callbacks=[trained])


def test_another_number_of_threads_is_told(tmp_path) -> None:
    path = tmp_path / "c"
    MODELS[0]().fit(DATA, checkpoint=path)
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()[KEY])
    versions = header["versions"] | {"threads": 99}
    save_file(load_file(path), path, {KEY: json.dumps(header | {"versions": versions})})
    with pytest.warns(recae.RecaeWarning, match="threads 99 there, .* differ"):
        MODELS[0]().fit(DATA, checkpoint=path)


def test_quick_epochs_are_not_all_written(tmp_path, monkeypatch) -> None:
    written = []
    monkeypatch.setattr("recae.training.checkpoint.SHARE", 1e-9)
    monkeypatch.setattr(
        "recae.training.checkpoint.write_arrays", lambda *a: (written.append(1), write_arrays(*a))
    )
    MODELS[0]().fit(DATA, checkpoint=tmp_path / "c")
    assert len(written) == 2  # the first epoch and the last one
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def interrupt(after: int) -> Any:
    def callback(epoch: Epoch) -> None:
        if epoch.number == after:
            raise KeyboardInterrupt

    return callback


def test_ctrl_c_keeps_the_best_state() -> None:
    model = MODELS[1](patience=99)
    with pytest.raises(TrainingInterrupted, match="after 4 epochs.*best"):
        model.fit(FOLD.train, FOLD.validation, callbacks=[interrupt(4)])
    best = max(model.epochs_, key=lambda e: e.metrics["ndcg@100"]).number
    kept = MODELS[1](patience=99)
    kept.fit(FOLD.train, callbacks=[lambda epoch: epoch.number == best])
    np.testing.assert_array_equal(model.score(FOLD.train), kept.score(FOLD.train))
    assert model.recommend(0, k=3)["item_id"].size == 3


def test_ctrl_c_before_the_first_epoch_leaves_the_model_unfitted(monkeypatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("recae.training.loop._epoch", interrupted)
    model = MODELS[0]()
    with pytest.raises(KeyboardInterrupt) as caught:
        model.fit(DATA)
    assert not isinstance(caught.value, TrainingInterrupted)
    with pytest.raises(recae.errors.NotFittedError):
        model.recommend(0)


def test_the_file_holds_no_pickle(tmp_path: Path) -> None:
    MODELS[0]().fit(DATA, checkpoint=tmp_path / "c")
    names = set(load_file(tmp_path / "c"))
    assert {name.split(".")[0] for name in names} == {"net", "optimiser"}
    assert len([n for n in names if n.startswith("optimiser.")]) == 3 * len(
        [n for n in names if n.startswith("net.")]
    )
