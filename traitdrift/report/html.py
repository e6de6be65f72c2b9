"""The page as one file: template, styles, scripts and data, and a policy that forbids all else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import altair
import jinja2
import vl_convert
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"


def rendered(template: str, **values: Any) -> str:
    """A template filled; what is not marked as safe is escaped, what is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # `tojson` writes `<`, `>`, `&`, `'` as \\u003c and so on: no text can end its script element.
    environment.policies["json.dumps_kwargs"] = {
        "allow_nan": False,
        "ensure_ascii": False,
        "separators": (",", ":"),
    }
    return environment.get_template(template).render(**values)


def page(data: Mapping[str, Any], **values: Any) -> str:
    """The report as one HTML file that needs no network and is allowed none.

    `data` is what the page's script reads, by name. Only the two scripts of this
    file run: the policy names them by digest, so that no text of a model can be a third.
    """
    major, minor, _ = altair.SCHEMA_VERSION.removeprefix("v").split(".")
    scripts = {
        # Its stub wants a snippet, its code gives the one that is meant by default.
        "library": vl_convert.javascript_bundle(  # type: ignore[call-arg]
            vl_version=f"{major}.{minor}"
        ),
        "script": (TEMPLATES / "report.js").read_text(encoding="utf-8"),
    }
    for name, script in scripts.items():
        if "</script" in script.lower() or "<!--" in script:
            raise ValueError(f"{name}: holds what would end its script element; mend the template")
    return rendered(
        "report.html.jinja",
        data=data,
        policy="; ".join(
            [
                "default-src 'none'",
                f"script-src {' '.join(map(_digest, scripts.values()))}",
                "style-src 'unsafe-inline'",  # charts and tooltips set styles of their own
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
            ]
        ),
        styles=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        **{name: Markup(script) for name, script in scripts.items()},
        **values,
    )


def _digest(script: str) -> str:
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
