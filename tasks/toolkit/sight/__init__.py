"""What tells where people look in a picture."""
