"""What an answer is: code, a refusal, or prose, by rules over its text.

No model runs here and no answer is made; rates are of answers that others wrote.
"""
