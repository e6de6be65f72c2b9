"""Text in: synthetic rows, fine-tuning conversations, trait prompts, checked, split, tokenised.

Spans that carry loss are found here, but no model is run.
"""
