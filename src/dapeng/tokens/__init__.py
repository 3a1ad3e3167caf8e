"""Text to token ids and back, without loss: what models that write are taught in. No torch."""
