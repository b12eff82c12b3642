"""What tasks on pictures share: reading, framing and writing them."""
