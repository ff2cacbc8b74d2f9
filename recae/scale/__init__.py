"""Lists beyond one machine: on a cluster of Ray or Spark, and into databases.

Nothing here is needed to write lists on one machine: `model.export` uses all of its cores.
"""

from recae.scale.databases import load_export as load_export
from recae.scale.on_ray import ray_export as ray_export
from recae.scale.recommend import Recommend as Recommend
from recae.scale.spark import map_in_arrow as map_in_arrow
