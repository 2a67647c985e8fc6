"""Logs a model as people do, registers a version and gives it an alias; prints the version.

log_model.py URI NAME package FOLDER   a package of Tributary's, as files
log_model.py URI NAME packable FOLDER  MLflow's ONNX flavour, with the files that packing needs
log_model.py URI NAME bare FOLDER      MLflow's ONNX flavour alone, by its own log_model
"""
import os
import shutil
import sys
import tempfile

import mlflow
import mlflow.onnx
import onnx
from mlflow import MlflowClient

uri, name, how, folder = sys.argv[1:5]
mlflow.set_tracking_uri(uri)
mlflow.set_experiment("tributary")
client = MlflowClient()
model = onnx.load(os.path.join(folder, "model.onnx")) if how != "package" else None
requirements = ["onnxruntime"]

with mlflow.start_run() as run, tempfile.TemporaryDirectory() as scratch:
    if how == "bare":
        info = mlflow.onnx.log_model(model, name="model", pip_requirements=requirements, registered_model_name=name)
        version = info.registered_model_version
    else:
        if how == "packable":
            folder, source = os.path.join(scratch, "model"), folder
            mlflow.onnx.save_model(model, folder, pip_requirements=requirements)
            for file in ("labels.json", "preprocessor_config.json"):
                shutil.copy(os.path.join(source, file), folder)
        mlflow.log_artifacts(folder, "model")
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        version = client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id).version

client.set_registered_model_alias(name, "challenger", version)
print(version)
