"""What every writer of tokens has: a table, a matrix that hidden states are compared with, and the loss over it.

Legend: B rows, T tokens, D width, V vocabulary, S tokens of the inputs, C their width.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dapeng.nn.tables import Lent
from dapeng.nn.vocabulary import IGNORED, token_losses


class TokenWriter(nn.Module):
    """ids (B, T) -> losses of the tokens that follow. A subclass says what stands behind each token, and makes the head last."""

    head: nn.Linear | None
    head_bias: Tensor | None
    """(V,) added to the logits; None without."""

    def __init__(self, table: nn.Embedding):
        super().__init__()
        self.table = Lent(table)
        self.register_parameter("head_bias", None)

    @abstractmethod
    def behind(self, ids: Tensor, documents: Tensor | None, said: Tensor | None, mask: Tensor | None) -> Tensor:
        """(B, T) -> (B, T, D) what is compared with the matrix, from nothing read on; arguments as of `losses`."""

    @property
    def matrix(self) -> Tensor:
        """(V, D) what a hidden state is compared with."""
        found: Tensor = (self.table.module if self.head is None else self.head).weight  # type: ignore[assignment]
        return found

    def losses(
        self,
        ids: Tensor,
        counted: Tensor,
        documents: Tensor | None = None,
        said: Tensor | None = None,
        mask: Tensor | None = None,
        smoothing: float = 0.0,
    ) -> Tensor:
        """(B, T - 1) nats of each token but the first, given those before it; 0 where it is not `counted` (B, T).

        documents: (B, T) which text of a packed row a token is of. said, mask: (B, S, C) tokens of the inputs.
        """
        rows, tokens = ids.shape
        hidden = self.behind(ids[:, :-1], None if documents is None else documents[:, :-1], said, mask)
        targets = torch.where(counted[:, 1:], ids[:, 1:], IGNORED).long()
        hidden, matrix = hidden.flatten(0, 1), self.matrix
        if self.head_bias is not None:  # one more coordinate, that is 1 of every token
            hidden = F.pad(hidden, (0, 1), value=1.0)
            matrix = torch.cat([matrix, self.head_bias[:, None].to(matrix.dtype)], 1)
        return token_losses(hidden, matrix, targets.flatten(), smoothing).view(rows, tokens - 1)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V) fp32."""
        if self.head is not None:
            found = self.head(hidden).float()
        else:
            found = F.linear(hidden, self.matrix.to(hidden.dtype)).float()
        return found if self.head_bias is None else found + self.head_bias

    def _own_head(self, tied: bool, width: int, std: float) -> nn.Linear | None:
        """A matrix beside the table, drawn with this deviation; None where the table is compared with."""
        if tied:
            return None
        head = nn.Linear(width, self.table.module.num_embeddings, bias=False)  # type: ignore[arg-type]
        nn.init.normal_(head.weight, std=std)
        return head
