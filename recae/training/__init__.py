"""Training: batches, objective, loop, checkpoint."""

from recae.training.batches import ArrayLoader as ArrayLoader
from recae.training.batches import HalvesLoader as HalvesLoader
from recae.training.batches import Loader as Loader
from recae.training.batches import NegativesLoader as NegativesLoader
from recae.training.batches import SampledLoader as SampledLoader
from recae.training.batches import SparseLoader as SparseLoader
from recae.training.batches import draw_shares as draw_shares
from recae.training.checkpoint import Checkpoint as Checkpoint
from recae.training.convergence import warn_if_not_converged as warn_if_not_converged
from recae.training.device import DeviceLoader as DeviceLoader
from recae.training.device import has_bfloat16 as has_bfloat16
from recae.training.device import on_device as on_device
from recae.training.device import resolve_device as resolve_device
from recae.training.loop import Callback as Callback
from recae.training.loop import Epoch as Epoch
from recae.training.loop import Run as Run
from recae.training.loop import train as train
from recae.training.objective import Accumulation as Accumulation
from recae.training.objective import Objective as Objective
from recae.training.objective import annealed as annealed
from recae.training.plan import OPTIMISERS as OPTIMISERS
from recae.training.plan import BeforeEpoch as BeforeEpoch
from recae.training.plan import Phase as Phase
from recae.training.plan import Plan as Plan
