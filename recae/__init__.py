"""Recommender systems built on autoencoders.

Interactions go in; a model is fitted on them; it recommends, is evaluated, saved and exported:

    data  = recae.read_parquet("plays.parquet")
    split = recae.StrongGeneralization().split(data)
    model = recae.MultVAE().fit(split.train, validation=split.validation)
    print(recae.evaluate(model, split.test))
    model.export("top.parquet", data, k=100)

The public names are listed in `__init__.pyi`; each is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
