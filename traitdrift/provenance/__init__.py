"""Where a result comes from, by dvc.lock: trace, explain, verify, prune, mend, RO-Crate.

No number is computed here, and no torch is imported.
"""
