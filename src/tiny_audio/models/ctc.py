"""Connectionist temporal classification (Graves et al. 2006) over a vocabulary that is an embedding table.

The output layer is the language model's own frozen table, 49,152 rows: log-probabilities of a whole batch would
fill gigabytes. CTC only ever reads the normaliser and the labels of each utterance, so only those are computed.

Shapes: B batch, A audio tokens (CTC frames), E embedding width, V vocabulary, N labels of an utterance.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_ROWS_PER_BLOCK = 256
"""CTC frames whose logits over the whole vocabulary are in memory at once: 256 * 49,152 * 4 bytes = 50 MB."""


def frames_needed(labels: Sequence[int]) -> int:
    """CTC frames without which `labels` cannot be aligned: one a label and a blank between equal neighbours."""
    return len(labels) + sum(left == right for left, right in itertools.pairwise(labels))


def is_feasible(num_frames: int, labels: Sequence[int]) -> bool:
    """Whether any alignment of `labels` to that many CTC frames exists (T' >= L + repeats)."""
    return num_frames >= frames_needed(labels)


class _TableLogsumexp(torch.autograd.Function):
    """`logsumexp(hidden @ table.T + bias)` by rows.

    The gradient of `hidden`, softmax @ table, is made in the same pass and kept instead of the logits; a table that
    learns, made from spellings, needs the softmax itself.
    """

    @staticmethod
    def forward(ctx: Any, hidden_NE: Tensor, table_VE: Tensor, bias_V: Tensor | None) -> Tensor:
        normalisers, means, shares = [], [], []
        for block in hidden_NE.detach().to(table_VE.dtype).split(_ROWS_PER_BLOCK):
            logits = (block @ table_VE.T).float()
            if bias_V is not None:
                logits += bias_V
            highest = logits.amax(dim=1, keepdim=True)
            weights = logits.sub_(highest).exp_()
            total = weights.sum(dim=1, keepdim=True)
            normalisers.append((highest + total.log()).squeeze(1))
            if ctx.needs_input_grad[0]:
                means.append((weights.to(table_VE.dtype) @ table_VE).float() / total)
            if ctx.needs_input_grad[1]:
                shares.append((weights / total).to(table_VE.dtype))
        ctx.save_for_backward(*(torch.cat(parts) if parts else None for parts in (means, shares)), hidden_NE)
        return torch.cat(normalisers)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        mean_NE, share_NV, hidden_NE = ctx.saved_tensors
        of_hidden_NE = None if mean_NE is None else grads[0][:, None] * mean_NE
        of_table_VE = None if share_NV is None else share_NV.T @ (grads[0][:, None] * hidden_NE).to(share_NV.dtype)
        return of_hidden_NE, of_table_VE, None


def table_logsumexp(hidden_NE: Tensor, table_VE: Tensor, bias_V: Tensor | None = None) -> Tensor:
    """Log of the sum over the vocabulary of exp(<hidden, embedding> + bias), `(N,)`; `bias` gets no gradient."""
    return _TableLogsumexp.apply(hidden_NE, table_VE, bias_V)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class VocabularySample:
    """A part of the vocabulary whose weighted sum estimates the sum over all of it (Bengio and Senecal 2008)."""

    table_NE: Tensor
    """Embeddings of the part, in the format the sum is computed in."""
    log_weights_N: Tensor
    """Logarithm of how many tokens each one stands for; 0 for those that are always in."""
    always_M: Tensor
    """Ids of the first M, which are always in, ascending."""

    def rows(self, token_ids: Tensor) -> Tensor:
        """Embeddings of some that are always in."""
        return self.table_NE[torch.searchsorted(self.always_M, token_ids).clamp_max(len(self.always_M) - 1)]


class _AlignmentLoss(torch.autograd.Function):
    """`F.ctc_loss` with the true gradient of its log-probabilities, minus the posterior of each label.

    PyTorch's own gradient is probability minus posterior, which is right only behind a log-softmax over exactly these
    classes. Ours are a part of the vocabulary, and the normaliser has its own gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, log_probs_ABN: Tensor, targets: Tensor, lengths_B: Tensor, target_lengths_B: Tensor
    ) -> Tensor:
        with torch.enable_grad():
            inner_ABN = log_probs_ABN.detach().requires_grad_()
            losses_B = F.ctc_loss(inner_ABN, targets, lengths_B, target_lengths_B, blank=0, reduction="none")
            if ctx.needs_input_grad[0]:
                (gradient_ABN,) = torch.autograd.grad(losses_B.sum(), inner_ABN)
                within_AB1 = (torch.arange(len(log_probs_ABN))[:, None] < lengths_B).unsqueeze(-1)
                ctx.save_for_backward((gradient_ABN - log_probs_ABN.exp()) * within_AB1.to(gradient_ABN.device))
        return losses_B.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient_ABN,) = ctx.saved_tensors
        return gradient_ABN * grads[0][None, :, None], None, None, None


def ctc_loss(
    hidden_BAE: Tensor,
    blank_BA: Tensor,
    lengths_B: Tensor,
    labels: Sequence[Sequence[int]],
    table_VE: Tensor,
    *,
    sample: VocabularySample | None = None,
) -> Tensor:
    """Negative log-likelihood `(B,)` of each row's labels.

    An infeasible row gives infinity: filter with `is_feasible` first. It is never set to zero, which would hide it.

    Args:
        hidden_BAE: projector output; its inner product with an embedding is that token's logit.
        blank_BA: logit of the blank.
        lengths_B: valid frames of each row.
        labels: token ids of each row.
        table_VE: embedding table.
        sample: stands for the whole table, in the normaliser and else; must have all labels among those always in.
    """
    num_rows, num_frames, _ = hidden_BAE.shape
    valid_BA = torch.arange(num_frames, device=hidden_BAE.device) < lengths_B.to(hidden_BAE.device)[:, None]
    if sample is None:
        tokens_N = table_logsumexp(hidden_BAE[valid_BA], table_VE)
    else:
        tokens_N = table_logsumexp(hidden_BAE[valid_BA], sample.table_NE, sample.log_weights_N)
    normaliser_N = torch.logaddexp(tokens_N, blank_BA[valid_BA])
    normaliser_BA = hidden_BAE.new_zeros(num_rows, num_frames).masked_scatter(valid_BA, normaliser_N)
    # A small vocabulary of each utterance's own: 0 is the blank, then its distinct labels.
    distinct = [sorted(set(row)) for row in labels]
    width = max((len(row) for row in distinct), default=0)
    own_BN = torch.zeros(num_rows, width, dtype=torch.long)
    for row, ids in zip(own_BN, distinct, strict=True):
        row[: len(ids)] = torch.tensor(ids, dtype=torch.long)
    # In the normaliser's own format: a label that is more exact than its sum would get a probability above 1.
    own_BN = own_BN.to(hidden_BAE.device)
    own_BNE = table_VE[own_BN] if sample is None else sample.rows(own_BN)
    own_logits_BAN = (hidden_BAE.to(own_BNE.dtype) @ own_BNE.transpose(1, 2)).to(hidden_BAE.dtype)
    logits_BAN = torch.cat([blank_BA.unsqueeze(-1), own_logits_BAN], dim=-1)
    log_probs_ABN = (logits_BAN - normaliser_BA.unsqueeze(-1)).transpose(0, 1)
    local = [[1 + ids.index(label) for label in row] for row, ids in zip(labels, distinct, strict=True)]
    target_lengths_B = torch.tensor([len(row) for row in local])
    targets = torch.tensor([label for row in local for label in row], dtype=torch.long)
    return _AlignmentLoss.apply(log_probs_ABN.float(), targets, lengths_B.cpu(), target_lengths_B)  # type: ignore[no-any-return]


def collapse(path: Sequence[int], blank_id: int) -> list[int]:
    """Labels of a frame-wise path: equal neighbours merge, then blanks go."""
    return [
        label
        for position, label in enumerate(path)
        if label != blank_id and (position == 0 or path[position - 1] != label)
    ]
