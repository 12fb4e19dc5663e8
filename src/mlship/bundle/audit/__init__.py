"""What is found in a bundle, and what it tells of itself: secrets, pickles, proof, size, card."""
