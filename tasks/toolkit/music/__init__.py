"""What audio.beats listens with."""
