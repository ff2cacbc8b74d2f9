"""What a map says about itself."""

from __future__ import annotations

from recae.errors import ConfigError
from recae.maps.colours import Groups
from recae.maps.map import Map

METHODS = {"tsne": "t-SNE", "pca": "principal components"}


def heading(map: Map) -> str:
    """The title of a picture or page that was given none."""
    return f"{len(map.ids):,} {map.what}s by {METHODS[map.method]}"


def model_name(map: Map) -> str:
    """The model that was drawn, as it is written; "" for codes."""
    return str(map.provenance.get("model", ""))


def caption(map: Map, colour: str | None) -> str:
    """How good the map is, in a line."""
    said = map.provenance
    parts = [f"{model_name(map) or 'codes'}, {said['vectors']}"] if model_name(map) else []
    parts.append(f"trustworthiness {said['trustworthiness']:.3f} at {said['neighbours']}")
    told = coherence_told(map, colour)
    return "; ".join([*parts, told] if told else parts)


def coherence_told(map: Map, colour: str | None) -> str:
    """How often neighbours share a label, in words; "" where nothing has labels."""
    if colour is None or not isinstance(map.colours[colour], Groups):
        return ""
    try:
        found = map.coherence(colour)
    except ConfigError:  # hardly any point has a label
        return ""
    return (
        f"{found.share:.0%} of the 10 nearest on the map share {colour} with a point, "
        f"{found.chance:.0%} by chance"
    )
