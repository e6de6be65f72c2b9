"""LoRA fine-tunes: rows become labels, an adapter becomes trained.

Data sets are checked before, in `data`; what an adapter did is measured elsewhere.
"""
