"""Estimates of a model's cost. Seconds are not tested against a clock here."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import recae
from recae import ConfigError, DataError
from recae.data.splits import holdout_pairs
from recae.recommend import estimate as estimates
from recae.recommend.estimate import Sample, extrapolated
from recae.system.machine import total_memory


@pytest.fixture(scope="module")
def data() -> recae.Interactions:
    """3,000 users of 600 items."""
    matrix = sp.random(3000, 600, 0.02, "csr", np.float32, random_state=0)
    matrix.data[:] = 1
    return recae.Interactions.from_csr(matrix)


@pytest.fixture(autouse=True)
def short_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "BUDGET", 0.0)  # two samples


@pytest.mark.parametrize("powers", [estimates.LINEAR, estimates.CUBIC, (0.5, 1, 2)])
def test_a_sum_of_powers_is_found_again(powers: tuple[float, ...]) -> None:
    coefficients = np.asarray([3.0, 0.5, 7.0, 20.0])[: len(powers)]
    shares = [0.05, 0.1, 0.2, 0.4, 0.6]
    values = [float(coefficients @ share ** np.asarray(powers)) for share in shares]
    assert extrapolated(shares, values, powers) == pytest.approx(coefficients.sum())
    assert extrapolated([0.5, 1.0], [9.0, 4.0], powers) == 4  # all of the data was measured
    assert extrapolated(shares, [0.0] * 5, powers) == 0
    assert extrapolated(shares, [5.0, 4.0, 3.0, 2.0, 1.0], powers) > 0  # noise: never negative


@pytest.mark.parametrize(
    "model", [recae.Popularity(), recae.EASE(), recae.UserKNN(), recae.ALS(epochs=3)]
)
def test_disk_and_memory_are_near_the_truth(model, data, tmp_path) -> None:
    found = model.estimate(data, k=10, progress=False)
    fitted = model.clone().fit(data)
    fitted.save(tmp_path / "model")
    fitted.export(tmp_path / "lists.parquet", data, k=10)
    saved = sum(one.stat().st_size for one in (tmp_path / "model").rglob("*") if one.is_file())
    assert found.fit.disk == pytest.approx(saved, rel=0.4)
    assert found.export.disk == pytest.approx((tmp_path / "lists.parquet").stat().st_size, rel=0.4)
    for cost in (found.fit, found.evaluate, found.export):
        assert cost.seconds >= 0 and 1e7 < cost.memory < total_memory()
    assert found.users <= 3000 and found.epochs == model.get_params().get("epochs")
    assert not model.__sklearn_is_fitted__()


def made(share: float, **values: float) -> Sample:
    names = [name for name in Sample.__dataclass_fields__ if name != "share"]
    return Sample(share, **{name: values.get(name, 0) for name in names})  # type: ignore[arg-type]


def test_epochs_and_validation_are_counted(data, monkeypatch) -> None:
    def measured(model, part, share, k, before):
        users = part.n_users
        return made(share, users=users, start=1.0, epoch=users / 1000, evaluate=users / 100)

    monkeypatch.setattr(estimates, "measured", measured)
    model = recae.MultDAE(epochs=7)
    assert model.estimate(data).fit.seconds == pytest.approx(1 + 7 * 3)
    split = holdout_pairs(data, share=0.2, seed=0)
    assert split.validation is not None
    fold = split.validation
    users = fold.target.n_users
    found = model.estimate(split.train, fold)
    each = split.train.n_users / 1000 + users / 100
    assert found.fit.seconds == pytest.approx(1 + 7 * each, rel=0.02)
    assert recae.EASE().estimate(split.train, fold).fit.seconds == pytest.approx(1, rel=0.02)


def test_the_samples_grow_within_the_budget(data, monkeypatch) -> None:
    shares: list[float] = []

    def measured(model, part, share, k, before):
        shares.append(share)
        assert part.n_items == (round(share * 600) if model.cubic else 600)
        return made(share, users=part.n_users, seconds=1.0)

    monkeypatch.setattr(estimates, "measured", measured)
    recae.EASE().estimate(data)
    first = shares[0]
    assert shares == [first, first, first / 2]  # the first of all warms up
    monkeypatch.setattr(estimates, "BUDGET", 10.0)
    shares.clear()
    recae.ItemKNN().estimate(data)
    assert shares[1:-1] == [shares[1] * 2**n for n in range(len(shares) - 2)]
    assert shares[-1] == 1


def test_an_ensemble_costs_what_its_members_cost(data, monkeypatch) -> None:
    def measured(model, part, share, k, before):
        return made(share, users=part.n_users, start=2.0, evaluate=1.0, export=1.5, model_disk=10)

    monkeypatch.setattr(estimates, "measured", measured)
    found = recae.Ensemble(members=("EASE()", "ItemKNN()", "MultDAE(epochs=5)")).estimate(data)
    assert found.fit.seconds == pytest.approx(6) and found.fit.disk == 30
    assert found.evaluate.seconds == pytest.approx(3)
    assert found.export.seconds == pytest.approx(3.5)
    assert found.epochs == 5


def test_what_cannot_be_estimated_is_refused(data) -> None:
    with pytest.raises(ConfigError, match="minutes"):
        recae.AutoEnsemble(minutes=5).estimate(data)
    with pytest.raises(ConfigError, match="k "):
        recae.EASE().estimate(data, k=0)
    with pytest.raises(ConfigError, match="progress"):
        recae.EASE().estimate(data, progress=3)  # type: ignore[arg-type]
    with pytest.raises(DataError):
        recae.EASE().estimate(data, validation=data)  # type: ignore[arg-type]
    empty = recae.Interactions.from_csr(sp.csr_matrix((0, 5), dtype=np.float32))
    with pytest.raises(DataError):
        recae.EASE().estimate(empty)
    with pytest.raises(ConfigError, match="l2"):
        recae.EASE(l2=-1).estimate(data)


@pytest.mark.parametrize("name", recae.MODELS)
def test_every_model_can_be_estimated(name: str, data, monkeypatch) -> None:
    """Also from samples where some users and items have no interactions."""
    monkeypatch.setattr(estimates, "FEWEST", 60)
    model = recae.MODELS[name](**recae.MODELS[name].small)
    found = model.estimate(data.select_users(range(300)), k=3, progress=False)
    assert found.fit.disk > 0 and found.export.disk > 0
    assert found.fit.seconds >= 0 and 0 < found.users <= 300
