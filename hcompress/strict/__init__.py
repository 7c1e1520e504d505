"""What comes from outside, read within limits."""
