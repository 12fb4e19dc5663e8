"""Jobs: queued, run step by step, and kept with what they wrote."""
