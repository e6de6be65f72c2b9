"""How fast is it, beside what people use now: one module a question, `python -m bench.NAME`."""
