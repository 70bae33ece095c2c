"""Who may do what, and with whose rows: the one place that answers.

An experiment, a source image and a study belong to somebody (`Owned`); every other row
belongs to one of them, by the way that its model names in `belongs_to`. A role gives
permissions ("may change experiments"), belonging says with which rows. `may` asks for
both. Forms, lists, pages, templates and commands ask here; an app adds actions of its
own beside `VIEW`, `ADD`, `CHANGE` and `DELETE`. Knows no app.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Q, QuerySet


class Owned(models.Model):
    """A row that somebody owns. Without an owner only those who see all see it."""

    sees_all: ClassVar[str]  # the right to see everybody's, as "app.codename"

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True
    )
    shared_with = models.ManyToManyField(
        settings.AUTH_USER_MODEL, related_name="+", blank=True
    )

    class Meta:
        abstract = True

    @classmethod
    def also_seen_by(cls, user: Any) -> Q:
        """What else lets `user` see a row, without letting them change it."""
        return Q(pk__in=[])


Row = TypeVar("Row", bound=Owned)


def belongs_to_somebody(model: type[models.Model]) -> bool:
    """A model whose rows are owned, or belong to a row that is."""
    return issubclass(model, Owned) or hasattr(model, "belongs_to")


def way_to_owned(model: type[models.Model]) -> str:
    """The way from rows of `model` to the owned row, as "trial__participant__study";
    empty where they are owned themselves. Raises TypeError where nobody owns them."""
    if issubclass(model, Owned):
        return ""
    if not belongs_to_somebody(model):
        raise TypeError(f"{model.__name__} does not say to whom its rows belong.")
    way: str = model.belongs_to  # type: ignore[attr-defined]
    return way


def owned_model(model: type[models.Model]) -> type[Owned]:
    """The model of the owned row that rows of `model` belong to."""
    found: Any = model
    for name in filter(None, way_to_owned(model).split("__")):
        found = found._meta.get_field(name).related_model
    if not issubclass(found, Owned):
        raise TypeError(
            f"{model.__name__} belongs to {found.__name__}, which is nobody's."
        )
    return found


def owned_row(row: models.Model) -> Owned:
    """The owned row that `row` belongs to, or `row` itself."""
    found: Any = row
    for name in filter(None, way_to_owned(type(row)).split("__")):
        found = getattr(found, name)
    return found


# With whose rows ------------------------------------------------------------------


def _belongs_to(model: type[Owned], user: Any) -> Q:
    shared = model.shared_with.through._default_manager.filter(user=user.pk)
    return Q(owner=user.pk) | Q(pk__in=shared.values(str(model._meta.model_name)))


def visible(model: type[Row], user: Any) -> QuerySet[Row]:
    """The rows of an owned model that `user` may see."""
    return seen_by(user, model._default_manager.all())


def changeable(model: type[Row], user: Any) -> QuerySet[Row]:
    """The rows of an owned model that are `user`'s own or shared with them."""
    return changeable_by(user, model._default_manager.all())


def seen_by(user: Any, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Of `rows`, those that `user` may see: their own, those shared with them, those
    that what they see shows; everybody's with the right to see all."""
    owned = owned_model(rows.model)
    if sees_everybodys(user, owned):
        return rows
    if way := way_to_owned(rows.model):
        return under(rows, way, visible(owned, user))
    return rows.filter(_belongs_to(owned, user) | owned.also_seen_by(user))


def under(rows: QuerySet[Any], path: str, owned: QuerySet[Any]) -> QuerySet[Any]:
    """Of `rows`, those that belong to one of `owned` by `path`.

    By the keys of what lies just below the owned rows: so a database walks an index
    of these keys in order, and a page of a long list is found without sorting it.
    """
    above, _, last = path.rpartition("__")
    if not above:
        return rows.filter(**{f"{last}__in": owned.values("pk")})
    below: Any = rows.model
    for name in above.split("__"):
        below = below._meta.get_field(name).related_model
    keys = below._default_manager.filter(**{f"{last}__in": owned.values("pk")})
    return rows.filter(**{f"{above}__in": keys.order_by().values("pk")})


def changeable_by(user: Any, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Of `rows`, those whose owned row is `user`'s own or shared with them."""
    if _is_superuser(user):
        return rows
    owned = owned_model(rows.model)
    if way := way_to_owned(rows.model):
        return under(rows, way, changeable(owned, user))
    return rows.filter(_belongs_to(owned, user))


def sees_everybodys(user: Any, model: type[Owned]) -> bool:
    """True for somebody who sees all rows of an owned model, whoever owns them."""
    return bool(user.has_perm(model.sees_all))


def is_seen_by(user: Any, row: Owned) -> bool:
    """True for an owned row that `seen_by` leaves."""
    if row.owner_id is not None and row.owner_id == user.pk:
        return True
    return visible(type(row), user).filter(pk=row.pk).exists()


def is_changeable_by(user: Any, row: Owned) -> bool:
    """True for an owned row that is `user`'s own or shared with them."""
    return is_own(user, row) or changeable(type(row), user).filter(pk=row.pk).exists()


def is_own(user: Any, row: Owned) -> bool:
    """True for an owned row of `user`'s own; every row is a superuser's."""
    own = row.owner_id is not None and row.owner_id == user.pk
    return own or _is_superuser(user)


def is_anybodys(user: Any, row: Owned) -> bool:
    """True: what is done takes nothing from whoever owns the row."""
    return True


def _is_superuser(user: Any) -> bool:
    return bool(user.is_active and user.is_superuser)


# Who may ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Action:
    """Something that people do with rows, and what lets them."""

    permissions: tuple[str, ...]
    """Of roles, as "app.codename", each of which lets somebody do it at all; {app} and
    {model} stand for those of the rows."""
    with_whose: Callable[[Any, Owned], bool]
    """Says of an owned row whether somebody may do it with that one."""
    with_everybodys: str = ""
    """A permission with which it may be done with everybody's rows."""

    def is_permitted(self, user: Any, model: type[models.Model]) -> bool:
        """True where a role of `user` lets them do it with some row of `model`."""
        names = {"app": model._meta.app_label, "model": model._meta.model_name}
        return any(user.has_perm(each.format(**names)) for each in self.permissions)


# Who may change may look, as in Django's own admin.
_TO_LOOK = ("{app}.view_{model}", "{app}.change_{model}")
VIEW = Action(_TO_LOOK, is_seen_by)
ADD = Action(("{app}.add_{model}",), is_anybodys)
CHANGE = Action(("{app}.change_{model}",), is_changeable_by)
DELETE = Action(("{app}.delete_{model}",), is_own)
SHARE = Action(_TO_LOOK, is_own)  # say who else sees a row


def may(user: Any, action: Action, thing: models.Model | type[models.Model]) -> bool:
    """Answer whether `user` may do `action` with `thing`: a row that belongs to
    somebody; or a model, for "with any row of it at all".

    Only about people. What a row's state forbids to everybody is said elsewhere.
    """
    if isinstance(thing, type):
        return action.is_permitted(user, thing)
    if not action.is_permitted(user, type(thing)):
        return False
    if may_with_everybodys(user, action):
        return True
    return action.with_whose(user, owned_row(thing))


def may_with_everybodys(user: Any, action: Action) -> bool:
    """True for somebody who may do `action` with all rows, whoever owns them."""
    return bool(action.with_everybodys and user.has_perm(action.with_everybodys))
