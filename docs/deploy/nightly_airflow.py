"""The nightly job as an Airflow DAG (Airflow 3, with apache-airflow-providers-standard).

The sensor needs a connection: airflow connections add fs_default --conn-type fs
"""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.filesystem import FileSensor
from airflow.sdk import dag


@dag(schedule="0 2 * * *", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1)
def recommendations():
    arrived = FileSensor(
        task_id="arrived",
        filepath="/data/plays/{{ macros.ds_add(dag_run.run_after | ds, -1) }}.parquet",  # yesterday
        mode="reschedule",
        timeout=4 * 3600,
    )
    night = BashOperator(
        task_id="night",
        bash_command="python /jobs/nightly.py run /jobs/job.toml",
        retries=2,  # a killed night goes on; one that the guard stopped is stopped again
        retry_delay=timedelta(minutes=5),
    )
    arrived >> night


recommendations()
