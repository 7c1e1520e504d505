"""The gate: sizes and accuracy held to limits."""
