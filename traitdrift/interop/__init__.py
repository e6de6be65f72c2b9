"""Trait vectors outside the pipeline: any model at hand, other libraries' files.

No stage imports this room, so nothing here can make a stage stale.
"""
