"""Search and sampling over the steps of what writes: knows no network, only its next logits."""
