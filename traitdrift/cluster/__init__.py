"""Several machines: the stages of dvc.yaml as tasks of a Ray cluster over one shared file system.

Nothing is computed here and no stage depends on it; DVC says what a stage is and when it is stale.
"""
