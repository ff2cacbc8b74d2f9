"""`to_onnx`: the graph of a model, its item ids beside it, both written and compared."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from recae.recommend.onnx.check import check
from recae.recommend.onnx.file import load_onnx, needs_two_files, write_model
from recae.recommend.onnx.graph import Graph
from recae.recommend.onnx.histories import Histories, ranked
from recae.system.digests import sha256
from recae.system.files import atomic_files, check_target, plain
from recae.system.machine import __version__

ENDINGS = (".onnx",)


def save_onnx(model: Any, path: str | Path, *, overwrite: bool) -> Path:
    """Writes a fitted model as ONNX; see `Recommender.to_onnx`."""
    target = check_target(path, overwrite=overwrite, endings=ENDINGS)
    load_onnx()
    graph = Graph()
    histories = Histories.read(graph, len(model.items_))
    ranked(histories, model._onnx_scores(histories), model._popularity())
    ids = target.with_suffix(".items.json")
    data = target.with_name(f"{target.name}.data")
    apart = needs_two_files(graph)
    with atomic_files([*([data] if apart else []), ids, target], overwrite=overwrite) as parts:
        *weights, beside, file = parts
        about = _about(model)
        _write_ids(model, about, beside)
        about |= {"items_file": ids.name, "items_sha256": sha256(beside)}
        write_model(graph, about, file, weights[0] if weights else None)
        check(model, file)
    if not apart:
        with suppress(OSError):  # of the file that was replaced
            data.unlink(missing_ok=True)
    return target


def _write_ids(model: Any, about: dict[str, str], path: Path) -> None:
    """The item ids by column, as JSON, with the model that they belong to."""
    kept = {name: about[name] for name in ("kind", "fingerprint")}
    ids = {"item_ids": model.items_.ids.tolist()}
    path.write_text(json.dumps(kept | ids), encoding="utf-8")


def _about(model: Any) -> dict[str, str]:
    """The metadata of the file; texts, as the format wants them."""
    return {
        "recae_version": __version__,
        "kind": type(model).__name__,
        "model": model.name,
        "fingerprint": model.fingerprint(),
        "hyperparameters": json.dumps(model.get_params(), default=plain),
        "n_items": str(len(model.items_)),
    }
