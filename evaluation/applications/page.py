"""Pictures of the page of `recae serve` in a headless Chromium, wide and narrow, light and dark."""

from __future__ import annotations

import argparse
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import recae
from evaluation.kit.browser import browser, missing
from recae.errors import ConfigError
from recae.serve import Shelf, create_app

SHOWN = "#like=318,296,593,50"
"""Four films that many have seen, as the link of the page names them."""


def main(argv: Sequence[str]) -> int:
    """Fits EASE and PureSVD on the bundled MovieLens, serves them, and writes four pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder of the pictures")
    parser.add_argument("--scale", type=float, default=1.0, help="pixels of a CSS pixel")
    given = parser.parse_args(argv)
    lacks = missing()
    if lacks is not None:
        raise ConfigError(f"the page cannot be drawn: {lacks}")
    dataset = recae.load_dataset("ml-latest-small")
    plays = dataset.interactions.filter(min_weight=4, min_per_item=5, binarise=True)
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        models = {"ease": recae.EASE(l2=200), "pure-svd": recae.PureSVD(latent=32)}
        places = {
            name: Path(model.fit(plays).save(Path(folder) / name)) for name, model in models.items()
        }
        with listening(create_app(Shelf(places, titles=dataset.items.reset_index()))) as address:
            draw(address + SHOWN, given.out, given.scale)
    return 0


def draw(address: str, out: Path, scale: float) -> None:
    """Writes page-WIDTH-light.png and page-WIDTH-dark.png for 1400 and 400 CSS pixels."""
    with browser() as new:
        tab = new()
        for width, height in ((1400, 1000), (400, 900)):
            for dark in (False, True):
                tab.size(width, height, dark, scale)
                tab.open(address)
                tab.wait("document.querySelector('#lists[aria-busy=false] .list')")
                tab.wait("document.querySelectorAll('#picked li').length > 3")
                time.sleep(0.3)  # titles of the picks, and the transition
                path = out / f"page-{width}-{'dark' if dark else 'light'}.png"
                path.write_bytes(tab.picture())
                print(path)
        faults = tab.faults()
    if faults:
        raise RuntimeError(f"the page has faults: {faults}")


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """An application that answers on a free port of this machine while the block runs."""
    import uvicorn

    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [port]}, daemon=True)
        thread.start()
        try:
            end = time.monotonic() + 20
            while not server.started and time.monotonic() < end:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{port.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(10)
