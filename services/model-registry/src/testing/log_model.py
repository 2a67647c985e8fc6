"""Logs models as people do, registers a version of each and gives it an alias. One process for all, as its imports take longest.

log_model.py URI

A line of its input is a JSON object with `name`, `folder` and `how`; a line of its output is "version N".
  package   a package of Tributary's, as files
  packable  MLflow's ONNX flavour, with the files that packing needs
  bare      MLflow's ONNX flavour alone, by its own log_model
"""
import json
import os
import shutil
import sys
import tempfile

import mlflow
import mlflow.onnx
import onnx
from mlflow import MlflowClient

REQUIREMENTS = ["onnxruntime"]


def log(client, name, how, folder):
    model = onnx.load(os.path.join(folder, "model.onnx")) if how != "package" else None
    with mlflow.start_run() as run, tempfile.TemporaryDirectory() as scratch:
        if how == "bare":
            info = mlflow.onnx.log_model(model, name="model", pip_requirements=REQUIREMENTS, registered_model_name=name)
            return info.registered_model_version
        if how == "packable":
            folder, source = os.path.join(scratch, "model"), folder
            mlflow.onnx.save_model(model, folder, pip_requirements=REQUIREMENTS)
            for file in ("labels.json", "preprocessor_config.json"):
                shutil.copy(os.path.join(source, file), folder)
        mlflow.log_artifacts(folder, "model")
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        return client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id).version


mlflow.set_tracking_uri(sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    mlflow.set_experiment("tributary")
    client = MlflowClient()
    version = log(client, asked["name"], asked["how"], asked["folder"])
    client.set_registered_model_alias(asked["name"], "challenger", version)
    print(f"version {version}", flush=True)
