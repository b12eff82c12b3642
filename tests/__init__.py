"""Tests of Dragon; they read as sentences."""
