"""What a map says about itself."""

from __future__ import annotations

from recae.apply.maps.colours import Groups
from recae.apply.maps.quality import K
from recae.apply.maps.result import Map
from recae.errors import ConfigError

METHODS = {"tsne": "t-SNE", "pca": "principal components"}


def heading(drawn: Map) -> str:
    """The title of a picture or page that was given none."""
    return f"{len(drawn.ids):,} {drawn.what}s by {METHODS.get(drawn.method, drawn.method)}"


def model_name(drawn: Map) -> str:
    """The model that was drawn, as it is written; "" for codes."""
    return str(drawn.provenance.get("model", ""))


def caption(drawn: Map, colour: str | None) -> str:
    """How good the map is, in a line."""
    said = drawn.provenance
    parts = [f"{model_name(drawn) or 'codes'}, {said['vectors']}"] if model_name(drawn) else []
    parts.append(f"trustworthiness {said['trustworthiness']:.3f} at {said['neighbours']}")
    told = coherence_told(drawn, colour)
    return "; ".join([*parts, told] if told else parts)


def coherence_told(drawn: Map, colour: str | None) -> str:
    """How often neighbours share a label, in words; "" where nothing has labels."""
    if colour is None or not isinstance(drawn.colours[colour], Groups):
        return ""
    try:
        found = drawn.coherence(colour)
    except ConfigError:  # hardly any point has a label
        return ""
    return (
        f"{colour}: a point has some in common with {found.share:.0%} of its {K} nearest on the "
        f"map, with {found.chance:.0%} of all"
    )
