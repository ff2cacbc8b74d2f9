"""Training: batches, objective, loop, checkpoint.

The names are listed in `__init__.pyi`, and each is imported when it is first used: models and
`recommend` write `training.train(...)`, so that a service that only answers imports none of it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
