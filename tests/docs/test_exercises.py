"""The exercises run from the start, accept their solutions, and see what is wrong."""

import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tiny_audio.weights.store import DEFAULT_WEIGHTS, is_cached

EXERCISES = Path(__file__).parents[2] / "docs/course/exercises"
FILES = sorted(path.name for path in EXERCISES.glob("[0-9]*.py"))


@pytest.fixture(autouse=True)
def beside_the_tutor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXERCISES))
    monkeypatch.delitem(sys.modules, "tutor", raising=False)


@pytest.fixture
def weights() -> None:
    if missing := [spec.name for spec in DEFAULT_WEIGHTS if not is_cached(spec)]:
        pytest.skip(f"not in the cache: {', '.join(missing)}; run `make setup`")


def solved_by_a_student(folder: Path, name: str) -> Path:
    """The exercise with the bodies of the solutions in it, as a student would have written them."""
    exercise = folder / name
    text = (EXERCISES / name).read_text(encoding="utf-8")
    solutions = (EXERCISES / "solutions" / name).read_text(encoding="utf-8")
    own = "_own = {}\nexec(open(__file__ + '.own').read(), _own)\n"
    text = text.replace("tutor = Tutor(__file__)\n", f"tutor = Tutor({str(EXERCISES / name)!r})\n{own}")
    text = text.replace("@tutor.task\n", "@(lambda stub: tutor.task(_own[stub.__name__]))\n")
    exercise.write_text(text, encoding="utf-8")
    (folder / f"{name}.own").write_text(solutions, encoding="utf-8")
    return exercise


def test_there_is_one_for_each_lesson_with_its_solutions() -> None:
    lessons = sorted(path.name[0] for path in EXERCISES.parent.glob("[0-9]-*.md"))
    assert [name[1] for name in FILES] == lessons
    assert sorted(path.name for path in (EXERCISES / "solutions").glob("*.py")) == FILES


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("name", FILES)
def test_it_runs_with_nothing_written_and_says_so(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    exercise = runpy.run_path(str(EXERCISES / name), run_name="__main__")

    assert set(exercise["tutor"].states.values()) == {"open"}
    assert len(exercise["tutor"].states) == 3
    printed = capsys.readouterr().out
    assert "0 of 3 solved" in printed
    assert len(printed) < 4_000


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("name", ["03_projector.py", "05_ctc.py"])
def test_the_solutions_solve_it_and_it_teaches_what_the_lesson_says(name: str, tmp_path: Path, capsys) -> None:
    exercise = runpy.run_path(str(solved_by_a_student(tmp_path, name)))
    found = exercise["main"]()

    assert set(exercise["tutor"].states.values()) == {"solved"}
    if name == "03_projector.py":
        assert found["trained"] > 0.8 > 0.1 > found["new"]
        meant, spelt = (
            line for line in capsys.readouterr().out.splitlines() if line.startswith("nearest to ' knight'")
        )
        assert "| night|" in spelt
        assert "night" not in meant.replace("knight", "").replace("Knight", "")
    else:
        assert found[0]["wrong"] > 0.5 > 0.1 > found[-1]["wrong"]
        assert found[-1]["loss"] < found[0]["loss"] / 5


def tutor_of(solution: str, folder: Path) -> ModuleType:
    (folder / "solutions").mkdir()
    (folder / "solutions/x.py").write_text(solution, encoding="utf-8")
    import tutor  # type: ignore[import-not-found]

    return tutor.Tutor(str(folder / "x.py"))


def test_the_tutor_sees_what_is_wrong_and_goes_on_with_the_right_result(tmp_path: Path, capsys) -> None:
    names = ("right", "close", "wrong", "shape", "fails", "missing", "sometimes")
    tutor = tutor_of("".join(f"def {name}(x): return [x, 2.0 * x]\n" for name in names), tmp_path)
    students = [
        lambda x: [x, 2.0 * x],
        lambda x: [x, 2.00001 * x],
        lambda x: [x, x],
        lambda x: x,
        lambda x: x.nothing,
        lambda x: None,
        lambda x: [x, 4.0],
    ]
    for name, student in zip(names, students, strict=True):
        student.__name__ = name
        task = tutor.task(student)
        assert [task(value) for value in (2.0, 3.0)] == [[2.0, 4.0], [3.0, 6.0]]
    assert tutor.states["right"] == "solved"
    assert tutor.states["missing"] == "open"
    for name in ("close", "wrong", "shape", "sometimes"):
        assert tutor.states[name].startswith("found ")
    assert tutor.states["fails"] == "raises AttributeError: 'float' object has no attribute 'nothing'"
    tutor.report()
    assert "1 of 7 solved" in capsys.readouterr().out


def test_numbers_and_arrays_may_differ_in_the_last_digits_and_not_in_shape(tmp_path: Path) -> None:
    tutor = tutor_of("import numpy as np\ndef f(x): return np.ones((2, 3)) * x\ndef g(x): return 0.5\n", tmp_path)
    import torch

    def f(x: float) -> torch.Tensor:
        return torch.ones(2, 3) * x * 1.0001

    def g(x: float) -> torch.Tensor:
        return torch.tensor(0.5, requires_grad=True)

    tutor.task(f)(1.0)
    tutor.task(g)(1.0)
    assert set(tutor.states.values()) == {"solved"}

    def f(x: float) -> torch.Tensor:
        return torch.ones(3, 2) * x

    tutor.task(f)(1.0)
    assert tutor.states["f"] == "found an array of shape (3, 2), expected an array of shape (2, 3)"
