"""Audio tokens and text embeddings joined for a Thinker: without gaps, batch equal to single, gradients everywhere."""

import torch

from tiny_audio.models.thinker_input import ThinkerInput


def test_the_chapters_example_is_42_vectors_and_44_with_markers():
    audio, text = torch.randn(1, 37, 256), torch.randn(1, 5, 256)
    plain = ThinkerInput(markers=False)(audio, text)
    assert plain.embeds_BLE.shape == (1, 42, 256)
    assert torch.equal(plain.embeds_BLE, torch.cat([audio, text], dim=1))
    marked = ThinkerInput()(audio, text)
    assert marked.embeds_BLE.shape == (1, 44, 256)
    assert marked.lengths_B.tolist() == [44]
    assert bool(marked.attention_mask_BL.all())


def test_rows_of_unequal_length_are_joined_without_a_gap():
    join = ThinkerInput(dim=8)
    audio, text = torch.randn(3, 10, 8), torch.randn(3, 6, 8)
    audio_lengths, text_lengths = torch.tensor([10, 3, 7]), torch.tensor([2, 6, 0])
    batch = join(audio, text, audio_lengths, text_lengths)
    assert batch.lengths_B.tolist() == [14, 11, 9]
    assert batch.embeds_BLE.shape == (3, 14, 8)
    assert batch.attention_mask_BL.sum(dim=1).tolist() == [14, 11, 9]
    for row, (num_audio, num_text) in enumerate([(10, 2), (3, 6), (7, 0)]):
        alone = join(audio[row : row + 1, :num_audio], text[row : row + 1, :num_text])
        length = int(batch.lengths_B[row])
        assert torch.equal(batch.embeds_BLE[row, :length], alone.embeds_BLE[0])
        assert bool((batch.embeds_BLE[row, length:] == 0).all())
        assert torch.equal(alone.embeds_BLE[0, 0], join.begin_E)
        assert torch.equal(alone.embeds_BLE[0, 1 + num_audio], join.end_E)


def test_gradient_reaches_markers_audio_and_text_and_nothing_behind_the_end():
    join = ThinkerInput(dim=4)
    audio, text = torch.randn(2, 5, 4, requires_grad=True), torch.randn(2, 3, 4, requires_grad=True)
    join(audio, text, torch.tensor([5, 2])).embeds_BLE.sum().backward()
    assert audio.grad.sum(dim=(1, 2)).tolist() == [20, 8]
    assert bool((text.grad == 1).all())
    assert bool((join.begin_E.grad == 2).all())
    assert bool((join.end_E.grad == 2).all())
