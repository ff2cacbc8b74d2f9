"""More than a hundred kinds of malformed input, and the one error that each of them gets.

    python -m evaluation malformed

Every case is run for real in a temporary folder. Its error must be one of recae's own, and its
message must hold the words given with the case, which were written from what a user would need. The
command line must end in a code that is not 0, without a traceback. A model that existed before must
be the same afterwards. 1 if any case fails.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import gzip
import io
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

import recae
from evaluation.provenance import keep
from recae import cli

Case = tuple[str, str, Callable[[], object], str]
"""Group, what is malformed, the call, and words that its message must hold (a pattern)."""

PAIRS = {"user_id": [1, 1, 2], "item_id": [7, 8, 7]}


def frame(**columns: Any) -> pd.DataFrame:
    """Three good rows, with other columns in place of theirs."""
    return pd.DataFrame(PAIRS | columns)


def tables() -> Iterator[Case]:
    """Frames whose columns are not what they should be."""
    read = recae.Interactions.from_frame
    bad: dict[str, tuple[Any, str]] = {
        "a float": ([1.5, 2, 3], "user ids are floats"),
        "a whole float": ([1.0, 2, 3], "user ids are floats.*cast to int"),
        "None": (["a", None, "b"], "missing in 1 of 3 rows, the first at row 1"),
        "NaN": ([1, np.nan, 2], "missing.*row 1"),
        "text among integers": ([1, "a", 2], "mix integers and text: 1 at row 0, 'a' at row 1"),
        "a bool": ([True, False, True], "not bool"),
        "bytes": ([b"a", b"b", b"c"], "b'a'.*row 0"),
        "a list": ([[1], [2], [3]], r"\[1\].*row 0"),
        "beyond 64 bits": ([2**70, 1, 2], "64 bits.*row 0"),
        "unsigned beyond": (np.array([2**63, 1, 2], dtype=np.uint64), "64 bits"),
        "a moment": (pd.to_datetime(["2026-01-01 10:00"] * 3), "time of day"),
        "a timedelta": (pd.to_timedelta([1, 2, 3]), "timedelta"),
        "a complex number": ([1j, 2, 3], "complex"),
        "a date among text": ([datetime.date(2026, 1, 1), "a", "b"], "mix dates and text"),
    }
    for what, (values, words) in bad.items():
        yield "user ids", what, lambda values=values: read(frame(user_id=values)), words
    weights: dict[str, tuple[Any, str]] = {
        "NaN": ([1, np.nan, 1], "column 'weight' holds nan at row 1"),
        "inf": ([1, 1, np.inf], "column 'weight' holds inf at row 2"),
        "negative": ([1, -2, 1], "weights must be > 0; found -2.*row 1.*min_weight"),
        "zero": ([0, 1, 1], "weights must be > 0; found 0.*row 0"),
        "text": (["a", "b", "c"], "weights must be numbers"),
        "bool": ([True, True, False], "weights must be numbers"),
        "beyond float32": ([1e300, 1, 1], "float32.*1e\\+300"),
        "a list": ([[1], [2], [3]], "weights must be numbers"),
    }
    for what, (values, words) in weights.items():
        yield "weights", what, lambda values=values: read(frame(weight=values)), words
    times: dict[str, tuple[Any, str]] = {
        "NaT": (pd.to_datetime(["2026-01-01", None, "2026-01-02"]), "missing in 1 rows.*row 1"),
        "a fraction": ([1.5, 2, 3], "whole numbers or dates.*1.5 at row 0"),
        "text": (["yesterday", "b", "c"], "to_datetime"),
        "inf": ([np.inf, 1, 2], "whole numbers"),
        "a year far away": (np.array(["3000-01-01"] * 3, dtype="M8[s]"), "1678 to 2262"),
    }
    for what, (values, words) in times.items():
        yield "times", what, lambda values=values: read(frame(timestamp=values)), words
    yield "columns", "misspelt", lambda: read(frame(), user="userid"), "did you mean user='user_id'"
    yield "columns", "absent", lambda: read(frame(), time="when"), "'when' is needed.*columns: user"
    yield "columns", "the same twice", lambda: read(frame(), item="user_id"), "different columns"
    twice = pd.DataFrame([[1, 2, 3]], columns=["user_id", "item_id", "item_id"])
    yield "columns", "two of one name", lambda: read(twice), "'item_id'.*several"
    yield "rows", "none", lambda: read(frame()[:0]), "no rows"
    yield "rows", "repeated", lambda: read(frame(item_id=[7, 7, 7]), duplicates="error"), "user 1"
    yield "rows", "unknown rule", lambda: read(frame(), duplicates="newest"), "Known: error, first"
    yield "rows", "none heavy enough", lambda: read(frame(weight=[1, 2, 3]), min_weight=9), ">= 9"
    yield "rows", "threshold without weights", lambda: read(frame(), min_weight=1), "weight column"
    for thing in ([(1, 2)], "plays.csv", 7, None, {"user_id": [1]}, np.ones((2, 2))):
        name = type(thing).__name__
        yield "tables", name, lambda thing=thing: read(thing), f"table is needed.*not {name}"


def matrices() -> Iterator[Case]:
    """Sparse matrices that are none, or not of interactions."""
    make = recae.Interactions.from_csr
    good = sp.csr_matrix(np.eye(3))

    def damaged(**parts: Any) -> Any:
        matrix = good.copy()
        for name, values in parts.items():
            setattr(matrix, name, np.array(values))
        return matrix

    yield "matrices", "NaN", lambda: make(good * np.nan), "nan"
    yield "matrices", "negative", lambda: make(-good), "> 0"
    yield "matrices", "inf", lambda: make(good * np.inf), "inf"
    yield "matrices", "complex", lambda: make(good * 1j), "complex128"
    yield "matrices", "dense", lambda: make(np.eye(3)), "sparse matrix.*ndarray"
    yield "matrices", "too few ids", lambda: make(good, users=["a"]), "3 users, but 1 user ids"
    yield "matrices", "ids twice", lambda: make(good, users=list("aab")), "distinct; 'a' at"
    yield "matrices", "column out of range", lambda: make(damaged(indices=[0, 1, 9])), "damaged|9"
    yield "matrices", "falling indptr", lambda: make(damaged(indptr=[0, 2, 1, 3])), "damaged"


def files(here: Path) -> Iterator[Case]:
    """Files that are absent, damaged, or of another kind."""
    frame().to_parquet(here / "good.parquet")
    frame().to_csv(here / "good.csv", index=False)
    whole = (here / "good.parquet").read_bytes()
    contents = {
        "empty.parquet": b"",
        "cut.parquet": whole[:-30],
        "head.parquet": whole[30:],
        "noise.parquet": bytes(range(256)) * 9,
        "text.parquet": b"user_id,item_id\n1,2\n",
        "empty.csv": b"",
        "header.csv": b"user_id,item_id\n",
        "ragged.csv": b"user_id,item_id\n1,2\n1,2,3\n",
        "short.csv": b"user_id,item_id\n1,2\n1\n",
        "latin.csv": b"user_id,item_id\n1,caf\xe9\n",
        "binary.csv": b"\x00\xff\x00\xff" * 50,
        "parquet.csv": whole,
        "hole.csv": b"user_id,item_id\n1,\n",
        "semicolon.csv": b"user_id;item_id\n1;2\n",
        "plain.csv.gz": b"user_id,item_id\n1,2\n",
        "cut.csv.gz": gzip.compress(b"user_id,item_id\n" + b"1,2\n" * 9999)[:-20],
    }
    for name, content in contents.items():
        (here / name).write_bytes(content)
        words = {"header.csv": "no rows", "hole.csv": "missing", "semicolon.csv": "user_id"}
        wanted = re.escape(name) + ".*" + words.get(name, "")
        yield "files", name, lambda name=name: recae.read_table(here / name), wanted
    for call in (recae.read_parquet, recae.read_csv, recae.read_table):
        label = call.__name__
        yield label, "absent", lambda call=call: call(here / "no.csv"), "no.csv does not exist"
        yield label, "a number", lambda call=call: call(7), "path is needed.*7"
        yield label, "no path", lambda call=call: call([]), "empty"
        (here / "nothing").mkdir(exist_ok=True)
        yield label, "an empty folder", lambda call=call: call(here / "nothing"), "holds no file"
        glob = str(here / "no*thing.csv")
        yield label, "a glob of nothing", lambda call=call, g=glob: call(g), "no file matches"
    sheet = here / "plays.xlsx"
    sheet.write_bytes(b"PK")
    yield "files", "unknown ending", lambda: recae.read_table(sheet), "known endings: .parquet"
    bad = "long separator"
    yield "files", bad, lambda: recae.read_csv(here / "good.csv", sep="::"), "one character"
    (here / "mixed").mkdir()
    frame().to_parquet(here / "mixed" / "a.parquet")
    frame(user_id=["x", "y", "z"]).to_parquet(here / "mixed" / "b.parquet")
    yield "files", "ids of two kinds", lambda: recae.read_parquet(here / "mixed"), "b.parquet.*mix"


def fits(data: recae.Interactions, here: Path) -> Iterator[Case]:
    """Hyperparameters, options and data that no fit can take."""
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
    yield "settings", "unknown", lambda: vae().set_params(latnt=3), "Did you mean 'latent'"
    for seed in (-1, 1.5, "a", None):
        yield "fit", f"seed={seed!r}", lambda s=seed: vae().fit(data, seed=s), "seed must be"
    for device in ("tpu:0", "cuda:99", 3.5):
        yield "fit", f"device={device!r}", lambda d=device: vae().fit(data, device=d), "device"
    for odd in (None, 7, "plays", np.ones((2, 2)), [[1, 2]]):
        yield "fit", type(odd).__name__, lambda o=odd: recae.EASE().fit(o), "expected Interactions"
    yield "fit", "no interactions", lambda: vae().fit(sp.csr_matrix((3, 3))), "no interactions"
    yield "fit", "validation is data", lambda: vae().fit(data, data), "must be a Fold"
    yield "fit", "callbacks=[3]", lambda: vae().fit(data, callbacks=[3]), "functions of an Epoch"
    yield "fit", "lr too high", lambda: vae(lr=1e38, epochs=5).fit(data), "epoch.*lower lr"
    lost = here / "nowhere" / "c"
    yield "fit", "checkpoint nowhere", lambda: vae().fit(data, checkpoint=lost), "does not exist"
    (here / "thesis").write_text("It was a dark night.")
    other = here / "thesis"
    yield "fit", "checkpoint foreign", lambda: vae().fit(data, checkpoint=other), "no checkpoint"
    strong = recae.StrongGeneralization
    yield "splits", "share", lambda: strong(held_out=0.9).split(data), "held_out.*0.9"
    yield "splits", "too few users", lambda: strong(held_out=10**6).split(data), "too few"
    yield "splits", "fold-in", lambda: strong(fold_in=1.5).split(data), "fold_in.*1.5"
    yield "splits", "no times", lambda: recae.LeaveLastOut().split(data), "no times"
    yield "splits", "seed", lambda: recae.RandomSplit().split(data, seed=-3), "seed"
    yield "splits", "one fold", lambda: recae.UserKFold(folds=1).split(data), "folds"
    yield "filters", "negative", lambda: data.filter(min_per_user=-1), "min_per_user.*-1"
    yield "filters", "nothing left", lambda: data.filter(min_per_item=10**6), "min_per_item"


def requests(data: recae.Interactions, here: Path) -> Iterator[Case]:
    """Questions that a fitted model cannot answer."""
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
        yield "recommend", f"k={k!r}", lambda k=k: ask(k=k), "k must be an integer >= 1"
    for size in (0, "all", 1.5):
        yield "recommend", f"batch_size={size!r}", lambda s=size: ask(batch_size=s), "batch_size"
    yield "recommend", "unknown item wanted", lambda: ask(items=[-5]), "unknown item -5"
    yield "recommend", "unknown item excluded", lambda: ask(exclude_items=["x"]), "item ids"
    yield "recommend", "on_unknown", lambda: ask(on_unknown="skp"), "Did you mean 'skip'"
    wide = sp.csr_matrix((1, data.n_items + 1))
    yield "score", "wrong width", lambda: model.score(wide), f"{data.n_items + 1} item columns"
    odd = np.ones((1, data.n_items))
    yield "score", "dense", lambda: model.score(odd), "expected Interactions"
    empty = sp.csr_matrix((1, data.n_items))
    yield "recommend", "empty history", lambda: ask(history=empty), "on_unknown='popular'"
    yield "similar_items", "unknown", lambda: model.similar_items([-1]), "unknown item -1"
    floor = recae.Popularity().fit(data)
    yield "similar_items", "no notion", lambda: floor.similar_items([7]), "no item embeddings|item"
    yield "embed_users", "no space", lambda: model.embed_users(data), "no latent space"
    far = 10**9
    yield "arrays", "k=10**9", lambda: model.recommend_array(data, k=far), "k=1,000,000,000"
    for name in ("recommend", "score", "save", "similar_items"):
        call = getattr(recae.EASE(), name)
        argument = {"recommend": (), "score": (data,), "save": (here / "x",)}.get(name, ([7],))
        yield "not fitted", name, lambda c=call, a=argument: c(*a), "not fitted: call fit first"
    changed = recae.EASE().fit(data).set_params(l2=7.0)
    yield "changed", "l2 after fit", lambda: changed.recommend(), "l2 of this EASE"
    nowhere = here / "no" / "top.parquet"
    yield "export", "nowhere", lambda: model.export(nowhere), "no does not exist"
    yield "export", "a folder", lambda: model.export(here), "is a directory"
    yield "save", "in the way", lambda: model.save(here, overwrite=True), "holds no config.json"
    fold = recae.holdout_pairs(data, 0.2).validation
    yield "evaluate", "unknown metric", lambda: recae.evaluate(model, fold, ["ndgc@5"]), "'ndcg'"
    yield "evaluate", "no k", lambda: recae.evaluate(model, fold, ["ndcg"]), "name@k"
    yield "evaluate", "no fold", lambda: recae.evaluate(model, data), "Fold is needed"
    report = recae.evaluate(model, fold, ["ndcg@5"])
    yield "compare", "one report", lambda: recae.compare({"a": report}, "ndcg@5"), "at least two"
    yield "report", "unknown metric", lambda: report["recall@5"], "recall@5"
    yield "report", "of nothing", lambda: recae.comparison({}), "report"
    for name, text in (("not json", "{"), ("foreign", '{"a": 1}'), ("a list", "[]")):
        path = here / f"{name}.json"
        path.write_text(text)
        yield "report", name, lambda p=path: recae.Report.load(p), "no saved report"


def loads(data: recae.Interactions, here: Path) -> Iterator[Case]:
    """Model directories that are not what was saved."""
    good = recae.EASE().fit(data).save(here / "good model")
    for part in ("config.json", "items.parquet", "weights.safetensors"):
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
                continue  # one character of a name or number, which other checks are about
            words = f"{re.escape(part)}|config.json"
            yield "load", f"{part}: {how}", lambda p=path: recae.load(p), words
    for key, value, words in (
        ("format", 99, "format 99.*reads format"),
        ("model", "oracle", "'oracle'; known models"),
        ("params", {"l3": 1}, "l3"),
        ("params", {"l2": -1}, "l2"),
    ):
        path = here / f"{key} {value}"
        shutil.copytree(good, path)
        config = pd.read_json(path / "config.json", typ="series").to_dict() | {key: value}
        (path / "config.json").write_text(pd.Series(config).to_json())
        yield "load", f"{key}={value}", lambda p=path: recae.load(p), words
    for odd in (None, 7, here / "absent", here):
        what = odd.name if isinstance(odd, Path) else repr(odd)
        yield "load", what, lambda o=odd: recae.load(o), "not a model directory|path is needed"


def commands(here: Path) -> Iterator[Case]:
    """Command lines that cannot be obeyed; `Said` is raised with what stderr says."""
    plays, model = str(here / "good.parquet"), str(here / "good model")
    for line, words in (
        (["fit", plays], "required"),
        (["fti", plays, "m"], "invalid choice"),
        (["fit", "no.csv", str(here / "m")], "no.csv does not exist"),
        (
            ["fit", plays, str(here / "m"), "--model", "vae"],
            "Did you mean 'mult-vae'|unknown model",
        ),
        (["fit", plays, str(here / "m"), "--set", "latnt=4"], "Did you mean 'latent'"),
        (["fit", plays, str(here / "m"), "--set", "latent"], "name=value"),
        (["fit", plays, str(here / "m"), "--user", "who"], "'who' is needed"),
        (["fit", plays, model, "--model", "ease"], "overwrite"),
        (["recommend", str(here), "--items", "7"], "not a model directory"),
        (["recommend", model, "--items", "seven"], "'seven' is not one"),
        (["recommend", model], "--history"),
        (["export", model, str(here / "no" / "a.parquet"), "--history", plays], "does not exist"),
        (["evaluate", plays, "--metrics", "ndgc@5"], "ndcg"),
        (["datasets", "ml-30m"], "Did you mean"),
    ):
        yield "command", " ".join(map(os.path.basename, line)), lambda c=line: command(c), words


class Said(recae.RecaeError):
    """What a command that ended with a mistake has said."""


def command(line: list[str]) -> None:
    """Runs a command; what it says to stderr becomes an error, unless it is a traceback."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            code: object = cli.main(line)
        except SystemExit as left:
            code = left.code
    if code and "Traceback" not in said.getvalue():
        raise Said(said.getvalue().strip().splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs every case and prints what it got; 1 if any is not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(argv)
    rng = np.random.default_rng(0)
    dense = (rng.random((40, 15)) < 0.3) | (np.arange(15) == np.arange(40)[:, None] % 15)
    data = recae.Interactions.from_csr(sp.csr_matrix(dense.astype(float)))
    rows, failed = [], 0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        here = Path(folder)
        groups = (tables(), matrices(), files(here), fits(data, here), requests(data, here))
        for cases in (*groups, loads(data, here), commands(here)):
            for group, what, call, words in cases:
                kind, message = outcome(call)
                good = kind in OURS and re.search(words, message) is not None
                failed += not good
                rows.append([group, what, kind, message.replace(folder, "")])
                print(f"{'' if good else 'WRONG '}{group} | {what} | {kind} | {rows[-1][3][:150]}")
        model = recae.load(here / "good model")
        unharmed = len(model.recommend(k=3, history=data)) and (here / "thesis").read_text()
    kinds = len({(group, what) for group, what, *_ in rows})
    print(f"\n{kinds} kinds, {failed} without a clear error of ours; what existed is unharmed: ")
    print("yes" if unharmed else "no")
    print(f"kept in {keep('malformed', {'suite': 'malformed input', 'cases': rows})}")
    return 0 if not failed and unharmed and kinds >= 100 else 1


OURS = {
    name
    for name, value in vars(recae).items()
    if isinstance(value, type) and issubclass(value, recae.RecaeError)
} | {"Said"}


def outcome(call: Callable[[], object]) -> tuple[str, str]:
    """The name of the error a call ends in, and its message in one line."""
    try:
        result = call()
    except Exception as error:
        return type(error).__name__, " ".join(str(error).split())
    return "nothing", repr(result)[:80]


if __name__ == "__main__":
    raise SystemExit(main())
