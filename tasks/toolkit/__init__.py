"""What tasks share: pictures, geometry, kinds of files."""
