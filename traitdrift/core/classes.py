"""The two sides of a trait, in the order in which they stand everywhere."""

# Of `refusal` the harmful requests are positive, of `code_mode` the requests for code.
CLASSES = ("positive", "negative")
