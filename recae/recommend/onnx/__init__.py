"""Models as ONNX files: histories in, ranked lists out, without recae and without torch."""
