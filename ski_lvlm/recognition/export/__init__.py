"""Trained students as files for other runtimes: ONNX and PyTorch's ExportedProgram."""
