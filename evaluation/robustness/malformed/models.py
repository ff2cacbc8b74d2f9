"""Malformed settings, requests, model directories and command lines, as in `malformed_data`."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

import recae
from evaluation.robustness.malformed.data import Case
from recae import cli
from recae.system.digests import sha256_of_json


def fits(data: recae.Interactions, here: Path) -> Iterator[Case]:
    """Hyperparameters, options and data that `fit` must reject."""
    quick = {"latent": 4, "hidden": (4,), "epochs": 1}

    def vae(**more: Any) -> recae.MultVAE:
        return recae.MultVAE(**(quick | more))

    for name, value in (
        ("latent", 0),
        ("latent", 2.5),
        ("latent", "8"),
        ("latent", True),
        ("hidden", ()),
        ("hidden", (0,)),
        ("hidden", 600),
        ("dropout", 1.5),
        ("dropout", float("nan")),
        ("beta", -1),
        ("lr", 0),
        ("lr", float("inf")),
        ("epochs", -1),
        ("batch_size", None),
        ("patience", 0),
        ("l2", -0.1),
        ("weights", "some"),
        ("metric", "ndgc@10"),
        ("metric", "coverage@10"),
        ("metric", "novelty@10"),
    ):
        what = f"{name}={value!r}"
        yield "settings", what, lambda n=name, v=value: vae(**{n: v}).fit(data), name.split("=")[0]
    yield "settings", "l2=0 of EASE", lambda: recae.EASE(l2=0).fit(data), "l2 of EASE.*> 0"
    yield "settings", "unknown", lambda: vae().set_params(latnt=3), "mean 'latent'"
    for seed in (-1, 1.5, "a", None, True):
        yield "fit", f"seed={seed!r}", lambda s=seed: vae().fit(data, seed=s), "^seed .*>= 0"
    for device in ("tpu:0", "cuda:99", 3.5):
        yield "fit", f"device={device!r}", lambda d=device: vae().fit(data, device=d), "device"
    for show in ("x", 1):
        wanted = "^progress .*True, False .*None"
        yield "fit", f"progress={show!r}", lambda s=show: vae().fit(data, progress=s), wanted
    for large in (recae.MultVAE, recae.ALS, recae.BPR):
        call = large(latent=10**12)
        yield "fit", f"{call}", lambda c=call: c.fit(data), "not fit .*memory"
    for odd in (None, 7, "plays", np.ones((2, 2)), [[1, 2]]):
        yield "fit", type(odd).__name__, lambda o=odd: recae.EASE().fit(o), "expected Interactions"
    yield "fit", "no interactions", lambda: vae().fit(sp.csr_matrix((3, 3))), "no interactions"
    yield "fit", "validation is data", lambda: vae().fit(data, data), "Fold, .*not "
    yield "fit", "callbacks=[3]", lambda: vae().fit(data, callbacks=[3]), "callbacks .*Epoch"
    yield "fit", "lr too high", lambda: vae(lr=1e38, epochs=5).fit(data), "epoch.*lower lr"
    lost = here / "nowhere" / "c"
    yield "fit", "checkpoint nowhere", lambda: vae().fit(data, checkpoint=lost), "not exist"
    (here / "thesis").write_text("It was a dark night.")
    other = here / "thesis"
    yield (
        "fit",
        "checkpoint foreign",
        lambda: vae().fit(data, checkpoint=other),
        "thesis .*checkpoint",
    )
    strong = recae.StrongGeneralization
    yield "splits", "share", lambda: strong(held_out=0.9).split(data), "held_out.*0.9"
    yield "splits", "too few users", lambda: strong(held_out=10**6).split(data), "too few"
    yield "splits", "fold-in", lambda: strong(fold_in=1.5).split(data), "fold_in.*1.5"
    yield "splits", "no times", lambda: recae.LeaveLastOut().split(data), "no times"
    yield "splits", "seed", lambda: recae.RandomSplit().split(data, seed=-3), "seed"
    yield "splits", "one fold", lambda: recae.UserKFold(folds=1).split(data), "folds"
    for splitter in (recae.RandomSplit(), recae.UserKFold(), strong()):
        what = type(splitter).__name__
        yield "splits", what, lambda s=splitter: s.split("plays.csv"), "expected Interactions"
    yield (
        "folds",
        "a frame",
        lambda: recae.Fold(data.to_frame(), data),
        "Interactions .*not DataFrame",
    )
    yield "folds", "other users", lambda: recae.Fold(data, data.select_users([1])), "target .*users"
    yield "parts", "mask", lambda: data.keep(np.ones(3, dtype=bool)), "^mask "
    yield "parts", "a user twice", lambda: data.select_users([1, 1]), "distinct; 1 at"
    yield "parts", "no such item", lambda: data.select_items([-1]), "found -1"
    yield "filters", "negative", lambda: data.filter(min_per_user=-1), "min_per_user.*-1"
    yield "filters", "nothing left", lambda: data.filter(min_per_item=10**6), "min_per_item"


def requests(data: recae.Interactions, here: Path) -> Iterator[Case]:
    """Requests that a fitted model must reject."""
    model = recae.EASE().fit(data)
    ask = model.recommend
    for users, words in (
        ([999_999], "unknown user 999999"),
        (["a"], "integers"),
        ([1.5], "1.5.*row 0"),
        ([None], "user ids"),
        ([1, "a"], "mix"),
        (True, "bool|True"),
    ):
        yield "recommend", f"users={users!r}", lambda u=users: ask(u), words
    for k in (0, -1, 2.5, "ten", None, True):
        yield "recommend", f"k={k!r}", lambda k=k: ask(k=k), "^k .*>= 1"
    for size in (0, "all", 1.5):
        yield "recommend", f"batch_size={size!r}", lambda s=size: ask(batch_size=s), "batch_size"
    for flag in ("no", 0, None):
        wanted = "^exclude_seen .*True .*False"
        yield "recommend", f"exclude_seen={flag!r}", lambda f=flag: ask(exclude_seen=f), wanted
    yield "recommend", "unknown item wanted", lambda: ask(items=[-5]), "none of .*-5"
    yield "recommend", "unknown item excluded", lambda: ask(exclude_items=["x"]), "item ids"
    yield "recommend", "on_unknown", lambda: ask(on_unknown="skp"), "mean 'skip'"
    wide = sp.csr_matrix((1, data.n_items + 1))
    yield "score", "wrong width", lambda: model.score(wide), f"{data.n_items + 1} item columns"
    odd = np.ones((1, data.n_items))
    yield "score", "dense", lambda: model.score(odd), "expected Interactions"
    empty = sp.csr_matrix((1, data.n_items))
    yield "recommend", "empty history", lambda: ask(history=empty), "on_unknown='popular'"
    yield "similar_items", "unknown", lambda: model.similar_items([-1]), "unknown item -1"
    floor = recae.Popularity().fit(data)
    yield "similar_items", "no notion", lambda: floor.similar_items([7]), "no item embeddings|item"
    yield "embed_users", "no space", lambda: model.embed_users(data), "latent space"
    far = 10**9
    yield "arrays", "k=10**9", lambda: model.recommend_array(data, k=far), "k=1,000,000,000"
    for name in ("recommend", "score", "save", "similar_items"):
        call = getattr(recae.EASE(), name)
        argument = {"recommend": (), "score": (data,), "save": (here / "x",)}.get(name, ([7],))
        yield "not fitted", name, lambda c=call, a=argument: c(*a), "not fitted: .*fit"
    changed = recae.EASE().fit(data).set_params(l2=7.0)
    yield "changed", "l2 after fit", lambda: changed.recommend(), "l2 .*EASE"
    nowhere = here / "no" / "top.parquet"
    yield "export", "nowhere", lambda: model.export(nowhere), "no .*exist"
    yield "export", "a folder", lambda: model.export(here), "directory"
    (here / "letters").mkdir()
    (here / "letters" / "dear.txt").write_text("you")
    top, letters = here / "top.parquet", here / "letters"
    wanted = "letters .*checkpoint"
    yield "export", "checkpoint", lambda: model.export(top, checkpoint=letters), wanted
    yield (
        "save",
        "overwrite",
        lambda: model.save(here / "m", overwrite="yes"),
        "^overwrite .*True .*False",
    )
    yield "save", "in the way", lambda: model.save(here, overwrite=True), "config.json"
    fold = recae.data.splits.holdout_pairs(data, 0.2).validation
    yield "evaluate", "unknown metric", lambda: recae.evaluate(model, fold, ["ndgc@5"]), "'ndcg'"
    yield "evaluate", "no k", lambda: recae.evaluate(model, fold, ["ndcg"]), "name@k"
    yield "evaluate", "metrics=5", lambda: recae.evaluate(model, fold, 5), "metrics .*names"
    yield "evaluate", "[5]", lambda: recae.evaluate(model, fold, [5]), "name@k|metric"
    yield "evaluate", "no fold", lambda: recae.evaluate(model, data), "Fold, .*not "
    blend = recae.Ensemble
    yield "ensemble", "no call", lambda: blend(members=("EASE",)).fit(data), "member .*not 'EASE'"
    yield "ensemble", "unknown", lambda: blend(members=("EASY()",)).fit(data), "mean 'EASE'"
    yield "ensemble", "unfitted", lambda: blend.of([recae.EASE()]), "not fitted"
    yield "ensemble", "no models", lambda: blend.of([]), "at least one"
    yield "rmse", "no fold", lambda: recae.evaluation.rmse(model, data), "Fold, .*not "
    rated = recae.AutoRec(metric="ndcg@10")
    yield "AutoRec", "a ranking metric", lambda: rated.fit(data), "metric .*AutoRec"
    report = recae.evaluate(model, fold, ["ndcg@5"])
    yield "compare", "one report", lambda: recae.compare({"a": report}, "ndcg@5"), "at least two"
    yield "report", "unknown metric", lambda: report["recall@5"], "recall@5"
    yield "report", "of nothing", lambda: recae.report.comparison({}), "report"
    for name, text in (("not json", "{"), ("foreign", '{"a": 1}'), ("a list", "[]")):
        path = here / f"{name}.json"
        path.write_text(text)
        yield "report", name, lambda p=path: recae.Report.load(p), "saved report"


def loads(data: recae.Interactions, here: Path) -> Iterator[Case]:
    """Model directories that were changed after saving."""
    good = recae.EASE().fit(data).save(here / "good model")
    for part in ("config.json", "items.parquet", "model.safetensors"):
        whole = (good / part).read_bytes()
        flipped = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
        pickled = b"\x80\x04K\x07."
        half = whole[: len(whole) // 2]
        damages = {"empty": b"", "cut": half, "a bit": flipped, "a pickle": pickled, "gone": None}
        for how, content in damages.items():
            path = here / f"{part} {how}"
            shutil.copytree(good, path)
            (path / part).write_bytes(content or b"")
            if content is None:
                (path / part).unlink()
            if part == "config.json" and how == "a bit":
                continue  # a single character of a name or number: other checks cover it
            words = f"{re.escape(part)}|config.json"
            yield "load", f"{part}: {how}", lambda p=path: recae.load(p), words
    settings = json.loads((good / "config.json").read_text())["settings"]
    changes: tuple[tuple[str, Any, str], ...] = (
        ("format", 99, "format 99.*reads format"),
        ("format", 2, "format 2.*reads format"),
        ("kind", "Oracle", "'Oracle'.*Known"),
        ("kind", None, "None.*Known"),
        ("settings", settings | {"params": {"l3": 1}}, "l3"),
        ("settings", settings | {"params": {"l2": -1}}, "l2"),
        ("files", {"../good model/config.json": "0"}, "name .*file"),
    )
    for number, (key, value, words) in enumerate(changes):
        path = here / f"changed {number}"
        shutil.copytree(good, path)
        config = json.loads((path / "config.json").read_text()) | {key: value}
        del config["digest"]
        config["digest"] = sha256_of_json(config)
        (path / "config.json").write_text(json.dumps(config))
        yield "load", f"{key}={value}", lambda p=path: recae.load(p), words
    for odd in (None, 7, here / "absent", here):
        what = odd.name if isinstance(odd, Path) else repr(odd)
        yield "load", what, lambda o=odd: recae.load(o), "nothing saved|path "


def commands(here: Path) -> Iterator[Case]:
    """Command lines that must fail. Their stderr is raised as `Said`."""
    plays, model = str(here / "good.parquet"), str(here / "good model")
    for line, words in (
        (["fit", plays], "required"),
        (["fti", plays, "m"], "invalid choice"),
        (["fit", "no.csv", str(here / "m")], "no.csv .*exist"),
        (
            ["fit", plays, str(here / "m"), "--model", "vae"],
            "model 'vae'.* mean ",
        ),
        (["fit", plays, str(here / "m"), "--set", "latnt=4"], "mean 'latent'"),
        (["fit", plays, str(here / "m"), "--set", "latent"], "name=value"),
        (["fit", plays, str(here / "m"), "--user", "who"], "'who' is needed"),
        (["fit", plays, model, "--model", "ease"], "overwrite"),
        (["recommend", str(here), "--liked", "7"], "nothing saved"),
        (["recommend", model, "--liked", "seven"], "'seven'"),
        (["recommend", model], "--history"),
        (["export", model, str(here / "no" / "a.parquet"), "--history", plays], "not exist"),
        (["evaluate", plays, "--metrics", "ndgc@5"], "ndcg"),
        (["datasets", "ml-30m"], "Did you mean"),
        (["completion", "fish"], "invalid choice"),
        (["recommend", model, "--liked", "7", "-q", "-v"], "not allowed"),
        (["export", model, str(here / "t.parquet"), "--history", plays, "-k", "0"], ">= 1"),
    ):
        yield "command", " ".join(map(os.path.basename, line)), lambda c=line: command(c), words


class Said(recae.RecaeError):
    """The stderr of a command that failed."""


def command(line: list[str]) -> None:
    """Runs a command and raises its stderr as an error, unless it is a traceback."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code: object = cli.main(line)
        except SystemExit as left:
            code = left.code
    if code and "Traceback" not in said.getvalue():
        raise Said(said.getvalue().strip().splitlines()[-1])
