"""Recommender systems built on autoencoders.

Interactions go in; a model is fitted on them; it recommends, is evaluated, saved and exported:

    data  = recae.read_parquet("plays.parquet")
    split = recae.StrongGeneralization().split(data)
    model = recae.MultVAE().fit(split.train, validation=split.validation)
    print(recae.evaluate(model, split.test))
    model.export("top.parquet", data, k=100)
"""

from recae.compare import compare
from recae.data import (
    IdMap,
    Interactions,
    load_dataset,
    read_csv,
    read_parquet,
    read_table,
)
from recae.errors import (
    CapacityError,
    ConfigError,
    DataError,
    DownloadError,
    NotFittedError,
    RecaeError,
    RecaeWarning,
    StorageError,
    TrainingError,
    TrainingInterrupted,
)
from recae.evaluate import Report, by_history, by_popularity, evaluate
from recae.export import export_top_k
from recae.models import (
    ALS,
    BPR,
    CDAE,
    EASE,
    EDLAE,
    ELSA,
    FLVAE,
    MODELS,
    RDLAE,
    RLAE,
    SVDAE,
    VASP,
    AutoRec,
    Ensemble,
    HVamp,
    InfiniteAE,
    ItemKNN,
    MacridVAE,
    MultDAE,
    MultVAE,
    NeuralEASE,
    Popularity,
    PureSVD,
    Random,
    RecVAE,
    SparseAE,
    SparseEASE,
    UserKNN,
    VanillaAE,
    load,
)
from recae.ranking import TopK
from recae.recommender import Recommender
from recae.report import Entry, Published, comparison, plot_comparison
from recae.rmse import rmse
from recae.splits import (
    Fold,
    GlobalTime,
    LeaveLastOut,
    RandomSplit,
    Split,
    StrongGeneralization,
    UserKFold,
    fixed_split,
    holdout_pairs,
)
from recae.tune import Tuning, tune
from recae.version import __version__

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "EDLAE",
    "Entry",
    "ELSA",
    "HVamp",
    "SparseAE",
    "SparseEASE",
    "MacridVAE",
    "FLVAE",
    "NeuralEASE",
    "VASP",
    "AutoRec",
    "CDAE",
    "rmse",
    "Ensemble",
    "RecVAE",
    "MODELS",
    "RDLAE",
    "RLAE",
    "SVDAE",
    "CapacityError",
    "ConfigError",
    "DataError",
    "DownloadError",
    "Fold",
    "GlobalTime",
    "IdMap",
    "Interactions",
    "InfiniteAE",
    "ItemKNN",
    "LeaveLastOut",
    "MultDAE",
    "MultVAE",
    "NotFittedError",
    "Popularity",
    "Published",
    "PureSVD",
    "RandomSplit",
    "Random",
    "RecaeError",
    "RecaeWarning",
    "Recommender",
    "Report",
    "Split",
    "StorageError",
    "StrongGeneralization",
    "TopK",
    "TrainingError",
    "TrainingInterrupted",
    "Tuning",
    "UserKFold",
    "UserKNN",
    "VanillaAE",
    "__version__",
    "by_history",
    "by_popularity",
    "compare",
    "comparison",
    "evaluate",
    "export_top_k",
    "fixed_split",
    "holdout_pairs",
    "load",
    "load_dataset",
    "plot_comparison",
    "read_csv",
    "read_parquet",
    "read_table",
    "tune",
]
