"""The residual stream read: position rules, capture of whole sets, the view token by token.

No vector is made and no variant compared here; what is captured leaves as tensors.
"""
