"""What pages do: img tags, dragon.js and signed URLs, in a real Chromium."""
