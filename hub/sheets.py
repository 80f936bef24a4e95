"""The sheet a person takes home: their code as text and as a QR picture, and where it is used.

One page of HTML that stands alone: no script, nothing loaded. A picture holds the address of the
page and another the code, never the two together: an address with a code in it would stay in the
history of whichever browser opened it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import segno
from jinja2 import Environment
from markupsafe import Markup

from hub.errors import Language
from hub.participation import Handed

PAGE: Final = "/my-consent"
WHOM: Final = "/trust#who"

_WORDS: Final[dict[Language, dict[str, str]]] = {
    "fr": {
        "title": "Ta participation",
        "person": "Pour toi",
        "parent": "Pour le parent",
        "code": "Le code",
        "code_is": "Il suffit pour dire non ou pour arrêter, quand tu veux, sans dire pourquoi.",
        "secret": "Le mot secret",
        "secret_is": "Avec le code, il montre ce que le hub sait de toi. "
        "Range-le à part et ne le donne à personne : tu peux le changer sur la page.",
        "parents_secret_is": "Avec le code, il montre ce que le hub sait du jeune. Rangez-le à "
        "part et ne le donnez à personne : vous pouvez le changer sur la page.",
        "where": "La page",
        "once": "Cette feuille n’est donnée qu’une fois. Le hub ne garde ni le code ni le mot "
        "secret : personne ne peut te les redonner. Perdue ? Demande un nouveau code dans "
        "l’application, ou écris au délégué à la protection des données :",
        "half": "Avant 15 ans, il faut l’accord de vous deux ; chacun peut arrêter seul, avec son "
        "propre code. Le code du parent cesse de servir après le mois des 15 ans.",
    },
    "en": {
        "title": "Your participation",
        "person": "For you",
        "parent": "For the parent",
        "code": "The code",
        "code_is": "It is enough to say no or to stop, whenever you like, without saying why.",
        "secret": "The secret",
        "secret_is": "With the code, it shows what the hub knows about you. "
        "Keep it elsewhere and give it to nobody: you can change it on the page.",
        "parents_secret_is": "With the code, it shows what the hub knows about the young person. "
        "Keep it elsewhere and give it to nobody: you can change it on the page.",
        "where": "The page",
        "once": "This sheet is given once. The hub keeps neither the code nor the secret: nobody "
        "can give them to you again. Lost? Ask for a new code in the app, or write to the "
        "data-protection officer:",
        "half": "Under 15, both of you have to agree; either of you can stop alone, with the code "
        "of their own. The parent's code stops working after the month of the 15th birthday.",
    },
}

_SHEET: Final = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<!doctype html>
<html lang="{{ language }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{ words.title }}</title>
<style>
body { font: 1.05rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto;
  padding: 0 1rem; color: #000; background: #fff; }
section { break-inside: avoid; break-after: page; border-top: 2px solid; padding-top: 1rem; }
section:last-child { break-after: auto; }
dt { font-weight: 600; margin-top: 1rem; } dd { margin: 0; }
code { font: 600 1.3rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
svg { display: block; width: 9rem; height: 9rem; margin-top: .5rem; }
</style>
</head>
<body>
<h1>{{ words.title }}</h1>
{% for one in sheets %}
<section>
<h2>{{ words[one.holder] }}</h2>
<dl>
<dt>{{ words.code }}</dt><dd><code>{{ one.code }}</code><p>{{ words.code_is }}</p>{{ one.qr }}</dd>
<dt>{{ words.secret }}</dt><dd><code>{{ one.secret }}</code><p>
{{ words.parents_secret_is if one.holder == "parent" else words.secret_is }}</p></dd>
<dt>{{ words.where }}</dt><dd>{{ address }}{{ place }}</dd>
</dl>
{% if sheets | length > 1 %}<p>{{ words.half }}</p>{% endif %}
<p>{{ words.once }} {{ whom }}</p>
</section>
{% endfor %}
</body>
</html>
""")


def sheet(handed: Sequence[Handed], public_url: str, language: Language) -> str:
    """The page to print, a sheet for each half. `public_url` is where people reach the hub."""
    address = public_url.rstrip("/") + PAGE
    return _SHEET.render(
        language=language,
        words=_WORDS[language],
        address=address,
        place=picture(address),
        whom=public_url.rstrip("/") + WHOM,
        sheets=[
            {"holder": o.holder, "code": o.code, "secret": o.secret, "qr": picture(o.code)}
            for o in handed
        ],
    )


def picture(text: str) -> Markup:
    """A QR picture of a text, as SVG to stand in a page."""
    return Markup(segno.make(text, error="m").svg_inline(scale=4, omitsize=True))  # noqa: S704 - segno's own
