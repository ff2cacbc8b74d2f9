from .hub import from_hub as from_hub
from .hub import push_to_hub as push_to_hub
from .mlflow_runs import MLflow as MLflow
from .named import tracker_of as tracker_of
from .store import Store as Store
from .summaries import TensorBoard as TensorBoard
from .weights_and_biases import WandB as WandB
