"""Variant against base: projection shift, length control, discrimination, decomposition.

Activations and vectors come in as tensors; nothing here runs a model or reads a file.
"""
