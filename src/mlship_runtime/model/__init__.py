"""From raw columns to predictions: the reduction step, the model, and the tensors between them."""
