"""The bodies of requests and answers, as pydantic models, which the OpenAPI schema shows."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Id = Int64 | str
"""An item or a user: an integer or a text, as in the data that the model was fitted on."""
Ids = list[Int64] | list[str]

IDS = "item ids, all integers of 64 bits or all texts, as the model has them"
ID = "an id, an integer of 64 bits or a text"


class Body(BaseModel):
    """A body of a request: unknown fields, other types and numbers that are not finite are
    refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Answer(BaseModel):
    """A body of an answer. The service writes these without the classes, which document them."""

    model_config = ConfigDict(extra="forbid")


class Reason(Answer):
    """An item of the history, and how much it adds to a score; the numbers may be negative."""

    item_id: Id
    contribution: float
    title: str | None = None


class Ranked(Answer):
    """An item of a list."""

    item_id: Id
    score: float
    rank: int = Field(ge=1)
    title: str | None = None
    because: list[Reason] | None = Field(None, description="only where `explain` asks for it")


class RecommendBody(Body):
    """Whom to recommend for, and how."""

    history: Ids | None = Field(None, description=IDS)
    user: Id | None = Field(
        None,
        description=f"{ID}; without a history, that of the store is taken. It also decides which "
        "model answers where a challenger has a share",
    )
    k: int = Field(10, ge=1, description="an integer from 1 to the limit of the service")
    model: str | None = Field(None, description="a name of /v1/models; the default model if null")
    exclude_seen: bool = Field(True, description="true or false: leave out what the history has")
    rules: dict[str, Any] | None = Field(None, description="rules of lists, see docs/serve.md")
    explain: int = Field(0, ge=0, le=20, description="an integer from 0 to 20: reasons an item")


class Recommended(Answer):
    """A list, the model that made it, and what to know about it."""

    model: str
    version: str
    items: list[Ranked]
    unknown: int = Field(ge=0, description="ids of the history that the model does not know")
    notes: list[dict[str, Any]] = Field(description="why a list is shorter, what a rule did")


class BatchBody(Body):
    """Several requests; one that is invalid refuses all of them."""

    requests: list[RecommendBody]


class Batch(Answer):
    """The answers in the order of the requests."""

    answers: list[Recommended]


class SimilarBody(Body):
    """Items whose neighbours are asked for."""

    items: Ids = Field(description=IDS)
    k: int = Field(10, ge=1, description="an integer from 1 to the limit of the service")
    model: str | None = Field(None, description="a name of /v1/models; the default model if null")
    exclude_items: Ids | None = Field(None, description=IDS)


class SimilarItems(Answer):
    """The items most similar to one."""

    item_id: Id
    similar: list[Ranked]


class Similar(Answer):
    """The neighbours of each item that the model knows."""

    model: str
    version: str
    items: list[SimilarItems]
    unknown: int = Field(ge=0, description="ids of `items` that the model does not know")


class ExplainBody(Body):
    """A history and the items whose scores are to be explained."""

    history: Ids | None = Field(None, description=IDS)
    user: Id | None = Field(None, description=f"{ID}; without a history, that of the store is used")
    items: Ids | None = Field(None, description=f"{IDS}; the best 10 if null")
    top: int = Field(5, ge=1, le=1000, description="an integer from 1 to 1000: reasons an item")
    model: str | None = Field(None, description="a name of /v1/models; the default model if null")


class Explained(Answer):
    """The score of an item: baseline + contributions + error."""

    item_id: Id
    score: float | None = Field(description="null where nothing in the history leads to the item")
    baseline: float | None = Field(description="the score without the history; null like the score")
    error: float = Field(description="what all contributions and the baseline do not explain")
    because: list[Reason]
    title: str | None = None


class Explanations(Answer):
    """The scores of items, taken apart."""

    model: str
    version: str
    method: str
    items: list[Explained]
    unknown: int = Field(ge=0, description="ids of the history and `items` that are not known")


class Model(Answer):
    """A model that is served."""

    name: str
    kind: str
    version: str
    items: int = Field(ge=0, description="number of items")
    ids: str = Field(description='"int" or "str": what the ids of its items are')
    columns: list[str] = Field(description="what is known of items, such as titles and categories")
    default: bool
    share: float = Field(ge=0, le=1, description="of the users that name no model")
    loaded_at: str = Field(description="ISO 8601, UTC")


class Models(Answer):
    """The models that are served; the first is the default."""

    models: list[Model]


class Found(Answer):
    """An item whose title fits a search; without a title its id does."""

    item_id: Id
    title: str | None = None


class Fault(Answer):
    """What is wrong: a word for programs, a sentence, and the field at fault."""

    code: str
    message: str
    parameter: str | None = None


class Error(Answer):
    """Every answer but those of success."""

    error: Fault


def examples(kind: str) -> dict[type[Body], dict[str, Any]]:
    """A valid body of each class, for models whose ids are of this kind: "int" or "str"."""
    history: list[Any] = [1, 260, 1196] if kind == "int" else ["1", "260", "1196"]
    return {
        RecommendBody: {"history": history, "k": 5},
        BatchBody: {"requests": [{"history": history, "k": 3}, {"history": [], "k": 3}]},
        SimilarBody: {"items": history[:2], "k": 3},
        ExplainBody: {"history": history, "items": history[2:], "top": 2},
    }
