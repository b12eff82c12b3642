"""What tasks on audio and video share: containers, streams, and how ffmpeg is asked."""
