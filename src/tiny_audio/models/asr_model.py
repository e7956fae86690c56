"""The recogniser: audio encoder, projector, language model.

    waveforms -> encoder -> projector -> language model -> text

An aligned projector also gives CTC hypotheses; `inference.recognizer` lets CTC and language model decide together. Any
other projector's output goes to the language model as it is.

Shapes: B batch, T encoder frames, D encoder width, A audio tokens, E LLM width, V vocabulary.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tiny_audio.audio.io import load_audio
from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.errors import CheckpointError, PromptError
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.character_ctc import CharacterCTC
from tiny_audio.models.describer import Describer
from tiny_audio.models.encoders.encoder import Encoder, EncoderOutput
from tiny_audio.models.modules import Modules, build_modules
from tiny_audio.models.posteriors import audio_embeddings
from tiny_audio.models.projectors.aligned import AlignmentHeads, Projected
from tiny_audio.models.speech_llm import Turn
from tiny_audio.text.prompts import decode_transcript, question_text, task_text


class ASRModel(nn.Module):
    """A whole recogniser, or (without an encoder) all that comes behind the encoder.

    `ASRModel(config)` has pretrained frozen parts and an untrained projector, `from_pretrained` a trained one.

    Args:
        config: what it is made of.
        modules: the parts; None: built from the configuration.
    """

    def __init__(self, config: ASRConfig, modules: Modules | None = None) -> None:
        super().__init__()
        modules = modules or build_modules(config)
        self.config = config
        self.encoder = modules.encoder
        self.projector: Any = modules.projector
        self.speech_llm = modules.speech_llm
        self.tokenizer: Any = modules.tokenizer
        self.ctc_tokenizer = modules.ctc_tokenizer or modules.tokenizer
        # Learnt by an objective of its own, beside everything else.
        facts = config.described_facts
        self.describer = Describer(config.encoder_dim, facts).requires_grad_(False) if facts else None
        self.characters = (
            CharacterCTC(config.encoder_dim, config.characters).requires_grad_(False) if config.characters else None
        )
        self.register_buffer("table_VE", modules.table_VE, persistent=False)
        self.table_VE: Tensor
        self.register_buffer("_kept_ctc_table_VE", None, persistent=False)
        self._kept_ctc_table_VE: Tensor | None

    @classmethod
    def from_pretrained(cls, name: str | Path = "tiny-audio-base", *, config: ASRConfig | None = None) -> "ASRModel":
        """Load a checkpoint: the name of a shipped model, or a folder that `tiny-audio train` made.

        Args:
            name: of the model, or its folder.
            config: as `ASRConfig.from_pretrained(name)` gave it; only `decoding` may be changed.

        Raises:
            CheckpointError: no such checkpoint, or its tensors do not fit.
            WeightsError: the frozen weights can neither be found nor fetched.
        """
        from tiny_audio.models.checkpoint import load_model

        return load_model(name, config=config)

    def save_pretrained(self, folder: str | Path, *, dtype: torch.dtype = torch.float16) -> None:
        """Write a checkpoint folder: configuration and the trained part, each file whole or not at all."""
        from tiny_audio.models.checkpoint import save_checkpoint

        save_checkpoint(Path(folder), self, dtype=dtype)

    @property
    def decoder(self) -> Any:
        """The language model, a `transformers` class; None where the text is the CTC draft."""
        return self.speech_llm and self.speech_llm.llm

    @property
    def ctc_table_VE(self) -> Tensor:  # noqa: N802 - shape suffix
        """Embeddings of the tokens that the CTC writes; those of their spelling stand behind them where it has any."""
        if self._kept_ctc_table_VE is not None:
            return self._kept_ctc_table_VE
        table_VE = self.table_VE[: self.config.projector.ctc_vocab_size]
        spelling = getattr(self.projector, "spelling", None)
        return table_VE if spelling is None else torch.cat([table_VE, spelling().to(table_VE)], dim=1)

    @torch.no_grad()
    def keep_ctc_table(self) -> None:
        """Make `ctc_table_VE` once, until the model is trained on; its part that is `table_VE` is in memory once."""
        self._kept_ctc_table_VE = kept_VE = self.ctc_table_VE
        if len(kept_VE) == len(self.table_VE) and self.speech_llm is None:
            self.table_VE = kept_VE[:, : self.table_VE.shape[1]]

    def train(self, mode: bool = True) -> "ASRModel":
        """What was made once may change in training."""
        if mode:
            self._kept_ctc_table_VE = None
        return super().train(mode)

    @property
    def is_aligned(self) -> bool:
        """Whether the projector gives CTC hypotheses."""
        return self.config.projector.aligned

    def encode(self, audio: Any, sampling_rate: int = SAMPLE_RATE) -> Tensor:
        """Encoder output `(B, T, D)` of one waveform `(S,)`, a batch `(B, S)`, or a list of unequal ones."""
        return self._encode(audio, sampling_rate).last_hidden_state

    def _encode(self, audio: Any, sampling_rate: int) -> EncoderOutput:
        rows = [audio] if getattr(audio, "ndim", 0) == 1 else list(audio)
        waveforms = [load_audio(np.asarray(row, dtype=np.float32), sample_rate=sampling_rate) for row in rows]
        features, lengths_B = self._encoder.features(waveforms)
        device = self.table_VE.device
        return self._encoder(features.to(device), lengths_B.to(device))

    def audio_projector(self, encoder_BTD: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Projector output `(B, A, E)`; of an aligned projector, its vectors in token space."""
        projector = self.projector.projector if isinstance(self.projector, AlignmentHeads) else self.projector
        projected = projector(encoder_BTD, lengths_B)
        return projected.hidden_BAE[..., : self.config.llm_dim] if isinstance(projected, Projected) else projected

    @torch.inference_mode()
    def generate(
        self,
        audio: Any = None,
        sampling_rate: int = SAMPLE_RATE,
        *,
        task: str = "transcribe",
        prompt: str | None = None,
        max_new_tokens: int = 256,
    ) -> list[str]:
        """What the language model writes, greedily, about each waveform.

        To transcribe, `Recognizer` is better: here the CTC of an aligned projector has no say in the choice of words.

        Args:
            audio: as for `encode`; None: the plain language model answers `prompt`.
            sampling_rate: of the audio, in Hz.
            task: `transcribe`, `describe` or `emotion`, of which a model does what `config.tasks` says.
            prompt: a question of your own in place of the task.
            max_new_tokens: for each answer.

        Raises:
            UnknownNameError: no such task.
            PromptError: neither audio nor a prompt, or a task that the language model was not trained for.
        """
        if self.speech_llm is None:
            raise CheckpointError("this checkpoint has no language model yet; expected one that `correct` has trained")
        if audio is None:
            if prompt is None:
                raise PromptError("there is neither audio nor a prompt; expected at least one of them")
            turns = [Turn(user=prompt)]
        else:
            if prompt is None:
                self.config.check_task(task)
                if task == "describe" and self.describer is not None:
                    raise PromptError(
                        "'describe' is not the language model's task in this model; use `Recognizer.answer_waveforms`"
                        " or `tiny-audio describe`, which ask its describer"
                    )
            user = task_text(task) if prompt is None else question_text(prompt)
            encoder_BTD, lengths_B = self._encode(audio, sampling_rate)
            projected = self.projector(encoder_BTD, lengths_B)
            embeds = self.audio_embeddings(projected, self.projector.output_lengths(lengths_B), self.ctc_table_VE)
            turns = [Turn(audio_AE, user) for audio_AE in embeds]
        answers = self.speech_llm.generate(turns, max_tokens=max_new_tokens)
        return [decode_transcript(self.tokenizer, token_ids) for token_ids in answers]

    def audio_embeddings(self, projected: Projected | Tensor, lengths_B: Tensor, table_VE: Tensor) -> list[Tensor]:
        """What the language model reads of the projector's output: one `(A', E)` tensor an utterance.

        Args:
            projected: output of the projector.
            lengths_B: audio tokens of each row.
            table_VE: the embedding table, in the format to compute in.
        """
        if isinstance(projected, Projected):
            threshold = self.config.decoding.blank_threshold
            return audio_embeddings(projected, lengths_B, table_VE, blank_threshold=threshold)
        return [row_AE[:length] for row_AE, length in zip(projected, lengths_B.tolist(), strict=True)]

    @property
    def _encoder(self) -> Encoder:
        assert self.encoder is not None, "this model was built without its encoder"
        return self.encoder
