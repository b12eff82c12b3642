"""What tasks share: pictures, geometry, formats of files."""
