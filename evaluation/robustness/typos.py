"""Twenty typos of each kind, and what recae answers: commands, options, models, metrics and more.

A command runs as its user would run it, in a folder with a small table. An answer is right if the
word that was meant is understood, or if the message asks for it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import recae
from recae import cli
from recae.errors import RecaeError
from recae.metrics import parse_metric

COMMANDS = {
    "fti": "fit",
    "Fit": "fit",
    "train": "fit",
    "fitt": "fit",
    "tun": "tune",
    "optimize": "tune",
    "search": "tune",
    "evalaute": "evaluate",
    "eval": "evaluate",
    "benchmark": "evaluate",
    "recomend": "recommend",
    "reccommend": "recommend",
    "predict": "recommend",
    "exprot": "export",
    "dump": "export",
    "plot": "map",
    "reprot": "report",
    "dataset": "datasets",
    "data-sets": "datasets",
    "complete": "completion",
}
OPTIONS = {
    "fit plays.csv m --modle ease": "--model",
    "fit plays.csv m --delimiter ;": "--sep",
    "fit plays.csv m --algorithm ease": "--model",
    "fit plays.csv m --sets l2=5": "--set",
    "fit plays.csv m --overwite": "--overwrite",
    "fit plays.csv m --force": "--overwrite",
    "fit plays.csv m --factors 64": "--set latent",
    "fit plays.csv m --epochs 5": "--set epochs",
    "fit plays.csv m --learning-rate 0.1": "--set lr",
    "fit plays.csv m --random-state 3": "--seed",
    "fit plays.csv m --gpu": "--device",
    "fit plays.csv m --rating-col stars": "--weight",
    "fit plays.csv m --minweight 3": "--min-weight",
    "tune plays.csv m --n-trials 5": "--trials",
    "tune plays.csv m --timeout 5": "--seconds",
    "evaluate plays.csv --scoring ndcg@5": "--metrics",
    "recommend m --top-k 5": "-k",
    "recommend m --user-ids 5": "--users",
    "recommend m --whitelist 5": "--items",
    "export m out.parquet --histroy plays.csv": "--history",
}
MODELS = {
    "EASE": "ease",
    "Ease": "ease",
    "EASER": "ease",
    "easy": "ease",
    "eaes": "ease",
    "MultiVAE": "mult-vae",
    "MultVAE": "mult-vae",
    "mult_vae": "mult-vae",
    "multvea": "mult-vae",
    "vae": "mult-vae",
    "Mult-DAE": "mult-dae",
    "MultiDAE": "mult-dae",
    "RecVAE": "rec-vae",
    "iALS": "als",
    "AlternatingLeastSquares": "als",
    "ItemKNN": "item-knn",
    "knn": "item-knn",
    "Pop": "popularity",
    "MostPopular": "popularity",
    "svd": "pure-svd",
}
METRICS = {
    "NDCG@10": "ndcg@10",
    "nDCG@10": "ndcg@10",
    "nDCG20": "ndcg@20",
    "ndcg": "ndcg@10",
    "ndgc@20": "ndcg",
    "Recall@20": "recall@20",
    "recall_20": "recall@20",
    "rec@20": "recall",
    "recal@20": "recall",
    "Precision@5": "precision@5",
    "precission@5": "precision",
    "prec@5": "precision",
    "mAP@10": "map@10",
    "average_precision@10": "map",
    "MRR": "mrr@10",
    "hr@10": "hit_rate@10",
    "hit@10": "hit_rate@10",
    "HitRatio@10": "hit_rate",
    "AUC": "auc",
    "item_coverage@10": "coverage",
}
PARAMETERS: dict[str, str] = {
    "EASE(reg=3)": "l2",
    "EASE(lambda_=3)": "l2",
    "EASE(L2=3)": "l2",
    "EASE(l2_reg=3)": "l2",
    "ALS(factors=64)": "latent",
    "ALS(regularization=1)": "l2",
    "ALS(iterations=5)": "epochs",
    "MultVAE(mlp_hidden_size=600)": "hidden",
    "MultVAE(dropout_prob=0.5)": "dropout",
    "MultVAE(learning_rate=0.1)": "lr",
    "MultVAE(train_batch_size=50)": "batch_size",
    "MultVAE().fit(data, epochs=3)": "MultVAE(epochs=3)",
    "MultVAE().fit(data, random_state=3)": "seed",
    "ItemKNN(K=20)": "neighbours",
    "model.recommend(n=5)": "k",
    "model.recommend(filter_items=[5])": "exclude_items",
    "model.recommend(filter_already_liked_items=False)": "exclude_seen",
    "model.save('m', force=True)": "overwrite",
    "RandomSplit(test_size=0.2)": "test",
    "read_csv('plays.csv', delimiter=',')": "sep",
}
COLUMNS = {
    "User_ID,item_id": "--user User_ID",
    "USER_ID,item_id": "--user USER_ID",
    "userId,item_id": "--user userId",
    "userid,item_id": "--user userid",
    "user,item_id": "--user user",
    "user-id,item_id": "--user user-id",
    "users_id,item_id": "--user users_id",
    "usr_id,item_id": "--user usr_id",
    "uid,item_id": "--user uid",
    "user_id:token,item_id": "--user user_id:token",
    "user_id,Item_ID": "--item Item_ID",
    "user_id,itemId": "--item itemId",
    "user_id,ITEM": "--item ITEM",
    "user_id,item": "--item item",
    "user_id,item id": "--item 'item id'",
    "user_id,items_id": "--item items_id",
    "user_id,itme_id": "--item itme_id",
    "user_id,iid": "--item iid",
    "user_id,itemID ": "--item itemID",
    "user_id,item_id:token": "--item item_id:token",
}


def main(argv: Sequence[str]) -> int:
    """Prints a table for each kind as Markdown; the number of typos without the right answer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.parse_args(argv)
    missed = 0
    for kind, rows in answers().items():
        print(f"## {kind}\n\n| typed | meant | answer |\n|---|---|---|")
        for typed, meant, answer in rows:
            wrong = "" if right(meant, answer) else " **(missed)**"
            print(f"| `{typed}` | `{meant}` | {answer.replace('|', chr(92) + '|')}{wrong} |")
            missed += bool(wrong)
        print()
    return missed


def answers() -> dict[str, list[tuple[str, str, str]]]:
    """Kind -> what was typed, what was meant, and the answer."""
    with _folder() as model:
        names = {name: getattr(recae, name) for name in recae.__all__}
        names |= {"model": model, "data": model.history_}

        def python(text: str) -> str:
            return str(eval(text, names))

        def metric(text: str) -> str:
            return str(parse_metric(text))

        found = {
            "Commands": [(t, m, _shell(t)) for t, m in COMMANDS.items()],
            "Options": [(t, m, _shell(t)) for t, m in OPTIONS.items()],
            "Models": [(t, m, _shell(f"fit --model {t} --help")) for t, m in MODELS.items()],
            "Metrics": [
                (t, m, _said(lambda t: str(parse_metric(t)), t)) for t, m in METRICS.items()
            ],
            "Parameters": [(t, m, _said(python, t)) for t, m in PARAMETERS.items()],
        }
        rows = []
        for header, meant in COLUMNS.items():
            Path("odd.csv").write_text(f"{header}\n1,2\n")
            rows.append((header, meant, _shell("fit odd.csv odd")))
        return found | {"Columns": rows}


def right(meant: str, answer: str) -> bool:
    """Whether the answer understands what was meant, or asks for it."""
    named = (f"understood: {meant}", f"mean {meant!r}", f"mean {meant}", f"write {meant}")
    return any(text in answer for text in named)


def _said(call: Callable[[str], str], text: str) -> str:
    try:
        return f"understood: {call(text)}"
    except RecaeError as error:
        return f"{type(error).__name__}: {error}"


def _shell(command: str) -> str:
    """The last line that a command writes to stderr; of a help page the model that it describes."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        with contextlib.suppress(SystemExit):
            cli.main(command.split())
    model = re.search(r"^hyperparameters of (\S+)", out.getvalue(), re.MULTILINE)
    if model is not None:
        return f"understood: {model[1]}"
    return (err.getvalue().splitlines() or ["nothing was said"])[-1]


@contextlib.contextmanager
def _folder() -> Iterator[recae.Recommender]:
    """A current folder with plays.csv, and a model that is fitted on it."""
    before = Path.cwd()
    rng = np.random.default_rng(0)
    plays = pd.DataFrame({"user_id": np.repeat(range(12), 4), "item_id": rng.integers(0, 9, 48)})
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(name)
        try:
            plays.to_csv("plays.csv", index=False)
            yield recae.EASE().fit(plays)
        finally:
            os.chdir(before)
