"""What tasks share: geometry, colours, time and progress, and a room for each kind of media."""
