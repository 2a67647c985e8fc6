"""Label Studio's own code on a folder of `labels next --save --format label-studio`: reads its interface, checks its tasks, annotates
each with the class that it is given, and exports them in every form that a classification has.

label_studio.py FOLDER OUT LABELS   LABELS: JSON, the class of each task in order
"""

import json
import sys
from pathlib import Path

from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface

folder, out, labels = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
config = (folder / "config.xml").read_text()
interface = LabelInterface(config)
interface.validate()
control = interface.get_control("label")

exported = []
for number, (task, label) in enumerate(zip(json.loads((folder / "tasks.json").read_text()), labels, strict=True), 1):
    assert interface.validate_task(task), task
    result = [{
        "id": f"r{number}",
        "type": "choices",
        "from_name": "label",
        "to_name": "image",
        "value": control.label(label).value.model_dump(),
    }]
    annotation = {
        "id": number,
        "completed_by": {"id": 4, "email": "ada@example.org"},
        "was_cancelled": False,
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:06Z",
        "lead_time": 2.5,
        "result": result,
    }
    assert interface.validate_annotation(annotation), annotation
    exported.append({"id": number, "project": 9, **task, "annotations": [annotation]})

out.mkdir()
(out / "export.json").write_text(json.dumps(exported))
converter = Converter(config, str(out), download_resources=False)
converter.convert_to_json_min(str(out / "export.json"), str(out / "min"), is_dir=False)
converter.convert_to_csv(str(out / "export.json"), str(out / "csv"), is_dir=False, header=True, sep=",")
print(json.dumps({"classes": control.labels, "files": [
    str(out / "export.json"), *(str(next((out / form).iterdir())) for form in ("min", "csv")),
]}))
