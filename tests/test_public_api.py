import subprocess
import sys

import pytest

import tiny_audio


def test_every_public_name_exists() -> None:
    for name in tiny_audio.__all__:
        assert getattr(tiny_audio, name) is not None
    assert dir(tiny_audio) == sorted(tiny_audio.__all__)


def test_public_names_are_few_and_listed_on_purpose() -> None:
    assert set(tiny_audio.__all__) == {
        "ASRConfig", "ASRModel", "Recognizer", "Segment", "Transcriber", "Transcript", "Word",
        "__version__", "errors", "evaluate", "load_audio", "load_model",
    }  # fmt: skip


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, tiny_audio; tiny_audio.__version__\n"
        "print(sorted({'torch', 'transformers', 'numpy', 'av', 'soundfile'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert result.stdout == "[]\n"


def test_reading_audio_and_configurations_does_not_import_torch() -> None:
    names = ("load_audio", "load_model", "Transcriber", "Transcript", "Word", "ASRConfig", "evaluate", "errors")
    code = (
        f"import sys, tiny_audio; [getattr(tiny_audio, name) for name in {names}]\n"
        "sys.exit(sorted({'torch', 'transformers'} & set(sys.modules)) or 0)"
    )

    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'transcibe'"):
        _ = tiny_audio.transcibe
