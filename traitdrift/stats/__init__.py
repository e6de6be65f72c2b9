"""Resampling intervals, permutation tests, multiple testing: figures in, figures out.

Nothing here knows of traits, layers or variants.
"""
