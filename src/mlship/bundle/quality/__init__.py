"""How good a bundle is on rows with known answers: read, asked, measured."""
