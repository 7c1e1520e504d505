"""What heads, searches and whole images cost, side by side on one thread. See docs/bench.md."""
