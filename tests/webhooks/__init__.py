"""Web hooks: sent, signed, repeated and on record."""
