"""A few minutes of general speech that come with the package; see README.md."""

from pathlib import Path

from tiny_audio.data.manifest import Utterance, read_manifest


def replay_utterances() -> tuple[list[Utterance], list[Utterance]]:
    """What is trained on beside one's own recordings, and what general accuracy is checked with."""
    utterances = read_manifest(Path(__file__).parent / "manifest.jsonl")
    check = [utterance for utterance in utterances if utterance.extra["part"] == "check"]
    return [utterance for utterance in utterances if utterance not in check], check
