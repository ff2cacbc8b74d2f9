"""The page in a headless Chromium, by the keyboard alone: search, pick, reasons, block, compare."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import recae
from evaluation.applications.page import listening
from evaluation.kit import browser as chromium

psutil = pytest.importorskip("psutil", reason="psutil is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")
pytest.importorskip("fastapi", reason="the extra serve is not installed")

from recae.serve import Settings, Shelf, create_app  # noqa: E402

MISSING = chromium.missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
BIG = 2**53 + 1  # no double holds it
NAMES = ["Alien", "Aliens", "Brazil", "Contact", "Dune", "Élan", HOSTILE, "Gattaca", "Her", "Moon"]
IDS = [*range(1, 10), BIG]
TITLES = dict(zip(IDS, NAMES, strict=True))
KINDS = ["space", "space", "earth", "space", "space", "earth", "earth", "earth", "earth", "space"]


@pytest.fixture(scope="module")
def models() -> dict[str, recae.Recommender]:
    rng = np.random.default_rng(0)
    rows = [(user, item) for user in range(60) for item in rng.choice(IDS, 5, replace=False)]
    plays = pd.DataFrame(rows, columns=["user_id", "item_id"])
    return {"ease": recae.EASE(l2=5).fit(plays), "popular": recae.Popularity().fit(plays)}


@pytest.fixture(scope="module")
def address(
    models: dict[str, recae.Recommender], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("models")
    places = {name: Path(model.save(folder / name)) for name, model in models.items()}
    facts = pd.DataFrame({"item_id": IDS, "title": NAMES, "category": KINDS})
    app = create_app(Shelf(places, titles=facts), settings=Settings())
    with listening(app) as where:
        yield where


@pytest.fixture(scope="module")
def new_tab() -> Iterator[Any]:
    """Opens tabs of one browser, which leaves no process behind."""
    before = set(psutil.Process().children(recursive=True))
    with chromium.browser() as new:
        yield new
        started = set(psutil.Process().children(recursive=True)) - before
        assert started
    _, alive = psutil.wait_procs(started, timeout=5)
    assert [process.name() for process in alive] == []


@pytest.fixture
def tab(new_tab: Any) -> Iterator[chromium.Tab]:
    made = new_tab()
    made.size(1400, 900)
    yield made
    made.send("Page.close")


def texts(tab: chromium.Tab, selector: str) -> list[str]:
    found = tab.evaluate(f"[...document.querySelectorAll({selector!r})].map((n) => n.textContent)")
    return list(found)


def focus(tab: chromium.Tab) -> str:
    """The name of what has the focus: its label for screen readers, else its id."""
    return str(
        tab.evaluate(
            "document.activeElement.getAttribute('aria-label') || document.activeElement.id"
        )
    )


def tab_to(tab: chromium.Tab, name: str) -> None:
    for _ in range(60):
        if focus(tab) == name:
            return
        tab.press("Tab")
    raise AssertionError(f"no way to {name!r} by Tab")


def pick(tab: chromium.Tab, text: str, title: str) -> None:
    """Searches a text and picks the first title that is found."""
    tab.type(text)
    tab.wait("document.querySelector('#found li')")
    assert title in texts(tab, "#found li[aria-selected=true] span")
    tab.press("Enter")
    tab.wait("!document.querySelector('#found li')")


def press(tab: chromium.Tab, selector: str) -> None:
    tab.evaluate(f"void document.querySelector({selector!r}).click()")


def settled(tab: chromium.Tab) -> None:
    tab.wait("document.querySelector('#lists[aria-busy=false] .list')")


def expected(model: recae.Recommender, history: list[int], k: int = 10, **rules: Any) -> list[str]:
    lists = model.recommend(history=history, k=k, **rules)
    return [TITLES[item] for item in lists["item_id"]]


def test_a_session_by_the_keyboard(
    tab: chromium.Tab, address: str, models: dict[str, recae.Recommender]
) -> None:
    tab.open(address)
    tab.wait("document.querySelector('.chips li')")  # popular titles to begin with
    tab.press("/")
    assert focus(tab) == "search"
    field = "document.querySelector('#search')"

    tab.type("alien")  # two titles: the arrows move, Escape closes, the arrow opens again
    tab.wait("document.querySelectorAll('#found li').length === 2")
    first = tab.evaluate(f"{field}.getAttribute('aria-activedescendant')")
    tab.press("ArrowDown")
    active = tab.evaluate(f"{field}.getAttribute('aria-activedescendant')")
    assert active != first and tab.evaluate(f"document.getElementById('{active}') !== null")
    tab.press("Escape")
    assert tab.evaluate(f"{field}.getAttribute('aria-expanded')") == "false"
    assert tab.evaluate(f"{field}.value") == "alien"
    tab.press("ArrowDown")
    tab.wait("document.querySelectorAll('#found li').length === 2")
    tab.press("Escape", times=2)
    assert tab.evaluate(f"{field}.value") == ""

    pick(tab, "brazil", "Brazil")
    pick(tab, "elan", "Élan")
    pick(tab, "moon", "Moon")
    settled(tab)
    tab.wait("document.querySelectorAll('.list ol > li').length === 7")
    history = [3, 6, BIG]
    assert texts(tab, "#picked span") == ["Brazil", "Élan", "Moon"]
    listed = expected(models["ease"], history)
    assert texts(tab, ".list .title") == listed
    assert HOSTILE in listed  # shown as text, and nothing of it ran
    assert tab.evaluate("document.images.length") == 0
    assert tab.evaluate("document.title") != "taken"

    reasons = texts(tab, ".list ol > li:first-child .bars .from")  # those of the first are open
    assert sorted(reasons) == sorted(["Brazil", "Élan", "Moon"])
    amounts = [
        float(text.replace("−", "-"))
        for text in texts(tab, ".list ol > li:first-child .bars .amount")
    ]
    top = models["ease"].recommend(history=history, k=1)["score"][0]
    assert sum(amounts) == pytest.approx(top, abs=0.01 * np.abs(amounts).sum())  # as rounded

    tab_to(tab, f"Why {listed[1]}?")
    assert tab.evaluate("document.activeElement.matches(':focus-visible')")
    tab.press("Enter")
    assert tab.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"

    tab_to(tab, f"Block {listed[1]}")
    tab.press("Enter")
    tab.wait("document.querySelectorAll('.list ol > li').length === 6")
    assert texts(tab, ".list .title") == [title for title in listed if title != listed[1]]
    assert texts(tab, "#blocked li span") == [listed[1]]
    assert focus(tab) == f"Block {listed[2]}"  # the next row
    assert tab.faults() == []


def test_a_link_shows_the_same_again(
    tab: chromium.Tab, address: str, models: dict[str, recae.Recommender]
) -> None:
    link = f"#like=3,{BIG},77&k=5&with=popular"
    tab.open(address + link)
    settled(tab)
    tab.wait("document.querySelector('#picked').textContent.includes('Moon')")
    assert texts(tab, "#picked span") == ["Brazil", "Moon", "77"]  # an id without a title
    assert tab.evaluate("location.hash") == link
    found = tab.evaluate(
        "[...document.querySelectorAll('.list')].map((list) => "
        "[...list.querySelectorAll('.title')].map((title) => title.textContent))"
    )
    assert found == [expected(model, [3, BIG], k=5) for model in models.values()]
    both = len(set(found[0]) & set(found[1]))
    assert texts(tab, "#summary")[0].startswith(f"{both} of 5 ")
    alone = len(texts(tab, ".place.alone"))
    assert alone == 2 * (5 - both)

    for damaged in ("#like=%,3,x,'%E0%A4%A&k=no&model=none&rule-least=x", "#like", "#&&=", "#k=-9"):
        tab.open(address + damaged)
        tab.wait("document.querySelector('.list, .chips li, #trouble:not([hidden])')")
    assert tab.faults() == []


def test_rules_are_turned_on_and_off(
    tab: chromium.Tab, address: str, models: dict[str, recae.Recommender]
) -> None:
    tab.open(f"{address}#like=3,6&k=8")
    settled(tab)
    everything = expected(models["ease"], [3, 6])
    assert len(everything) == 8
    press(tab, "#rules summary")
    press(tab, "#rule-most")
    tab.wait("document.querySelectorAll('.list ol > li').length === 4")
    kinds = dict(zip(NAMES, KINDS, strict=True))
    best = [[t for t in everything if kinds[t] == kind][:2] for kind in ("space", "earth")]
    assert texts(tab, ".list .title") == [t for t in everything if t in sum(best, [])]
    assert len(texts(tab, ".notes li")) == 1  # why there are fewer
    assert "rule-most=2" in tab.evaluate("location.hash")

    press(tab, "#rule-seen")
    press(tab, "#rule-most")
    again = expected(models["ease"], [3, 6], k=8, exclude_seen=False)
    listed = "[...document.querySelectorAll('.list .title')].map((n) => n.textContent)"
    tab.wait(f"JSON.stringify({listed}) === JSON.stringify({json.dumps(again)})")
    press(tab, "#reset")
    tab.wait(f"JSON.stringify({listed}) === JSON.stringify({json.dumps(everything)})")
    for name in ("variety", "chance", "least"):  # each is one that the service knows
        press(tab, f"#rule-{name}")
        settled(tab)
    assert tab.evaluate("document.querySelector('#trouble').hidden")
    assert tab.faults() == []


def test_nothing_is_wider_than_the_window(tab: chromium.Tab, address: str) -> None:
    rules = "&block=1&rule-most=2&rule-variety=0.2"
    tab.open(f"{address}#like=3,6,{BIG},7&with=popular{rules}")
    settled(tab)
    tab.evaluate("document.querySelector('#rules').open = true")
    for width in (320, 400, 820, 1400):
        for dark in (False, True):
            tab.size(width, 800, dark)
            tab.wait(f"innerWidth === {width}")
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            colour = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (sum(map(int, colour[4:-1].split(","))) < 3 * 128) is dark


def replies(
    tab: chromium.Tab, path: str, click: str, *answers: tuple[int, dict[str, str], Any]
) -> None:
    """Clicks, and answers the next requests of a path in the place of the service."""
    tab.send("Fetch.enable", patterns=[{"urlPattern": f"*{path}*"}])
    press(tab, click)
    for status, headers, body in answers:
        end, paused = time.monotonic() + 10, None
        while paused is None and time.monotonic() < end:
            tab.evaluate("1")
            waiting = [
                event for event in tab.events if event.get("method") == "Fetch.requestPaused"
            ]
            paused = waiting[0] if waiting else time.sleep(0.02)
        assert paused is not None
        tab.events.remove(paused)
        content = chromium.base64.b64encode(json.dumps(body).encode()).decode()
        tab.send(
            "Fetch.fulfillRequest",
            requestId=paused["params"]["requestId"],
            responseCode=status,
            responseHeaders=[{"name": k, "value": v} for k, v in headers.items()],
            body=content,
        )
    tab.send("Fetch.disable")


def test_troubles_are_said_and_end(tab: chromium.Tab, address: str) -> None:
    tab.open(address)
    tab.wait("document.querySelector('.chips li')")
    shown = "!document.querySelector('#trouble').hidden"
    busy = (429, {"Retry-After": "1"}, {"error": {"code": "busy", "message": "m"}})
    replies(tab, "/v1/recommend", ".chips button", busy)
    tab.wait(shown)
    settled(tab)  # it asked again by itself
    assert tab.evaluate(f"{shown} === false")

    tab.send("Network.emulateNetworkConditions", offline=True, latency=0,
             downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip
    press(tab, ".list button[aria-label^=Add]")
    tab.wait(shown)
    tab.send("Network.emulateNetworkConditions", offline=False, latency=0,
             downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip
    press(tab, "#trouble button")
    settled(tab)


def test_a_service_with_a_token_is_asked_with_it(
    tab: chromium.Tab, models: dict[str, recae.Recommender], tmp_path: Path
) -> None:
    path = Path(models["ease"].save(tmp_path / "ease"))
    app = create_app(Shelf({"ease": path}), settings=Settings(token="0123456789abcdef"))
    with listening(app) as where:
        tab.open(where)
        tab.wait("!document.querySelector('#token').hidden")
        tab.evaluate("void document.querySelector('#token input').focus()")
        tab.type("0123456789abcdef")
        tab.press("Enter")
        tab.wait("document.querySelector('.chips li')")
        assert set(texts(tab, ".chips button")) <= {str(item) for item in IDS}  # no titles here
        assert "0123" not in tab.evaluate("location.href")
