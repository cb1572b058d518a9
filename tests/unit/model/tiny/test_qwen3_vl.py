"""The tiny model opens as any Qwen3-VL does, and its tokenizer knows every word that is asked."""

import random
import re
from pathlib import Path

import pytest
import torch

from evolution_api.kinds import KINDS
from evolution_jobs.model.prompts import prompt_text
from evolution_jobs.model.solver import Solver
from evolution_jobs.questions.blind import TYPICAL_CM
from evolution_jobs.questions.kinds import kind
from evolution_jobs.questions.sandbox import Sandbox
from evolution_jobs.scenes.furniture import CATEGORIES, PALETTE
from evolution_jobs.scenes.render import make_scene
from evolution_jobs.tiny import qwen3_vl
from evolution_jobs.tiny.curriculum import FURNITURE, LEFT_OUT_FURNITURE, ask, lesson, names, namings
from evolution_jobs.tiny.pretrain import level_unspoken


def test_it_opens_by_the_auto_classes_and_has_about_two_million_parameters(tiny_folder: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(tiny_folder)
    assert type(model).__name__ == "Qwen3VLForConditionalGeneration"
    assert type(AutoProcessor.from_pretrained(tiny_folder)).__name__ == "Qwen3VLProcessor"
    assert 1.8e6 < sum(p.numel() for p in model.parameters()) < 2.5e6


def test_weights_are_a_function_of_the_seed(solver: Solver) -> None:
    one, same, other = qwen3_vl.model(1), qwen3_vl.model(1), qwen3_vl.model(2)
    first = {n: p for n, p in one.named_parameters() if p.ndim > 1}
    assert all((dict(same.named_parameters())[n] == p).all() for n, p in first.items())
    assert not all((dict(other.named_parameters())[n] == p).all() for n, p in first.items())


def test_words_that_no_question_used_end_among_the_spoken_furniture(tiny_folder: Path) -> None:
    solver = Solver.load(tiny_folder, "float32", "cpu")
    table = solver.model.get_input_embeddings().weight
    bathtub, bed, desk, lamp = (solver.tokenizer(word).input_ids[0] for word in ("bathtub", "bed", "desk", "lamp"))
    with torch.no_grad():
        table[[bathtub, desk]] -= 3.0  # as pre-training pushes them
    before = table.detach().clone()
    level_unspoken(solver, seed=0)
    spoken = sorted({t for label in FURNITURE for t in solver.tokenizer(label).input_ids})
    spread = (table[spoken] - table[spoken].mean(0)).norm(dim=1).max()
    assert all((table[word] - table[spoken].mean(0)).norm() < spread for word in (bathtub, desk))
    assert (table[bathtub] != table[desk]).any()
    assert (table[[bed, lamp]] == before[[bed, lamp]]).all()


@pytest.mark.parametrize(
    ("text", "back"),
    [
        pytest.param("12.5", "12.5", id="a number"),
        pytest.param("front-left", "front-left", id="a hyphenated word"),
        pytest.param("stool, bed, lamp", "stool, bed, lamp", id="a list"),
        pytest.param("washing machine", "washing machine", id="two words"),
        pytest.param("Yes", "yes", id="capitals are lost"),
    ],
)
def test_answers_survive_the_tokenizer(solver: Solver, text: str, back: str) -> None:
    assert solver.tokenizer.decode(solver.tokenizer(text).input_ids) == back


def test_every_label_and_every_colour_has_its_words(solver: Solver) -> None:
    unknown = solver.tokenizer.unk_token_id
    words = {*CATEGORIES, *TYPICAL_CM} | {colour for colour in PALETTE if colour in {"red", "orange", "teal", "navy"}}
    assert [word for word in sorted(words) if unknown in solver.tokenizer(word).input_ids] == []


def test_every_kind_asks_in_words_that_the_tokenizer_knows(solver: Solver) -> None:
    unknown = solver.tokenizer.unk_token_id
    asked = set()
    for seed in range(12):
        scene, _ = make_scene(seed)
        for name in KINDS:
            for level in range(kind(name).LEVELS):
                proposal = kind(name).propose(scene, level, random.Random(seed))
                if proposal is not None:
                    asked.add(name)
                    for choices in ("text", "letter"):
                        prompt = prompt_text(proposal, choices)
                        assert unknown not in solver.tokenizer(prompt).input_ids, prompt
    assert asked == set(KINDS)


def test_pretraining_never_names_what_is_left_out() -> None:
    sandbox = Sandbox()
    for number in range(6):
        asked = lesson(number, 0, sandbox).asked
        said = " ".join(f"{prompt} {answer}" for prompt, answer, _ in asked)
        assert not [label for label in LEFT_OUT_FURNITURE if re.search(rf"\b{label}\b", said)]
        assert len(asked) >= 8
    assert not set(FURNITURE) & set(LEFT_OUT_FURNITURE)
    assert len(LEFT_OUT_FURNITURE) * 2 >= len(CATEGORIES) - 1


def test_namings_name_what_is_in_view_in_known_words(solver: Solver) -> None:
    scene, _ = make_scene(3, furniture=FURNITURE)
    (_, all_in_view), *single = namings(scene, 0)
    assert set(all_in_view.split(", ")) <= {o.label for o in scene.objects}
    assert len(single) == 2
    for prompt, answer in namings(scene, 0):
        assert answer == "none" or set(answer.split(", ")) <= set(all_in_view.split(", "))
        assert solver.tokenizer.unk_token_id not in solver.tokenizer(f"{prompt} {answer}").input_ids


def test_a_frame_without_furniture_shows_none() -> None:
    scene, _ = make_scene(3, furniture=FURNITURE)
    assert names(scene, [f.model_copy(update={"visible": ()}) for f in scene.frames]) == "none"


def test_lessons_are_a_function_of_number_and_seed() -> None:
    sandbox = Sandbox()
    one, same, other = (lesson(3, seed, sandbox) for seed in (0, 0, 1))
    assert one.asked == same.asked
    assert one.asked != other.asked


def test_yes_is_asked_for_as_often_as_no() -> None:
    sandbox = Sandbox()
    answers = []
    for seed in range(60):
        scene, _ = make_scene(seed, furniture=FURNITURE)
        answers += [q.answer for q in ask(scene, seed, FURNITURE, sandbox) if q.answer_type == "yesno"]
    assert 0.4 < answers.count("yes") / len(answers) < 0.6
