import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from fakes import tone
from tiny_audio.data.manifest import Utterance
from tiny_audio.errors import AnswerError, CheckpointError, ManifestError, UnknownNameError
from tiny_audio.evaluation.systems import faster_whisper, whisper
from tiny_audio.evaluation.systems.openai_url import OpenAIServer
from tiny_audio.evaluation.systems.predictions import read_predictions
from tiny_audio.evaluation.systems.system import Responder, build_system, is_checkpoint, is_predictions
from tiny_audio.inference.transcriber import Transcriber

UTTERANCES = [Utterance(id=name, audio="x.wav", duration=2.0, text=f"said {name}", speaker="ann") for name in "ab"]


def write_rows(path, *rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_predictions_are_matched_by_id_and_raw(tmp_path):
    path = tmp_path / "p.jsonl"
    write_rows(
        path,
        {"id": "c", "pred_text": "of another set"},
        {"id": "b", "pred_text": "Bee", "text": "said b", "time": 0.5, "draft": "be"},
        {"id": "a", "text": "ay"},
    )

    first, second = read_predictions(path, UTTERANCES)

    assert (first.id, first.reference, first.hypothesis) == ("a", "said a", "ay")
    assert (second.hypothesis, second.draft, second.wall_seconds, second.speaker) == ("Bee", "be", 0.5, "ann")
    assert is_predictions(str(path))


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (['{"id": "a", "text": "x"}'], "no prediction for 1 of 2 utterances, first: 'b'"),
        (['{"id": "a", "text": "x"}', '{"id": "a", "text": "y"}'], ":2: id 'a' occurs twice"),
        (['{"id": "a"}'], ":1: expected an object with 'id' and one of pred_text"),
        (["[1]"], ":1: expected an object"),
        (["{"], ":1: not JSON"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(tmp_path, lines, complaint):
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(lines))

    with pytest.raises(ManifestError) as error:
        read_predictions(path, UTTERANCES)
    assert complaint in str(error.value)


def test_a_missing_file_of_predictions_is_an_error(tmp_path):
    with pytest.raises(ManifestError, match="cannot read the predictions"):
        read_predictions(tmp_path / "none.jsonl", UTTERANCES)


class StandIn(BaseHTTPRequestHandler):
    """A server of OpenAI's protocol: hears the length of a clip; `answers` may come before that."""

    answers: list[tuple[int, bytes]] = []  # noqa: RUF012
    requests: list[SimpleNamespace] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append(SimpleNamespace(path=self.path, body=body, key=self.headers.get("Authorization")))
        num_samples = (len(body[body.index(b"RIFF") :]) - 44) // 2
        text = f" {num_samples // 1600} tenths\n of a second "
        status, answer = self.answers.pop(0) if self.answers else (200, json.dumps({"text": text}).encode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    StandIn.answers, StandIn.requests = [], []
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/v1"
        running.shutdown()


def test_a_server_gets_wav_model_and_key_and_its_text_is_the_transcript(server):
    system = build_system(f"{server}#my-model")

    transcripts = system.transcribe_batch([tone(duration=0.5), tone(duration=1.0)])

    assert [transcript.text for transcript in transcripts] == ["5 tenths of a second", "10 tenths of a second"]
    assert transcripts[1].duration == 1.0
    request = StandIn.requests[0]
    assert (request.path, request.key) == ("/v1/audio/transcriptions", "Bearer secret")
    assert b"my-model" in request.body
    assert b"WAVE" in request.body


def test_a_busy_server_is_asked_again_and_a_refusal_is_told(server):
    system = OpenAIServer(server, pauses=(0.0,))
    StandIn.answers = [(503, b"busy")]
    assert system.transcribe_batch([tone(duration=0.2)])[0].text == "2 tenths of a second"

    StandIn.answers = [(401, b"who are you?")]
    with pytest.raises(AnswerError, match=r"gave no transcript: status 401: who are you\?"):
        system.transcribe_batch([tone(duration=0.2)])
    StandIn.answers = [(429, b"slower")] * 2
    with pytest.raises(AnswerError, match="status 429"):
        system.transcribe_batch([tone(duration=0.2)])
    StandIn.answers = [(200, b"[]")]
    with pytest.raises(AnswerError, match="found no JSON with 'text'"):
        system.transcribe_batch([tone(duration=0.2)])


def test_without_a_server_there_is_no_answer():
    with pytest.raises(AnswerError, match="gave no transcript"):
        OpenAIServer("http://127.0.0.1:9", pauses=()).transcribe_batch([tone(duration=0.2)])


class CountingWhisper:
    """Stands in for Whisper: the text is the length of the piece."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []

    @classmethod
    def from_cache(cls, name: str) -> "CountingWhisper":
        assert name in ("whisper-base", "whisper-tiny.en")
        return cls()

    def transcribe(self, waveforms) -> list[str]:
        lengths = [len(waveform) / 16_000 for waveform in waveforms]
        assert max(lengths) <= 30.0
        self.batches.append(lengths)
        return [f"{length:.2f}s" for length in lengths]


@pytest.mark.parametrize("name", ["whisper-base", "whisper-tiny.en"])
def test_plain_whisper_hears_all_of_long_and_of_silent_audio(name, monkeypatch):
    monkeypatch.setattr(whisper, "WhisperTranscriber", CountingWhisper)
    system = build_system(name)

    long, silent = system.transcribe_batch([tone(duration=70.0), np.zeros(16_000, np.float32)])

    assert silent.text == "1.00s"
    assert sum(float(part.rstrip("s")) for part in long.text.split()) == pytest.approx(70.0, abs=0.1)
    assert not isinstance(system, Responder)


def test_faster_whisper_takes_the_files_of_the_store(monkeypatch, tmp_path):
    package = pytest.importorskip("faster_whisper")

    class Model:
        def __init__(self, name: str, *, files: dict[str, bytes] | None, **_) -> None:
            self.name, self.files = name, files

        def transcribe(self, waveform, **options):
            assert options["language"] == "en"
            return iter([SimpleNamespace(text=" one"), SimpleNamespace(text=" two ")]), None

    monkeypatch.setattr(package, "WhisperModel", Model)
    monkeypatch.setattr(faster_whisper, "fetch", lambda spec: tmp_path / Path(spec.name).name)
    (tmp_path / "model.bin").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    Tokenizer(WordLevel({"b": 1, "a": 0, "c": 2}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))

    stored, other = build_system("faster-whisper:base"), build_system("faster-whisper:large-v3")

    assert stored.model.files["model.bin"] == b"weights"
    vocabulary = json.loads(stored.model.files["vocabulary.json"])
    assert vocabulary[:4] == ["a", "b", "c", "<|0.00|>"]
    assert vocabulary[-1] == "<|30.00|>"
    assert len(vocabulary) == 3 + 1501
    assert (other.model.name, other.model.files) == ("large-v3", None)
    assert stored.transcribe_batch([tone(duration=1.0)])[0].text == "one two"


def test_any_pipeline_of_transformers_is_a_system(tmp_path):
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    torch.manual_seed(0)
    (tmp_path / "vocab.json").write_text(json.dumps({"<pad>": 0, "<unk>": 1, "|": 2, "a": 3, "b": 4}))
    Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json")).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    config = Wav2Vec2Config(
        vocab_size=5, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(tmp_path)
    system = build_system(f"hf:{tmp_path}")
    waveforms = [tone(duration=1.0), tone(duration=2.0, hertz=300)]

    together = [transcript.text for transcript in system.transcribe_batch(waveforms)]

    assert together == [system.transcribe_batch([waveform])[0].text for waveform in waveforms]
    assert [type(text) for text in together] == [str, str]


def test_a_folder_that_transformers_cannot_load_is_one_line(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be loaded by transformers") as error:
        build_system(f"hf:{tmp_path}")
    assert "\n" not in str(error.value)


def test_any_other_name_is_a_checkpoint_of_ours(monkeypatch):
    monkeypatch.setattr(Transcriber, "from_pretrained", lambda name: f"loaded {name}")

    assert build_system("runs/best") == "loaded runs/best"


def test_a_mode_or_a_dtype_stands_behind_the_name_of_a_checkpoint() -> None:
    with pytest.raises(UnknownNameError, match="mode or dtype 'quick'"):
        build_system("tiny-audio-base@quick")
    with pytest.raises(UnknownNameError, match="model 'no-such-model'"):
        build_system("no-such-model@fast,int8")
    assert is_checkpoint("runs/best@fast")
    assert not any(is_checkpoint(name) for name in ("whisper-base", "hf:some/model", "http://host/v1", "a.jsonl"))
