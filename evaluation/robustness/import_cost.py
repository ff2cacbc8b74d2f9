"""Measures the time of `import recae` beyond its dependencies, and checks which modules it loads.

    python -m evaluation import_cost

Fresh processes import torch alone, torch with pandas, scipy and pyarrow, and recae, alternately;
the medians are printed. The modules that `import recae` loads are then searched for modules that
most runs never need.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence

from evaluation.kit.provenance import keep

DEPENDENCIES = "numpy, pandas, scipy.sparse, scipy.linalg, pyarrow.parquet, pyarrow.csv, tqdm"
STEPS = {
    "torch": "import torch",
    "torch and the other dependencies": f"import torch, {DEPENDENCIES}, safetensors.torch",
    "recae": "import recae",
}
UNWANTED = (
    "implicit matplotlib sklearn polars optuna ray tensorboard lightning onnx onnxruntime numba "
    "jax tensorflow IPython requests fastapi faiss psutil pytest hypothesis "
    "torch._dynamo torch._inductor scipy.stats scipy.optimize urllib.request"
).split()


def seconds(statement: str) -> float:
    """Seconds that a statement takes in a fresh process, without the start of the interpreter."""
    code = (
        f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter()-start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def loaded(statement: str) -> set[str]:
    """The modules loaded in a fresh process after a statement."""
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def main(argv: Sequence[str] | None = None) -> int:
    """Prints medians and unwanted modules. Returns 1 if recae loads an unwanted module that torch
    does not."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(argv)
    for statement in STEPS.values():
        seconds(statement)  # warms the disk cache
    times: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(options.rounds):
        for name, statement in STEPS.items():
            times[name].append(seconds(statement))
    medians = {name: round(statistics.median(values), 3) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{median:6.2f} s  import of {name}")
    alone, together, ours = medians.values()
    print(
        f"{ours - alone:6.2f} s  recae beyond torch, of which its own code {ours - together:.2f} s"
    )
    ours_only = loaded(STEPS["recae"]) - loaded(STEPS["torch and the other dependencies"])
    own = {name for name in ours_only if name.partition(".")[0] == "recae"}
    unwanted = sorted(name for name in UNWANTED if name in ours_only)
    print(f"{len(own)} modules of recae, {len(ours_only - own)} others that only recae loads")
    print(f"unwanted among them: {', '.join(unwanted) or 'none'} (looked for {len(UNWANTED)})")
    result = {"suite": "import", "seconds": medians, "unwanted": unwanted, "sought": UNWANTED}
    print(f"kept in {keep('import-cost', result)}")
    return 1 if unwanted else 0


if __name__ == "__main__":
    raise SystemExit(main())
