"""The nightly job as a Dagster asset (Dagster 1.13), with its figures as metadata."""

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg

JOBS = Path("/jobs")
OUTPUT = JOBS / "recommendations"


@dg.asset(retry_policy=dg.RetryPolicy(max_retries=2, delay=300))
def recommendations(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """A list for every user, in current/lists."""
    call = [sys.executable, str(JOBS / "nightly.py"), "run", str(JOBS / "job.toml")]
    done = subprocess.run(call, capture_output=True, text=True)
    context.log.info(done.stdout)
    if done.returncode:  # 10: the guard has stopped the night, and would do so again
        raise dg.Failure(done.stderr.strip(), allow_retries=done.returncode != 10)
    night = json.loads((OUTPUT / "current" / "night.json").read_text())
    figures = ("metric", "change", "judged_users", "list_users")
    metadata = {name: night[name] for name in figures if name in night}
    report = dg.MetadataValue.path(str(OUTPUT / "current" / "report.html"))
    return dg.MaterializeResult(metadata=metadata | {"report": report})


every_night = dg.define_asset_job("every_night", selection=[recommendations])
defs = dg.Definitions(
    assets=[recommendations],
    jobs=[every_night],
    schedules=[dg.ScheduleDefinition(job=every_night, cron_schedule="0 2 * * *")],
)
