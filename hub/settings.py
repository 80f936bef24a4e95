"""One settings object, from the environment (prefix `HUB_`), and the territory file it names."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors.contract import ColumnMap, Reading
from hub.errors import Rejected

DEFAULT_TERRITORY = Path(__file__).parent / "territories" / "centre-val-de-loire.toml"


class Settings(BaseSettings):
    """What an operator sets. Everything has a default that needs no service."""

    model_config = SettingsConfigDict(env_prefix="HUB_", frozen=True, extra="ignore")

    home: Path = Field(Path("var"), description="folder for everything embedded")
    database_url: str = Field(
        "", description="books, `postgresql://…`; empty: SQLite in HUB_HOME", repr=False
    )
    storage_url: str = Field(
        "",
        description="files, tables and log: `s3://bucket/prefix` or `file:///…`; empty: HUB_HOME",
    )
    s3_endpoint: str = Field("", description="S3 server, `http(s)://host:port`")
    s3_access_key: str = Field("", description="who the hub is at the S3 server")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="what proves it")
    s3_region: str = Field("us-east-1", description="region the S3 server expects in signatures")
    policy_url: str = Field(
        "", description="OPA server, `http(s)://host:port`; empty: the embedded engine"
    )
    spark_url: str = Field(
        "", description="Spark master, `spark://host:port`; empty: DuckDB computes the measures"
    )
    spark_secret: SecretStr = Field(
        SecretStr(""), description="the cluster's `spark.authenticate.secret`"
    )
    oidc_issuer: str = Field(
        "",
        description="provider of identities (OpenID Connect), `https://…`; empty: local accounts",
    )
    oidc_client_id: str = Field("", description="what the hub is called at the provider")
    oidc_client_secret: SecretStr = Field(SecretStr(""), description="what proves it")
    local_login: bool = Field(
        True, description="let people sign in with a password of the hub; needs an issuer if false"
    )
    territory: Path = Field(DEFAULT_TERRITORY, description="TOML file of the territory")
    lease_seconds: int = Field(
        30, ge=1, description="how long a worker may be silent before another takes over"
    )
    withdrawal_hours: int = Field(
        24,
        ge=1,
        description="by when a withdrawal must be complete; doctor names those that are not",
    )
    backup_recipient: str = Field(
        "", description="age recipient of back-ups; its identity is kept elsewhere"
    )
    backups: Path | None = Field(
        None, description="folder of back-ups, best on another machine; empty: in HUB_HOME"
    )
    proof_recipient: str = Field(
        "",
        description="age recipient of proofs of ended consents; the DPO keeps its identity",
    )
    checkpoint_seconds: int = Field(
        60, ge=1, description="period of the public checkpoint, in whole seconds of the clock"
    )
    witnesses: str = Field(
        "", description="verifier keys of the witnesses, comma-separated; they cosign checkpoints"
    )
    push_bytes: int = Field(8 * 1024**3, ge=1, description="largest file a partner may push")
    push_bytes_a_day: int = Field(
        64 * 1024**3, ge=1, description="bytes a partner may push in 24 hours"
    )
    waiting_per_partner: int = Field(
        200, ge=1, description="pushes of one partner that may wait; more get 429"
    )
    waiting: int = Field(1000, ge=1, description="pushes that may wait in all; more get 429")
    pulls: bool = Field(
        False, description="fetch the territory's addresses when they are due, without being told"
    )
    pull_allow_private: bool = Field(
        False, description="let pulls reach private addresses: for tests only"
    )
    public_url: str = Field("http://127.0.0.1:8000", description="address people use")

    @property
    def backup_folder(self) -> Path:
        """Where back-ups are, and the sealed journal of withdrawals beside them."""
        return self.backups or self.home / "backups"

    @property
    def books_url(self) -> str:
        """SQLAlchemy address of the books."""
        return self.database_url or f"sqlite:///{(self.home / 'books.sqlite').absolute()}"


class ImpactAssessment(BaseModel):
    """The impact assessment (AIPD, GDPR art. 35) an agreement rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern="^sha256:[0-9a-f]{64}$", description="of the document")
    date: date
    opinion: str = Field(min_length=1, description="of the data-protection officer")


class Obligations(BaseModel):
    """What the hub must and must not do with a dataset beyond the law."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    no_join: bool = Field(False, description="never joined with another partner's rows")
    embargo_until: date | None = Field(None, description="no release that uses it before")
    business_secret: bool = Field(False, description="a separate test protects the operator")


class RetentionTerms(BaseModel):
    """A time for which rows are kept that is longer than the rule, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    months: int = Field(ge=1, le=120)
    reason: str = Field(min_length=10, description="why the rule's time is not enough")


class AgreementTerms(BaseModel):
    """One `[[agreements]]` entry: the lawful basis of a dataset for a purpose, and its terms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partner: str = Field(max_length=50)
    dataset: str = Field(max_length=50)
    purpose: str = Field(max_length=50)
    basis: Literal["consent", "public_task", "not_personal"]
    controllers: list[str] = Field(min_length=1)
    processors: list[str] = []
    recipients: list[str] = Field([], description="who may be given more than open releases")
    protection: Literal["publication plan", "volumes", "estimates"] = Field(
        "publication plan", description="level releases have at least; never less than the plan's"
    )
    territory: str = Field("", description="where it holds; empty: the hub's whole territory")
    valid_from: date | None = None
    valid_until: date | None = None
    hosting_country: str = Field("FR", pattern="^[A-Z]{2}$")
    legal_text: str = ""
    impact_assessment: ImpactAssessment | None = None
    obligations: Obligations = Obligations()
    retention: RetentionTerms | None = Field(
        None, description="longer than the rule; with a reason"
    )
    signed_off: str = Field("", description="reference of the agreement signed on paper")
    demo: bool = False

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> Self:
        if self.valid_from and self.valid_until and self.valid_from > self.valid_until:
            raise ValueError("valid_from is after valid_until")
        return self

    def terms(self) -> dict[str, Any]:
        """What the books keep, as plain JSON."""
        return self.model_dump(mode="json", exclude={"partner", "dataset", "purpose", "basis"})


class PartnerTerms(BaseModel):
    """One `[[partners]]` entry: an organisation that pushes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str


class PartyTerms(BaseModel):
    """One `[[parties]]` entry: who an agreement's controllers and processors are, for records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern="^[a-z0-9-]+$")
    name: str
    address: str = Field(min_length=1)
    contact: str = Field(min_length=1, description="of the data-protection officer")
    kind: Literal["public", "private", "other"]


class ColumnMapTerms(BaseModel):
    """One `[column_maps."partner/dataset"]` entry: how an operator's own CSV is to be read.

    `columns` maps a published column to the operator's header, or to several joined by a blank;
    `constants` and `values` as in `connectors.contract.ColumnMap`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    separator: str = Field(";", min_length=1, max_length=1)
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    date_format: str = "%Y-%m-%d"
    time_format: str = "%H:%M:%S"
    decimal_comma: bool = False
    columns: dict[str, str | list[str]]
    constants: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}

    def as_map(self) -> ColumnMap:
        """The map as connectors take it."""
        return ColumnMap(
            columns={
                name: (theirs,) if isinstance(theirs, str) else tuple(theirs)
                for name, theirs in self.columns.items()
            },
            separator=self.separator,
            encoding=self.encoding,
            date_format=self.date_format,
            time_format=self.time_format,
            decimal_comma=self.decimal_comma,
            constants=self.constants,
            values=self.values,
        )


class PullTerms(BaseModel):
    """One `[[pulls]]` entry: an address a dataset is fetched from, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str = Field(description="partner/name")
    url: str = Field(pattern=r"^https?://")
    every: timedelta = Field(timedelta(days=1), description="ISO 8601 duration, as P1D")


class RoleTerms(BaseModel):
    """One `[[openid.roles]]` entry: who has this claim has this role."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    claim: str = Field(min_length=1, description="its name, or a path: `realm_access.roles`")
    value: str = Field(min_length=1, description="the claim itself, or one of its list")
    role: Literal["partner", "collectivity", "school", "operator", "steward", "dpo", "auditor"]
    organisation: str = Field("", description="whose; empty: what the organisation's claim says")


class OpenidTerms(BaseModel):
    """`[openid]`: what the provider's claims mean here; where no rule fits nobody comes in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field("", description="what people call the provider")
    scopes: list[str] = ["openid"]
    userinfo: bool = Field(False, description="ask the UserInfo endpoint for claims as well")
    organisation_claim: str = "organisation"
    organisations: dict[str, str] = Field(
        {}, description="claim's value to our name; who is not in it is refused; empty: as it is"
    )
    roles: list[RoleTerms] = Field([], description="in this order: the first that fits counts")

    @model_validator(mode="after")
    def _is_openid(self) -> Self:
        if "openid" not in self.scopes:
            raise ValueError("the scope openid is missing")
        return self


class Territory(BaseModel):
    """What is particular to a region: names, calendar, thresholds, plan, agreements.

    `plan` and `recognition` are handed as they are to `analytics`, which validates them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    demo: bool = False
    departments: dict[str, str]
    school_year: str = Field(pattern=r"^20\d\d-20\d\d$")
    contributor_leaves: int = Field(
        2**16, ge=1, le=2**24, description="size of every tree of contributors: beyond anyone's"
    )
    holidays: list[tuple[str, str]] = []
    public_holidays: list[str] = []
    bells: Mapping[str, Any] = {}
    partners: list[PartnerTerms] = []
    parties: list[PartyTerms] = []
    consumers: Mapping[str, str] = {}
    """Names of organisations that ask for data and push none, by id."""
    agreements: list[AgreementTerms] = []
    pulls: list[PullTerms] = []
    openid: OpenidTerms = OpenidTerms()
    recognition: Mapping[str, Any] = {}
    plan: Mapping[str, Any] = {}
    column_maps: dict[str, ColumnMapTerms] = {}

    def named(self, organisation: str) -> str:
        """What people call an organisation; its id, where the territory does not say."""
        known = {**self.consumers, **{party.id: party.name for party in self.parties}}
        known |= {partner.id: partner.name for partner in self.partners}
        return known.get(organisation, organisation)

    @model_validator(mode="after")
    def _parties_known(self) -> Self:
        """A record of consent says who answers for it: those names must be known beforehand."""
        known = {party.name for party in self.parties}
        for agreement in self.agreements:
            for name in (*agreement.controllers, *agreement.processors):
                if agreement.basis == "consent" and name not in known:
                    raise ValueError(
                        f"the agreement on {agreement.partner}/{agreement.dataset} names {name}, "
                        "which no [[parties]] entry describes"
                    )
        return self

    def reading(
        self,
        dataset: str,
        now: datetime,
        *,
        reference: str | None = None,
        communes: Mapping[str, tuple[float, float]] | None = None,
    ) -> Reading:
        """What reading a file of this dataset (`partner/name`) depends on, in this territory."""
        terms = self.column_maps.get(dataset)
        return Reading(
            now=now,
            reference=reference,
            expected_from=date(int(self.school_year[:4]), 9, 1),
            communes=communes or {},
            column_map=terms.as_map() if terms else None,
            departments=frozenset(self.departments),
        )


def load_territory(path: Path) -> Territory:
    """Read a territory file. Raises `Rejected` naming the file and the first wrong entry."""
    try:
        return Territory.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Rejected(
            "territory-unreadable",
            fr=f"Le fichier de territoire {path} ne peut être lu : {error}.",
            en=f"The territory file {path} cannot be read: {error}.",
            who="operator",
            where=str(path),
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Rejected(
            "territory-invalid",
            fr=f"Le fichier de territoire {path} est incorrect à « {where} » : {first['msg']}.",
            en=f"The territory file {path} is wrong at “{where}”: {first['msg']}.",
            who="operator",
            where=where,
        ) from error
