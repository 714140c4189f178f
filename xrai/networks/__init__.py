"""Networks: their configuration, building them in PyTorch, and summaries of them."""
