"""Trait vectors: methods, candidates, separation, choice, nulls, and their file format.

Activations come in as tensors; no model is run.
"""
