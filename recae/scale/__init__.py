"""The lists of a model on a cluster: Ray Data and Spark.

Nothing here is needed on one machine: `model.export` uses all of its cores.
"""

from recae.scale.recommend import Recommend as Recommend
from recae.scale.spark import map_in_arrow as map_in_arrow
