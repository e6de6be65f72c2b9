"""A model that scores answers: protocol, reading of replies, backends, score cache, rates.

Whoever answers is not run here, and outcomes by rule live in `behaviour`.
"""
