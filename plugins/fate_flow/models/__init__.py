"""Trained models: one folder per party model id and version, buffers as protobuf files."""
