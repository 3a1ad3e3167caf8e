"""What works texts out: plain torch, or a program made for it."""
