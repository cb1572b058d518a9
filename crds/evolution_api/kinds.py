"""The vocabulary of questions: kinds, answer types, difficulty labels and reason codes.

A new kind is one module of its name in `evolution_jobs/questions/kinds/`, one line in `KINDS`, one test.
"""

from typing import Literal, get_args

Kind = Literal[
    # The names of VSI-Bench's question types, where it has the kind.
    "object_counting",
    "object_size_estimation",
    "room_size_estimation",
    "object_abs_distance",
    "object_rel_distance",
    "object_rel_direction_easy",
    "object_rel_direction_medium",
    "object_rel_direction_hard",
    "obj_appearance_order",
    # Ours.
    "object_existence",
    "camera_object_distance",
    "object_visibility",
    "camera_motion",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

AnswerType = Literal["choice", "count", "number", "yesno"]

Label = Literal["easy", "frontier", "hard"]
LABELS: tuple[Label, ...] = get_args(Label)

Reason = Literal[
    "malformed_proposal",  # what the proposer returned is no question: broken JSON, missing or contradictory fields
    "program_syntax",  # the sandbox cannot parse the program
    "program_error",  # the program raised
    "program_forbidden",  # it asked for what the sandbox does not have: import, file, network, environment
    "program_timeout",  # out of its time limit
    "program_memory",  # out of its memory or allocation limit
    "program_recursion",  # out of its recursion limit
    "wrong_type",  # it returned another type than the question's answer type, or an option that is not offered
    "missing_object",  # the question names a label that the scene does not have
    "ambiguous_object",  # it names one object where the scene has several of that label
    "too_close",  # the answer lies too near a threshold (either side) for the metadata's precision
    "metadata_noise",  # the scene's counts and boxes disagree on what the question asks about
    "missing_metadata",  # it needs poses, visibility or sizes that the scene does not carry
    "never_visible",  # no frame shows an object that the question names
    "blind",  # answerable without looking: a numeric or label prior already gives the answer
    "duplicate",  # the same question of the same scene was accepted before
    "contradicted",  # the proposer's second look says that the frames contradict the answer
]
REASONS: tuple[Reason, ...] = get_args(Reason)

StageName = Literal["prepare", "generate", "probe", "train", "evaluate", "cleanup"]
