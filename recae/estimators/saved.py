"""The saved form of all fitted objects: a folder that `save` writes and `recae.load` reads.

config.json         kind, format, version of recae, settings, names, types and shapes of the
                    arrays, SHA-256 of the files and of itself, a faster checksum of the arrays
model.safetensors   the arrays
README.md           a model card, which may be edited
items.parquet ...   other files of a kind, such as the item vocabulary of a recommender

The layout is that of a model repository on the Hugging Face hub. Nothing is pickled.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, overload

import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from recae.errors import ConfigError, DataError, StorageError, check_flag, explained
from recae.system.digests import check_digests, checksum, digests, reason, sha256_of_json
from recae.system.files import as_path, atomic_directory, plain
from recae.system.machine import __version__
from recae.system.safely import check_file, parsed, read_text, safetensors_forms
from recae.system.threads import in_threads, survives_fork

FORMAT = 3
CONFIG, ARRAYS, CARD = "config.json", "model.safetensors", "README.md"
ROOMS = "models", "transformers", "tuning", "apply.compress", "apply.steer"
"""The modules of the kinds of recae, imported when a folder holds a kind that is not registered."""

PART = 1 << 21
"""Numbers that one thread looks at in one go."""

KINDS: dict[str, type[Any]] = {}
"""Kind -> class. `register` fills it; every subclass of Estimator is registered by itself."""

CANNOT = (
    *(ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, OSError),
    *(SafetensorError, pa.ArrowException),
)
"""The exceptions from reading inconsistent contents."""

T = TypeVar("T")
Net = TypeVar("Net", bound=nn.Module)


@dataclass(frozen=True)
class Contents:
    """The saved content of a fitted object.

    settings: ready for JSON; the model card shows `settings["params"]` as hyperparameters and
    `settings["facts"]`, {heading: {name: value}}. arrays: by name. files: file name -> a function
    that writes it to a path.
    """

    settings: Mapping[str, Any]
    arrays: Mapping[str, Tensor]
    files: Mapping[str, Callable[[Path], object]] = field(default_factory=dict)


def register(cls: type[T]) -> type[T]:
    """Makes a class known to `load` under its own name. The latest class of a name counts."""
    KINDS[cls.__name__] = cls
    return cls


def write(cls: type, contents: Contents, path: str | Path, *, overwrite: bool = False) -> Path:
    """Writes a fitted object of a class to a folder, atomically. Returns the path.

    The class must have `_restored(settings, arrays, files)`, which makes the object again for
    `load`; with `needs_model = True` it is also given the recommender it belongs to, `model=`. It
    may raise any of CANNOT for contents that do not fit together.

    Raises StorageError for a path that is taken (unless recae saved it and `overwrite`), no
    permission or a full disk. What was at the path then stays.
    """
    check_flag("overwrite", overwrite)
    if overwrite and (as_path(path) / CONFIG).is_file() and not _ours(as_path(path)):
        raise StorageError(f"{path} holds a {CONFIG} that recae did not write: name another place")
    with atomic_directory(path, overwrite=overwrite, marker=CONFIG) as part:
        write_arrays(part / ARRAYS, contents.arrays)
        for name, write_file in contents.files.items():
            write_file(part / name)
        config = {
            "kind": cls.__name__,
            "format": FORMAT,
            "recae": __version__,
            "settings": dict(contents.settings),
            "arrays": {name: form(array) for name, array in contents.arrays.items()},
            "files": digests(part),
            "checksum": checksum(part / ARRAYS),
        }
        config["digest"] = sha256_of_json(config)
        text = json.dumps(config, indent=2, default=plain)
        (part / CONFIG).write_text(text + "\n", encoding="utf-8")
        text = card(cls.__name__, inspect.getdoc(cls) or "", contents.settings)
        (part / CARD).write_text(text, encoding="utf-8")
    return as_path(path)


def form(array: Tensor) -> list[Any]:
    """Type and shape of an array, ready for JSON: ["float32", 3, 2]."""
    return [str(array.dtype).removeprefix("torch."), *array.shape]


def checked_arrays(
    file: Path, forms: Mapping[str, Any] | None, finite: bool = True
) -> dict[str, Tensor]:
    """The arrays of a file, mapped into memory: processes share what none of them changes.

    Raises ValueError where they are not those that were saved, or, with `finite`, where a float is
    no finite number; forms: None for folders that do not list them."""
    found = safetensors_forms(file)  # before memory is taken for what does not fit
    if forms is not None and found != forms:
        name = min(n for n in {*found, *forms} if found.get(n) != forms.get(n))
        raise ValueError(
            f"{ARRAYS} holds {found.get(name, 'no')} {name}; {CONFIG} lists {forms.get(name)}"
        )
    arrays = load_file(file)
    if finite:
        parts = [
            (name, array.reshape(-1)[start : start + PART])
            for name, array in arrays.items()
            if array.is_floating_point()
            for start in range(0, array.numel(), PART)
        ]
        for (name, _), fine in zip(parts, in_threads(_finite, parts), strict=True):
            if not fine:
                raise ValueError(f"{name} in {ARRAYS} holds numbers that are not finite")
    return arrays


def _finite(part: tuple[str, Tensor]) -> bool:
    """Whether all numbers are finite; as a rule their sum tells."""
    numbers = part[1]
    return bool(numbers.sum().isfinite()) or all(bool(n.isfinite()) for n in numbers.aminmax())


def write_arrays(
    path: Path, arrays: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes a safetensors file, also of arrays that share their memory. Raises OSError."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in arrays.items()}
    owner = {tensor.untyped_storage().data_ptr(): name for name, tensor in tensors.items()}
    for name in tensors.keys() - owner.values():
        tensors[name] = tensors[name].clone()
    try:
        save_file(tensors, path, None if metadata is None else dict(metadata))
    except SafetensorError as error:  # a full disk, among others
        raise OSError(str(error)) from error


@overload
def load(path: str | Path, *, model: Any = None, verify: bool = True) -> Any: ...


@overload
def load(  # type[T] takes no abstract class
    path: str | Path, kind: Callable[..., T], *, model: Any = None, verify: bool = True
) -> T: ...


@explained
@survives_fork
def load(path: str | Path, kind: Any = object, *, model: Any = None, verify: bool = True) -> Any:
    """Reads what any `save` of recae wrote, onto the CPU: a recommender, a transformer, a codec ...

    kind: the class that it must be of, such as `recae.Recommender`; with it type checkers know what
    comes back. model: for `Tastes`, the recommender they were found in. A folder that is replaced
    while it is read gives the old or the new one. The weights are mapped into memory, where
    processes that load the same folder share them; see docs/serve-in-python.md.

    verify: whether the files are those that were saved, and all weights finite: the weights by a
    checksum that takes a tenth of the time of SHA-256 (some 0.1 s a GB on two cores), the other
    files by SHA-256, and the weights too where the checksum differs or a folder of an older recae
    has none. Checksums find damage; who writes a folder can write them, too. False skips both, for
    the workers of a service, after one process has loaded the folder. Names, types, shapes and
    sizes are checked in any case.

    Raises DataError for a folder that is damaged, incomplete, altered, of another format or of
    another class. Raises ConfigError for a kind that is no class, and for a model that is missing
    or not needed.

    >>> recae.load(recae.EASE(l2=3).fit(data).save("model"))
    EASE(l2=3)
    >>> recae.load("model", recae.Autoencoder)
    Traceback (most recent call last):
    recae.errors.DataError: model holds an EASE; a recae.Autoencoder was asked for
    """
    folder = as_path(path)
    check_flag("verify", verify)
    if not isinstance(kind, type):
        raise ConfigError(
            f"kind must be a class, such as recae.Recommender, not {kind!r}",
            parameter="kind",
            value=kind,
        )
    while True:
        text = _text(folder)
        try:
            found = _read(folder, text, model, verify)
        except DataError:
            if _text(folder) == text:
                raise
        else:
            if _text(folder) == text:
                break
    if not isinstance(found, kind):
        raise DataError(
            f"{folder} holds {_a(type(found).__name__)}; a recae.{kind.__name__} was asked for"
        )
    return found


def filled(make: Callable[[], Net], weights: Mapping[str, Tensor], unsaved: str = "-") -> Net:
    """The network that `make` makes, with weights that were read; nothing is drawn.

    The network is made without memory first: settings that ask for gigabytes are refused before any
    memory is taken, if the weights do not fit. unsaved: a part of the names of weights that are not
    saved; these become 0. Raises ValueError for other names, types or shapes.
    """
    with torch.device("meta"):
        net = make()
    asked = {n: form(t) for n, t in net.state_dict().items() if unsaved not in n}
    found = {name: form(tensor) for name, tensor in weights.items()}
    for name in sorted({*asked, *found}):
        if asked.get(name) != found.get(name):
            raise ValueError(
                f"the settings ask for {asked.get(name, 'no')} {name}, {ARRAYS} holds "
                f"{found.get(name, 'none')}"
            )
    state = net.state_dict()
    blank = {n: torch.zeros(t.shape, dtype=t.dtype) for n, t in state.items() if unsaved in n}
    net.load_state_dict(dict(weights) | blank, assign=True)  # no copy: processes share the weights
    return net.eval()


def hyperparameters(settings: Any) -> dict[str, Any]:
    """`settings["params"]` as arguments: JSON has lists in place of tuples."""
    params = settings["params"]
    if not isinstance(params, dict):
        raise ValueError(f"the hyperparameters in {CONFIG} are {type(params).__name__}")
    return {name: tuple(v) if isinstance(v, list) else v for name, v in params.items()}


def shape_of(given: Any) -> tuple[int, ...]:
    """The shape of an example from JSON. Raises ValueError for anything but integers >= 1."""
    if not isinstance(given, list) or not given or not all(type(n) is int and n > 0 for n in given):
        raise ValueError(f"the shape of an example is {given!r}")
    return tuple(given)


def _text(folder: Path) -> str:
    if not (folder / CONFIG).exists():
        raise DataError(f"{folder} holds nothing saved by recae: it has no {CONFIG}")
    try:
        return read_text(folder, CONFIG)
    except (OSError, ValueError) as error:
        raise _damaged(folder / CONFIG, error) from error


def _read(folder: Path, text: str, model: Any, verify: bool) -> Any:
    """The object of a saved folder, once compared with its digests. Raises DataError if damaged."""
    try:
        config = parsed(text)
        version, recae = config["format"], config["recae"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise _damaged(folder / CONFIG, error) from error
    if version != FORMAT:
        raise DataError(
            f"{folder} has format {version!r:.50}; this recae {__version__} reads format {FORMAT}: "
            f"it was saved by recae {recae!s:.50}; load it with that version, or fit and save again"
        )
    try:
        for name, form_of in {"kind": str, "settings": dict, "files": dict}.items():
            if not isinstance(config[name], form_of):
                raise ValueError(f"{name} in {CONFIG} is {config[name]!r:.80}")
        if config.pop("digest") != sha256_of_json(config):
            raise ValueError(f"{CONFIG} is not what was saved: it was altered")
        for name, _ in config["files"].items():
            check_file(folder, name)
        if verify:
            files = dict(config["files"])
            if ARRAYS in files:
                try:  # a header that lies is refused before the bytes are read
                    safetensors_forms(folder / ARRAYS)
                except PermissionError:
                    raise
                except CANNOT as error:
                    raise ValueError(
                        f"{ARRAYS} is cut short, altered or of another save: {reason(error)}"
                    ) from None
                if checksum(folder / ARRAYS) == config.get("checksum"):
                    del files[ARRAYS]
            check_digests(folder, files)
        cls = _class(config["kind"])
    except CANNOT as error:
        raise _damaged(folder, error) from error
    if getattr(cls, "needs_model", False) != (model is not None):
        wanted = "is needed for" if model is None else "must not be given for"
        raise ConfigError(f"model {wanted} {cls.__name__}", parameter="model", value=model)
    context = {} if model is None else {"model": model}
    try:
        files = {name: folder / name for name in config["files"]}
        arrays = checked_arrays(files[ARRAYS], config.get("arrays"), finite=verify)
        return cls._restored(config["settings"], arrays, files, **context)
    except CANNOT as error:
        raise _damaged(folder, error) from error


def _class(kind: str) -> Any:
    """The class of a kind, one of recae's or one that the user has defined."""
    for room in (None, *ROOMS):
        if room is not None:
            import_module(f"recae.{room}")
        if kind in _kinds():
            return KINDS[kind]
    raise ValueError(
        f"the kind {kind!r} is not known here; import the module that defines it first. "
        f"Known: {', '.join(sorted(_kinds()))}"
    )


def _kinds() -> set[str]:
    """The kinds that can be loaded: neither abstract, nor estimators that are never saved."""
    restorable = (n for n, cls in KINDS.items() if hasattr(cls, "_restored"))
    return {name for name in restorable if not inspect.isabstract(KINDS[name])}


def _ours(folder: Path) -> bool:
    """Whether recae wrote the config.json of a folder: other programs have one, too."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and {"recae", "format"} <= {*config}


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be loaded: {reason(error)}")


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "AEIO" else f"a {name}"


TEMPLATE = """---
library_name: recae
tags:
- recae
- {kind}
---

# {kind}

{doc}

```python
import recae

loaded = recae.load("this-folder"{needs})
```

{tables}Saved by recae {version}. `recae.load` checks all files but this one, which may be edited.
"""


def card(kind: str, doc: str, settings: Mapping[str, Any]) -> str:
    """The model card, Markdown in the format of the Hugging Face hub.

    kind: the class; doc: its docstring, of which the card has the first line; settings: the
    hyperparameters `params` and the tables `facts`, {heading: {name: value}}, as far as they exist.
    """
    tables = {"Hyperparameters": settings.get("params", {}), **settings.get("facts", {})}
    return TEMPLATE.format(
        kind=kind,
        doc=doc.partition("\n")[0],
        needs=", model=model" if "model" in settings else "",
        tables="".join(_table(heading, values) for heading, values in tables.items() if values),
        version=__version__,
    )


def _table(heading: str, values: Mapping[str, Any]) -> str:
    rows = "".join(f"| {name} | {_cell(value)} |\n" for name, value in values.items())
    return f"## {heading}\n\n| name | value |\n|---|---|\n{rows}\n"


def _cell(value: Any) -> str:
    shown = f"{value:,}" if type(value) is int else repr(value) if value == "" else str(value)
    return " ".join(shown.replace("|", "\\|").split())
