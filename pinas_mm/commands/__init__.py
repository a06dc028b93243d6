"""What the console commands and ``tools/`` run: options are parsed before PyTorch is loaded."""
