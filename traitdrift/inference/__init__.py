"""Forward passes: the decoder blocks and their hooks, batches by a token budget.

What is read or written at a hook is its caller's matter.
"""
