"""The only code that knows Valkey."""
