"""Several continuations as one tree, so that a language model reads what they share only once (arXiv 2305.09781)."""

from collections.abc import Sequence

import torch
from torch import Tensor

ROOT = -1
"""What comes before the first token of every continuation."""


class TokenTree:
    """A node is a token behind its parent; parents come before their children."""

    def __init__(self, continuations: Sequence[Sequence[int]] = ()) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._children: dict[tuple[int, int], int] = {}
        for continuation in continuations:
            self.add(continuation)

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, continuation: Sequence[int], parent: int = ROOT) -> None:
        """Add the nodes that are not there yet."""
        for token in continuation:
            node = self._children.get((parent, token))
            if node is None:
                node = len(self.tokens)
                self._children[parent, token] = node
                self.tokens.append(token)
                self.parents.append(parent)
                self.depths.append(0 if parent == ROOT else self.depths[parent] + 1)
            parent = node

    def child(self, node: int, token: int) -> int | None:
        """The node of `token` behind `node`."""
        return self._children.get((node, token))

    def path(self, continuation: Sequence[int]) -> list[int]:
        """The nodes of a continuation that is in the tree."""
        nodes, node = [], ROOT
        for token in continuation:
            node = self._children[node, token]
            nodes.append(node)
        return nodes

    def mask(self) -> Tensor:
        """`(nodes, nodes)`: True where a node sees another: itself and what leads to it."""
        mask = torch.zeros(len(self), len(self), dtype=torch.bool)
        for node, parent in enumerate(self.parents):
            if parent != ROOT:
                mask[node] = mask[parent]
            mask[node, node] = True
        return mask
