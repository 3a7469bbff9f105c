"""Renders the templates of test/fixtures/templates as transformers' apply_chat_template does.

usage: python tools/templates/render-references.py test/fixtures/templates

Needs transformers and jinja2. It writes references.json: what each template gives, or that it fails,
with the versions that said so. `strftime_now` is told the date below.
"""

import datetime
import json
import pathlib
import sys

import jinja2
import transformers
from transformers.utils import chat_template_utils

NOW = datetime.datetime(2025, 3, 9, 7, 5, 3, 42000)


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


def render(source: str, variables: dict) -> dict:
    try:
        template = chat_template_utils._cached_compile_jinja_template(source)
        return {"text": template.render(**variables)}
    except Exception as error:
        return {"fails": type(error).__name__}


def main(folder: pathlib.Path) -> None:
    chat_template_utils.datetime = FixedDate
    constructs = json.loads((folder / "constructs.json").read_text())
    conversations = json.loads((folder / "conversations.json").read_text())
    references = {
        "jinja2": jinja2.__version__,
        "transformers": transformers.__version__,
        "date": NOW.isoformat(),
        "constructs": [
            {"template": source, **render(source, constructs["variables"])}
            for source in constructs["templates"]
        ],
        "families": {
            path.stem: [render(path.read_text(), variables) for variables in conversations]
            for path in sorted((folder / "families").glob("*.jinja"))
        },
    }
    text = json.dumps(references, ensure_ascii=False, indent=1)
    (folder / "references.json").write_text(text + "\n")


main(pathlib.Path(sys.argv[1]))
