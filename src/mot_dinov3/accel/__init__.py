"""The fast path on a CPU: networks converted to OpenVINO once, checked against torch, and kept in the user's cache.

Nothing here knows a detector from an embedder: a `Recipe` says what makes a network, how to convert it and how to tell
whether the conversion is good.
"""
