"""How a model becomes segments and digests, and back."""
