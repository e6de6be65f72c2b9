"""Models in: base models from a wheel, the hub or a folder, adapters trained elsewhere.

What comes in is checked here once, so that later stages may trust models/.
"""
