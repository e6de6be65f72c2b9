"""Models behind an OpenAI-compatible server: its settings, requests in parallel, faults in a line.

What is asked, and what an answer means, is the caller's matter.
"""
