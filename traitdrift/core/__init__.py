"""Files, sections of params.yaml, progress: what every room needs.

Nothing here knows of models, vectors or statistics, and no other room is imported.
"""
