"""What video.hls plans and writes: the ladder and its playlists."""
