"""Text in: synthetic pairs, fine-tuning conversations, trait prompts, checked and split.

Tokens are counted here and spans found, but no model is run.
"""
