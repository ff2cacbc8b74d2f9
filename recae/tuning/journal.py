"""A search on disk: what it is about, a line for each trial, and the best model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recae.errors import ConfigError, DataError, StorageError
from recae.models import MODELS
from recae.recommend.base import Recommender
from recae.recommend.persistence import load_model
from recae.system.files import as_path, atomic_file, plain, remove_directory
from recae.system.machine import __version__
from recae.tuning.trial import Trial, best_of

ABOUT, TRIALS, BEST = "about.json", "trials.jsonl", "best-"
FORMAT = 1


class Journal:
    """The folder of a search; it is made if it is not there.

    about: what decides its trials, ready for JSON. `about.json` keeps that, `trials.jsonl` a line
    for each finished trial, and `best-NUMBER` the model of the best one: there before its line is,
    so that a kill at any moment leaves a search that can go on.

    Raises StorageError for a folder that cannot be made or holds something else, DataError for a
    damaged one, and ConfigError for that of another search, naming what differs.
    """

    def __init__(self, path: str | Path, about: Mapping[str, Any]) -> None:
        self.path = as_path(path)
        self.about: dict[str, Any] = json.loads(json.dumps(about, default=plain))
        if self.path.exists() and not self.path.is_dir():
            raise StorageError(f"{self.path} is a file: name a folder for the search")
        if (self.path / ABOUT).is_file():
            self._check()
            return
        if self.path.is_dir() and any(self.path.iterdir()):
            raise StorageError(f"{self.path} exists and holds no {ABOUT}: name another folder")
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the folder {path}: {error.strerror}") from error
        kept = {"format": FORMAT, "recae": __version__, "search": self.about}
        with atomic_file(self.path / ABOUT) as part:
            part.write_text(json.dumps(kept, indent=2, ensure_ascii=False), encoding="utf-8")

    def trials(self) -> list[Trial]:
        """The finished trials, in their order."""
        file = self.path / TRIALS
        if not file.exists():
            return []
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
            found = [Trial.read(line) for line in lines]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._damaged(file, error) from error
        if [trial.number for trial in found] != list(range(len(found))):
            raise self._damaged(file, "its trials are not numbered 0, 1, 2 ...")
        return found

    def keep(self, trials: Sequence[Trial], model: Recommender | None) -> None:
        """Adds the last of the trials; `model` is its own, needed where it is the best."""
        best = best_of(trials)
        is_best = best is trials[-1] and model is not None
        if is_best and model is not None:
            model.save(self._place(trials[-1]), overwrite=True)
        with atomic_file(self.path / TRIALS) as part:
            lines = "".join(f"{trial.line()}\n" for trial in trials)
            part.write_text(lines, encoding="utf-8")
        if is_best and best is not None:
            for other in self.path.glob(f"{BEST}*"):
                if other != self._place(best):
                    remove_directory(other)

    def model(self, best: Trial, template: Recommender) -> Recommender:
        """The fitted model of the best trial. Raises DataError if it is missing or damaged."""
        return load_model(self._place(best), {**MODELS, template.name: type(template)})

    def _place(self, trial: Trial) -> Path:
        return self.path / f"{BEST}{trial.number}"

    def _check(self) -> None:
        file = self.path / ABOUT
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            found, there = kept["format"], kept["search"]
            differ = [name for name in self.about if there.get(name) != self.about[name]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(file, error) from error
        if found != FORMAT:
            raise DataError(
                f"the search in {self.path} has format {found}; this recae {__version__} reads "
                f"format {FORMAT}: go on with recae {kept.get('recae')}, or name another folder"
            )
        if differ:
            differences = "; ".join(
                f"{name} {there.get(name)!r} there, {self.about[name]!r} here" for name in differ
            )
            raise ConfigError(
                f"the folder {self.path} is of another search: {differences}; name another folder"
            )

    def _damaged(self, file: Path, why: object) -> DataError:
        return DataError(f"{file} is damaged ({why}): delete the folder to begin the search anew")
