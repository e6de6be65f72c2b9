"""Questions become requests, requests become responses.

What a response is worth is not asked here, and no intervention is known.
"""
