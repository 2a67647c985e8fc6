"""A DAG that stands for a training: it leaves a copy of a model and a result where its order says; `slow` runs until it is cancelled."""

import json
import pathlib
import shutil
import time
from urllib.parse import unquote, urlparse

from airflow.sdk import dag, get_current_context, task


@dag(dag_id="retrain", schedule=None, catchup=False, is_paused_upon_creation=False)
def retrain():
    @task
    def train():
        order = get_current_context()["dag_run"].conf
        print(f"training {order['model']} on {order['dataset']}, attempt {order['attempt']}")
        if order["slice"] == "slow":
            time.sleep(600)
        results = pathlib.Path(unquote(urlparse(order["places"]["results"]).path))
        results.mkdir(parents=True, exist_ok=True)
        shutil.copy(unquote(urlparse(order["places"]["parent"]).path), results / "model.onnx")
        (results / "result.json").write_text(json.dumps({"formatVersion": 1}))

    train()


retrain()
