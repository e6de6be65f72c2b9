"""trait-drift: what did this fine-tune do to the model?"""
