"""The base model and its tokenizer from models/base, adapters over it, chat templates.

Where models come from is `sources`; what is done with them is everybody else's.
"""
