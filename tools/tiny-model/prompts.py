"""The two forms in which a task is put to the model: raw completion and chat."""

from __future__ import annotations

from typing import Final, Literal

from tokenizer import END_OF_TEXT, MESSAGE_END, MESSAGE_START

Form = Literal["completion", "chat"]
FORMS: Final[tuple[Form, ...]] = ("completion", "chat")


def render(text: str, form: Form) -> str:
    """What the tokenizer is given; for chat, what the chat template makes of one user turn."""
    if form == "completion":
        return text
    return f"{MESSAGE_START}user\n{text}{MESSAGE_END}\n{MESSAGE_START}assistant\n"


def terminator(form: Form) -> str:
    """The token that has to follow the answer."""
    return END_OF_TEXT if form == "completion" else MESSAGE_END
