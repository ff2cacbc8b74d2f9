"""What leaves for the tools of a team: runs for MLflow, TensorBoard or Weights & Biases, and models
for the Hugging Face hub.

The names are listed in `__init__.pyi`, and each is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
