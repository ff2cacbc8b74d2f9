"""Recommender systems built on autoencoders.

Interactions go in; a model is fitted on them; it recommends, is evaluated, saved and exported:

    data  = recae.read_parquet("plays.parquet")
    split = recae.StrongGeneralization().split(data)
    model = recae.MultVAE().fit(split.train, validation=split.validation)
    print(recae.evaluate(model, split.test))
    model.export("top.parquet", data, k=100)

The public names are listed in `__init__.pyi`; each is imported when it is first used.
"""

import sys
from opcode import opmap
from typing import Any

import lazy_loader

_attribute, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Imports a public name; an unknown one is answered with the nearest."""
    if name in __all__ or name.startswith("_"):
        return _attribute(name)
    from recae.errors import did_you_mean

    message = f"recae has no {name!r}.{did_you_mean(name, __all__)}"
    caller = sys._getframe(1)
    if caller.f_code.co_code[caller.f_lasti] == opmap["IMPORT_FROM"]:
        raise ImportError(message, name="recae")  # `from recae import` has no words for the other
    raise AttributeError(message)
