"""Workers, their decoders and programs, and what kills them."""
