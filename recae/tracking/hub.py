"""Models on the Hugging Face hub: the saved folder is a repository of the hub already."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from recae.errors import ConfigError, DownloadError, StorageError, check_flag, explained
from recae.estimators.saved import ARRAYS, CARD, CONFIG, load

FILES = (CONFIG, ARRAYS, CARD, "*.parquet")
"""The files of a saved folder; nothing else of a repository is fetched."""


@explained
def push_to_hub(
    model: Any,
    repo_id: str | Path,
    *,
    private: bool = True,
    revision: str | None = None,
    message: str | None = None,
    token: str | None = None,
    with_history: bool = False,
) -> str:
    """Uploads what `model.save` writes to a repository of the hub; returns its address.

    model: anything that recae saves. repo_id: "owner/name"; made if it is missing, and private
    unless `private=False` (an existing one stays as it is). A Path, or a text that begins with /, .
    or ~, is a local folder in place of the hub, which is replaced. revision: a branch that exists;
    None is the main one. message: of the commit. token: None takes that of `hf auth login` or
    HF_TOKEN. with_history: as in `save`, for recommenders; without it, a history of an earlier
    upload is deleted from the branch (but stays in the history of the repository).

    Needs huggingface_hub (`pip install "recae[hub]"`), but for a local folder. Raises ConfigError
    without it and for a bad option, and StorageError if the hub refuses or cannot be reached.

    >>> recae.push_to_hub(recae.EASE().fit(data), "me/ease")  # doctest: +SKIP
    'https://huggingface.co/me/ease'
    """
    local = _folder(repo_id, revision)
    check_flag("private", private)
    extra = {"with_history": True} if check_flag("with_history", with_history) else {}
    if not hasattr(model, "save"):
        raise ConfigError(f"{type(model).__name__} has nothing to save", parameter="model")
    if local is not None:
        return str(model.save(local, overwrite=True, **extra))
    hub = library()
    with tempfile.TemporaryDirectory(prefix="recae-") as place:
        folder = model.save(Path(place) / "model", **extra)
        try:
            api = hub.HfApi(token=token)
            address = api.create_repo(repo_id, private=private, repo_type="model", exist_ok=True)
            api.upload_folder(
                repo_id=repo_id,
                repo_type="model",
                folder_path=folder,
                revision=revision,
                commit_message=message or f"Upload {type(model).__name__}",
                delete_patterns=["*.parquet"],
            )
        except Exception as error:
            raise StorageError(f"cannot upload to {repo_id}: {_reason(error)}") from error
    return str(address)


@explained
def from_hub(repo_id: str | Path, revision: str | None = None, *, token: str | None = None) -> Any:
    """The model in a repository of the hub, as `recae.load` gives it.

    repo_id, token: as in `push_to_hub`. revision: a commit, tag or branch; None is the newest state
    of the main branch. Name a commit in a service: a branch may change. The files are kept in the
    cache of the hub, and only files that recae writes are fetched. Nothing in them is executed:
    whatever does not fit together is refused by `recae.load`.

    Needs huggingface_hub (`pip install "recae[hub]"`), but for a local folder. Raises ConfigError
    without it and for a bad option, DownloadError if the hub refuses or cannot be reached, and
    DataError for a repository that holds no model of recae.

    >>> recae.from_hub("me/ease", revision="8f3e1c2")  # doctest: +SKIP
    EASE()
    """
    local = _folder(repo_id, revision)
    if local is not None:
        return load(local)
    hub, name = library(), str(repo_id)
    try:
        cached = hub.snapshot_download(
            name, repo_type="model", revision=revision, token=token, allow_patterns=list(FILES)
        )
    except Exception as error:
        raise DownloadError(f"cannot download {repo_id}: {_reason(error)}") from error
    with tempfile.TemporaryDirectory(prefix="recae-", ignore_cleanup_errors=True) as place:
        folder = Path(place) / name.rpartition("/")[2]
        _link(Path(cached), folder)
        return load(folder)


def _link(cached: Path, folder: Path) -> None:
    """The files of the cache, which are symbolic links there, as real ones in a new folder.

    Hard links where the file system has them: they take no space and no time.
    """
    folder.mkdir()
    for pattern in FILES:
        for file in cached.glob(pattern):
            real = file.resolve()
            if not real.is_file():
                continue
            try:
                os.link(real, folder / file.name)
            except OSError:  # another file system
                shutil.copyfile(real, folder / file.name)


def _folder(repo_id: object, revision: object) -> Path | None:
    """The local folder that stands for a repository, or None for one of the hub. Raises
    ConfigError for what is neither."""
    if not isinstance(repo_id, str | Path) or not str(repo_id):
        raise ConfigError(
            f"repo_id must be like 'owner/name', or a local folder, not {repo_id!r}",
            parameter="repo_id",
            value=repo_id,
        )
    if revision is not None and (not isinstance(revision, str) or not revision):
        raise ConfigError(
            f"revision must be a commit, tag or branch, not {revision!r}",
            parameter="revision",
            value=revision,
        )
    if isinstance(repo_id, str) and not repo_id.startswith(("/", ".", "~")):
        return None
    if revision is not None:
        raise ConfigError(
            f"the folder {repo_id} has no revisions: name each state by a folder of its own",
            parameter="revision",
            value=revision,
        )
    return Path(repo_id).expanduser()


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def library() -> Any:
    """The library huggingface_hub. Raises ConfigError where it is missing."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ConfigError(
            'the hub needs the library huggingface_hub: pip install "recae[hub]"'
        ) from error
    return huggingface_hub
