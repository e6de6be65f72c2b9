"""Interventions on a running model, answers under them, and their effects.

Vectors come in as tensors; how they were made is the business of `vectors`.
"""
