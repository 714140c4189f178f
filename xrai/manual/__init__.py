"""What the manual shows: convolution, pooling, a dense layer and exercises in plain numpy."""
