"""A report of synthetic users in plain words."""

from __future__ import annotations

from typing import Any


def sentences(report: Any) -> list[str]:
    """What the numbers say, one sentence a line; report: a SyntheticReport."""
    found, users = report.measures, report.users
    ours, again, blind = (found[name] for name in ("synthetic", "resampled", "popularity"))
    lines = [
        f"{users['synthetic']:,} synthetic users against {users['real']:,} real ones:",
        f"- Items: {_percent(ours['item_distance'])} of the interactions would have to move for "
        "every item to come up as often as in the real data (real users drawn again: "
        f"{_percent(again['item_distance'])}).",
        f"- Items that go together: over {users['pairs of items']:,} pairs the lifts correlate "
        f"with the real ones at {ours['pair_correlation']:.2f} (real users drawn again "
        f"{again['pair_correlation']:.2f}, items drawn by popularity "
        f"{blind['pair_correlation']:.2f}).",
        f"- Copies: {_percent(ours['exact_copies'])} have exactly the items of a training user, "
        f"{_percent(ours['near_copies'])} nearly or exactly.",
    ]
    if not report.nearest:
        return [*lines, "- Nobody was held out: of privacy and use nothing can be said."]
    lines += [
        f"- Nearness: a synthetic user is nearer to a training user than a held-out one is in "
        f"{_percent(ours['nearer'])} of comparisons (50 % if they were held-out users themselves, "
        f"{_percent(again['nearer'])} for real users drawn again); {_percent(ours['close'])} are "
        "nearer than 95 in 100 held-out users (5 % expected).",
        _attack_sentence(report),
        f"- Use: a model fitted on them has {report.metric} {ours['use']:.4f} on real users, "
        f"{_percent(report.kept)} of the {found['real']['use']:.4f} of one fitted on real users; "
        f"popular items {report.floor:.4f}, items drawn by popularity {blind['use']:.4f}.",
        "- These are measurements with the attacks named, no proof: nothing here is differentially "
        "private.",
    ]
    return lines


def _attack_sentence(report: Any) -> str:
    attacks = report.attacks
    mine = attacks[attacks["of"] == "synthetic"]
    # The surest one: a higher AUC may be the luck of fewer users.
    by, which = ("low", "surest") if (mine["low"] > 0.5).any() else ("auc", "best")
    best = mine.loc[mine[by].idxmax()]
    same = attacks[attacks["attack"] == best["attack"]].set_index("of")["auc"]
    leak = (
        "more than a blind guess: something of who was trained on shows"
        if best["low"] > 0.5
        else "no more than a blind guess"
    )
    return (
        f"- Membership: the {which} of {len(mine)} attacks ({best['attack']}) tells members from "
        f"others with AUC {best['auc']:.3f} ({best['low']:.3f} to {best['high']:.3f}), {leak}. On "
        f"items drawn by popularity, which know nobody, it has {same['popularity']:.3f}, which is "
        f"the luck of who was held out; on real users drawn again {same['resampled']:.3f}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
