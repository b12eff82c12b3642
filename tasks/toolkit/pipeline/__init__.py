"""What media.pipeline checks and looks up."""
