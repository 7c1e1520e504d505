"""What a recogniser is, without torch."""
