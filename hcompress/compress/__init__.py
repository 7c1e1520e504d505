"""What makes a recogniser smaller: pure functions, a model in and a model out."""
