import os

# ONNX Runtime would report to its maker; it reads this when it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
