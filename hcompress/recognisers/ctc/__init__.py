"""The CTC family: columns of the image, a neck, and the head at each of them."""
