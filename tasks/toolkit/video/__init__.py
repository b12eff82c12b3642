"""What tasks on video share: frames out of it, and files made of it."""
