"""The Hamming head: codes, projection, loss, graph and second look."""
