"""Training a CTC over characters beside a checkpoint, all else in which is carried over as it is."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tiny_audio.data.batch import Batch
from tiny_audio.data.spoken_forms import spoken_forms
from tiny_audio.data.stream import Step
from tiny_audio.errors import ConfigError
from tiny_audio.inference.recognizer import Hypothesis
from tiny_audio.models.asr_config import ASRConfig, CharactersConfig, EncoderConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.character_ctc import CharacterCTC, words_tensor
from tiny_audio.models.checkpoint import load_without_llm, read_checkpoint, write_checkpoint
from tiny_audio.models.ctc import collapse
from tiny_audio.models.ctc_model import ctc_nll
from tiny_audio.models.lora import merge_lora
from tiny_audio.text.ctc_units import BLANK_ID
from tiny_audio.text.word_list import WordList
from tiny_audio.training.config import MaskConfig, TrainConfig
from tiny_audio.training.frame_mask import mask_frames
from tiny_audio.training.objective import Objective, StepOutput, row_generators

_PREFIX, _WORDS = "characters.", "words"


class CharacterObjective(Objective):
    """CTC loss a character, on what the encoder with its adapters gives.

    Args:
        checkpoint: its configuration.
        model: of the checkpoint; its language model is not needed.
        state: all tensors of the checkpoint.
        config: sizes of the CTC over characters; one that the checkpoint has goes on with its own.
        mask: stretches of the encoder's output that are hidden.
    """

    def __init__(
        self,
        checkpoint: ASRConfig,
        model: ASRModel,
        state: Mapping[str, Tensor],
        config: CharactersConfig,
        mask: MaskConfig,
    ) -> None:
        super().__init__()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = {"frozen": model.requires_grad_(False).to(self.device)}  # not a child: it is not trained
        found = model.characters
        self.characters = found or CharacterCTC(checkpoint.encoder_dim, config)
        self.characters.to(self.device).requires_grad_(True)
        self.frame_rate = checkpoint.encoder.frame_rate
        self.mask = mask
        self._config = replace(checkpoint, characters=checkpoint.characters or config)
        self._rest = {name: tensor for name, tensor in state.items() if not name.startswith(_PREFIX)}

    def forward(self, batch: Batch, step: Step) -> StepOutput:
        """The batch's share of the step's loss a character."""
        features_BTD, lengths_B = self._encoded(batch)
        features_BTD = mask_frames(features_BTD, lengths_B, self.mask, row_generators(batch, step), self.frame_rate)
        loss = ctc_nll(self.characters(features_BTD, lengths_B), batch.labels) / max(step.num_labels, 1)
        return StepOutput(loss=loss, metrics={"loss": loss.item()})

    def _encoded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        encoder, block = self._model["frozen"].encoder, self._config.encoder.stored_block
        features_BTD, lengths_B = batch.features_BTD.to(self.device), batch.lengths_B
        if block is not None:
            assert encoder is not None, "a checkpoint with adapters in its encoder is loaded with it"
            with torch.no_grad():
                features_BTD, lengths_B = encoder.resume(features_BTD, lengths_B, block)
        return features_BTD, lengths_B

    @property
    def encoder(self) -> EncoderConfig:
        """Whose frozen part is stored."""
        return self._config.encoder

    def labels(self, text: str) -> tuple[int, ...]:
        """Characters of what was said."""
        return tuple(self.characters.units.encode(spoken_forms(text)[0]))

    def refuses(self, text: str) -> str | None:
        """Numbers that may have been read in several ways, and characters that nobody says."""
        forms = spoken_forms(text)
        if len(forms) > 1:
            return f"has a number that may be read as '{forms[0]}' or '{forms[1]}'"
        if unknown := self.characters.units.unknown_characters(forms):
            return f"has {', '.join(map(repr, sorted(unknown)))}, which is no character of English words"
        return None

    @property
    def writes_labels(self) -> bool:
        """Yes; no language model takes part."""
        return True

    def ctc_frames(self, num_frames: int) -> int:
        """As many as encoder frames."""
        return int(CharacterCTC.output_lengths(torch.tensor(num_frames)))

    def transcribe(self, batch: Batch) -> list[Hypothesis]:
        """The likeliest characters of each row."""
        with torch.inference_mode():
            output = self.characters(*self._encoded(batch))
        rows = zip(output.logits_BAV.argmax(dim=-1).tolist(), output.lengths_B.tolist(), strict=True)
        texts = [self.characters.units.decode(collapse(path[:length], BLANK_ID)) for path, length in rows]
        return [Hypothesis(text=text, draft="", no_speech=not text) for text in texts]

    def prepare(self, labels: Iterable[Sequence[int]], config: TrainConfig) -> None:
        """Know the words of the training transcripts; those of a checkpoint that has a list stay known."""
        heard = WordList.count(map(self.characters.units.decode, labels))
        counts = Counter(heard.counts) | Counter(self.characters.word_list.counts)
        words = words_tensor(WordList(counts)).to(self.device)
        self.characters.words = words
        self.characters.__dict__.pop("word_list", None)  # of the list before
        assert self._config.characters is not None
        self._config = replace(self._config, characters=replace(self._config.characters, word_bytes=len(words)))

    def trained_state(self) -> dict[str, Tensor]:
        """The CTC over characters, without its words, which are not learnt."""
        return {f"{_PREFIX}{name}": tensor for name, tensor in self.characters.state_dict().items() if name != _WORDS}

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Copy tensors of `trained_state`, or of what `save` wrote, into it."""
        own = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items() if name.startswith(_PREFIX)}
        self.characters.load_state_dict({**own, _WORDS: self.characters.words})

    def save(self, folder: Path) -> None:
        """Write the checkpoint with the characters in it."""
        tensors = {**self._rest, **self.trained_state(), f"{_PREFIX}{_WORDS}": self.characters.words}
        write_checkpoint(folder, self._config, tensors, dtype=torch.float16)


def build_character_objective(
    init: str | None, config: CharactersConfig | None, mask: MaskConfig
) -> CharacterObjective:
    """A CTC over characters for a checkpoint, or the one that it has, to be trained on.

    Raises:
        CheckpointError, UnknownNameError, WeightsError: there is no such checkpoint, or its frozen part is missing.
        ConfigError: none is given, or nothing of its encoder can be stored.
    """
    if init is None:
        raise ConfigError(["objective 'characters' adds to a checkpoint; give one with --init"])
    checkpoint_config, state = read_checkpoint(init)
    if not checkpoint_config.encoder.is_storable:
        raise ConfigError(["characters are learnt from stored features; expected encoder.lora.first_block above 0"])
    model, _ = load_without_llm(init)
    if model.encoder is not None:
        merge_lora(model.encoder)
    return CharacterObjective(checkpoint_config, model, state, config or CharactersConfig(), mask)
