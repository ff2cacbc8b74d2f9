"""Steers a fitted model: the effect on the top 10 of all users, and the baselines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

import recae
from evaluation.applications.steering.doses import BUDGET, METRIC, Audience, dose_within, steps
from recae.apply.steer.find import rises
from recae.apply.steer.naming import (
    genre_shares,
    highest,
    particular,
    read_genres,
    telling,
    together,
    well_known,
)
from recae.rng import numpy_generator

SETTINGS = [(32, 3), (32, 4), (64, 3), (64, 4), (64, 8), (128, 4)]
CHOICE_USERS = 2000
STRENGTHS = (-2, -1, -0.5, 0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 1.5)
OWN = 50
"""Number of items that count as a unit's own."""


class Lab:
    """A fitted model, with its measurements on the parts of a split."""

    def __init__(
        self,
        model: recae.Recommender,
        split: recae.data.splits.Split,
        movies: pd.DataFrame,
        seed: int,
    ) -> None:
        assert split.validation is not None and split.test is not None
        self.model, self.train, self.seed = model, split.train, seed
        self.valid, self.test = Audience.of(model, split.validation), Audience.of(model, split.test)
        known = recae.Interactions.from_csr(split.train.matrix).matrix
        self.histories = known
        self.codes = model.embed_users(split.train)
        self.genres, self.of_items = read_genres(movies, model.items_)
        dense = self.of_items.toarray() > 0
        self.members = {name: dense[:, g] for g, name in enumerate(self.genres)}
        self.base = {
            name: float(np.nanmean(some.ndcg(some.lists())))
            for name, some in (("valid", self.valid), ("test", self.test))
        }
        print(f"{model!r}\nNDCG@10 valid {self.base['valid']:.4f}, test {self.base['test']:.4f}")

    def choose(self) -> tuple[recae.apply.steer.Tastes, list[dict[str, Any]]]:
        """Tastes with the settings that are best on some users of valid; all trials."""
        fold = self.valid.fold
        rows = numpy_generator(self.seed, 1).permutation(fold.history.n_users)[:CHOICE_USERS]
        few = Audience.of(self.model, fold, np.sort(rows))
        trials: list[dict[str, Any]] = []
        best, found = -np.inf, None
        for units, active in SETTINGS:
            tastes = recae.apply.steer.find_tastes(
                self.model, self.train, units=units, active=active, seed=self.seed
            )
            moves = rises(self.model, self.histories, tastes.moves)
            gains = []
            for name, members in self.members.items():
                rise = moves[self.purest(moves, name)]
                curve = few.curve(rise, steps(rise), {"share": members}, stop=BUDGET)
                start = few.curve(rise, [0, dose_within(curve)], {"share": members})["share"]
                gains.append(np.log(max(start[1], 1e-9) / max(start[0], 1e-9)))
            gain = float(np.exp(np.mean(gains)))
            trials.append({"units": units, "active": active, "gain": gain})
            print(f"{units} units, {active} active: genres rise to {gain:.3f} times", flush=True)
            if gain > best:
                best, found = gain, tastes
        assert found is not None
        return found, trials

    def purest(self, moves: np.ndarray, genre: str) -> int:
        """The direction whose first 20 items have the genre most often."""
        top = highest(particular(moves, self.model.item_counts_), 20)
        return int(self.members[genre][top].mean(axis=1).argmax())

    def steer(
        self, tastes: recae.apply.steer.Tastes, named: pd.DataFrame, ten: list[int]
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """The curves of ten units on the test, and the losses at a strength chosen on valid."""
        up = [strength for strength in STRENGTHS if strength >= 0]
        moves = rises(self.model, self.histories, tastes.moves[ten])
        losses, curves = [], []
        for rise, unit in zip(moves, ten, strict=True):
            own = np.zeros(len(rise), dtype=bool)
            own[tastes.top[unit, :OWN]] = True
            sets = {"genre": self.members[named["genre"][unit]], "own": own}
            on_valid = self.valid.curve(rise, up, sets, stop=2 * BUDGET)
            losses.append(dict(zip(on_valid["dose"], on_valid[METRIC], strict=True)))
            curves.append({"unit": unit, **self.test.curve(rise, STRENGTHS, sets)})
        self.check(tastes, ten[0], curves[0])
        within = [s for s in up if all(loss.get(s, 0) >= (1 - BUDGET) * loss[0] for loss in losses)]
        small = max(within)
        at, none = STRENGTHS.index(small), STRENGTHS.index(0)
        change = np.array([curve[METRIC][at] / curve[METRIC][none] - 1 for curve in curves])
        table = {
            "strength": small,
            "ndcg_change_mean": float(change.mean()),
            "ndcg_change_worst": float(change.min()),
        }
        for name in ("own", "genre"):
            shares = np.array([curve[name] for curve in curves])
            table |= {
                f"{name}_unsteered": float(shares[:, none].mean()),
                f"{name}_small": float(shares[:, at].mean()),
                f"{name}_at_1": float(shares[:, STRENGTHS.index(1)].mean()),
                f"{name}_at_minus_1": float(shares[:, STRENGTHS.index(-1)].mean()),
                f"{name}_monotone": int((np.diff(shares, axis=1) >= 0).all(axis=1).sum()),
            }
        print("on the test, at the largest strength within 1 % for all ten on valid:")
        print("\n".join(f"  {key:<20} {value:.4f}" for key, value in table.items()), flush=True)
        return curves, table

    def check(
        self, tastes: recae.apply.steer.Tastes, unit: int, curve: dict[str, list[float]]
    ) -> None:
        """Raises an error unless the computed lists equal those of `Tastes.recommend`."""
        history, place = self.test.fold.history, STRENGTHS.index(1)
        top = tastes.recommend(history, shift={unit: 1})
        report = recae.evaluate(
            recae.Lists(top, train=self.train), self.test.fold, [METRIC], progress=False
        )
        assert abs(report[METRIC] - curve[METRIC][place]) < 1e-4, report[METRIC]
        plain = tastes.recommend(history, shift={unit: 0})
        pd.testing.assert_frame_equal(plain, self.model.recommend(history=history))

    def directions(self, tastes: recae.apply.steer.Tastes) -> dict[str, np.ndarray]:
        """The items that each kind of direction raises, (directions, n_items)."""
        _, spread, axes = np.linalg.svd(self.codes - self.codes.mean(axis=0), full_matrices=False)
        first = (axes * (spread / np.sqrt(len(self.codes)))[:, None])[: len(tastes)]
        raw = np.diag(self.codes.std(axis=0))
        chance = numpy_generator(self.seed, 2).normal(size=(2 * len(tastes), axes.shape[1]))
        kinds = {"tastes": tastes.moves, "pca": np.r_[first, -first], "raw": np.r_[raw, -raw]}
        kinds["random"] = chance
        return {
            name: rises(self.model, self.histories, some.astype(np.float32))
            for name, some in kinds.items()
        }

    def compare(
        self, tastes: recae.apply.steer.Tastes, named: pd.DataFrame, ten: list[int]
    ) -> list[dict[str, Any]]:
        """For the genres of the ten units: the test results of each method, at the dose that loses
        1 % on valid."""
        kinds, found = self.directions(tastes), []
        for unit in ten:
            genre = named["genre"][unit]
            members = self.members[genre]
            ways = {k: kinds[k][self.purest(kinds[k], genre)] for k in ("tastes", "pca", "raw")}
            ways |= {"tastes": kinds["tastes"][unit], "rerank": members.astype(np.float32)}
            row: dict[str, Any] = {"unit": unit, "genre": genre, "ways": {}}
            for way, rise in ways.items():
                on_valid = self.valid.curve(rise, steps(rise), {"genre": members}, stop=BUDGET)
                doses = [0, dose_within(on_valid), *steps(rise)[1:]]
                curve = self.test.curve(rise, doses, {"genre": members})
                row["unsteered"] = curve["genre"][0]
                row["ways"][way] = {
                    "genre": curve["genre"][1],
                    "ndcg_change": curve[METRIC][1] / curve[METRIC][0] - 1,
                    "curve": {key: [v[0], *v[2:]] for key, v in curve.items()},
                }
            shares = "  ".join(f"{way} {got['genre']:.3f}" for way, got in row["ways"].items())
            print(f"{genre:<12} unsteered {row['unsteered']:.3f}  {shares}", flush=True)
            found.append(row)
        return found

    def pieces(self, tastes: recae.apply.steer.Tastes) -> dict[str, dict[str, float]]:
        """How coherent each kind of direction is: the means over its directions."""
        found = {}
        known = well_known(self.model.item_counts_)
        everywhere = np.asarray(self.of_items[known].mean(axis=0)).ravel()
        for name, moves in self.directions(tastes).items():
            top = highest(particular(moves, self.model.item_counts_), 20)
            shares = genre_shares(top, self.of_items)
            told = [some[0] if some else -1 for some in telling(shares, everywhere)]
            lifts = [shares[d, g] / everywhere[g] if g >= 0 else 1 for d, g in enumerate(told)]
            found[name] = {
                "precision": float(shares.max(axis=1).mean()),
                "lift": float(np.mean(lifts)),
                "without_genre": float(np.mean([g < 0 for g in told])),
                "together": float(np.nanmean(together(top[:, :10], self.histories))),
            }
            print(f"{name:<8}", {key: round(value, 3) for key, value in found[name].items()})
        return found

    def agreement(self, tastes: recae.apply.steer.Tastes) -> dict[str, float]:
        """Cosines of each unit with the nearest unit of another seed, and of random directions."""
        units, active = tastes.dictionary.latent, tastes.dictionary.active
        cosines = np.concatenate(
            [
                tastes.agreement(
                    recae.apply.steer.find_tastes(
                        self.model, self.train, units=units, active=active, seed=self.seed + more
                    )
                )
                for more in (1, 2)
            ]
        )
        draws = numpy_generator(self.seed, 3).normal(size=(2, units, tastes.moves.shape[1]))
        one, two = draws / np.linalg.norm(draws, axis=2, keepdims=True)
        found = {
            "mean": float(cosines.mean()),
            "above_0.8": float((cosines > 0.8).mean()),
            "random_mean": float((one @ two.T).max(axis=1).mean()),
        }
        print("agreement of seeds", {key: round(value, 3) for key, value in found.items()})
        return found
