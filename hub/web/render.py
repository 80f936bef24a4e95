"""Templates to answers: one environment per language, the same context on every page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hub.errors import HubError, Language
from hub.identity.people import People
from hub.records import Account
from hub.web import labels, words
from hub.web.assets import Assets
from hub.web.forms import Forms
from hub.web.shelf import Shelf

TEMPLATES: Final = Path(__file__).parent / "templates"
YEAR_S: Final = 365 * 24 * 3600


def environment(language: Language) -> Environment:
    """Templates that speak one language: everything escaped, nothing undefined."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_translations(  # type: ignore[attr-defined]  # added by the extension
        words.catalogue(language), newstyle=True
    )
    made.globals.update(
        lang=language,
        label=partial(labels.label, language),
        modes=partial(labels.modes, language),
        purpose_title=partial(labels.purpose, language),
    )
    made.filters.update(
        said=partial(words.said, language),
        number=partial(words.number, language=language),
        percent=partial(words.percent, language=language),
        daylong=partial(words.day, language=language),
        moment=partial(words.moment, language=language),
        instant=lambda text: words.moment(datetime.fromisoformat(text), language),
    )
    return made


@dataclass(slots=True)
class Renderer:
    """Makes pages. One per application."""

    shelf: Shelf
    people: People
    assets: Assets
    forms: Forms
    _environments: Mapping[Language, Environment] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._environments = {language: environment(language) for language in words.LANGUAGES}

    def language(self, request: Request) -> Language:
        """Language of the answer to a request."""
        return words.choose(
            request.query_params.get("lang"),
            request.cookies.get(words.LANGUAGE_COOKIE),
            request.headers.get("accept-language", ""),
        )

    def account(self, request: Request) -> Account | None:
        """Who is signed in. Raises what `People.who` raises."""
        cookie = self.forms.session(request)
        return self.people.who(cookie) if cookie else None

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        form: bool = False,
        account: Account | None = None,
        **context: Any,
    ) -> HTMLResponse:
        """One page. `form` says that it holds a form even where nobody is signed in."""
        language = self.language(request)
        basis = self.forms.basis(request)
        fresh = "" if basis or not form else self.forms.new_basis()
        html = (
            self._environments[language]
            .get_template(template)
            .render(
                account=account,
                area_name=partial(
                    labels.area, language, departments=self.shelf.territory.departments
                ),
                asset=self.assets.address,
                here=partial(_here, request),
                path=request.url.path,
                territory=self.shelf.territory,
                token=self.forms.token(basis or fresh) if form or account else "",
                **context,
            )
        )
        response = HTMLResponse(
            html,
            status,
            {
                "cache-control": "no-store" if form or account else "private, no-cache",
                "content-language": language,
                "vary": "Accept-Language, Cookie",
            },
        )
        if fresh:
            self.forms.keep(response, self.forms.form_cookie, fresh)
        if words.known(request.query_params.get("lang")):
            response.set_cookie(
                words.LANGUAGE_COOKIE,
                language,
                max_age=YEAR_S,
                path="/",
                httponly=True,
                secure=self.forms.secure,
                samesite="lax",
            )
        return response

    def door(self, request: Request) -> Response:
        """The answer to nobody, where somebody must be signed in: they come back here after."""
        response = RedirectResponse("/login", 303, {"cache-control": "no-store"})
        if request.method == "GET":
            self.forms.remember(response, _here(request))
        return response

    def signed_in(self, request: Request, show: Callable[[Account], Response]) -> Response:
        """What is shown to an account; the door where there is none."""
        account = self.account(request)
        return self.door(request) if account is None else show(account)

    def problem(self, request: Request, error: HubError) -> HTMLResponse:
        """An error, said to a person: what, why, who can act. Never fails itself."""
        try:
            account = self.account(request)
        except HubError:
            account = None
        language = self.language(request)
        return self.page(
            request,
            "problem.html",
            status=error.status,
            account=account,
            problem=error.problem(language, request.url.path),
        )


def _here(request: Request, **changes: str) -> str:
    """The page's own address with some parameters changed; an empty value removes one."""
    query = {key: value for key, value in request.query_params.items() if key != "lang"} | changes
    kept = {key: value for key, value in query.items() if value}
    return request.url.path + (f"?{urlencode(kept)}" if kept else "")
