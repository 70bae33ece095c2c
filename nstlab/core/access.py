"""Who may see and change what: an owner, those it is shared with, those who see all.

An experiment, a source image and a study belong to somebody; every other row belongs
to one of them, and who may see or change that one may see or change it. Knows no app:
their models inherit `Owned`, and their queries and pages ask here.
"""

from __future__ import annotations

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


def root_of(model: type[models.Model], path: str) -> type[Owned]:
    """The owned model that rows of `model` belong to by `path`, as "trial__study"."""
    found: Any = model
    for name in filter(None, path.split("__")):
        found = found._meta.get_field(name).related_model
    if not issubclass(found, Owned):
        raise TypeError(f"{model.__name__} belongs to nobody by {path!r}")
    return found


def root_row(row: models.Model, path: str) -> Owned:
    """The owned row that `row` belongs to by `path`."""
    found: Any = row
    for name in filter(None, path.split("__")):
        found = getattr(found, name)
    return found


def _belongs_to(model: type[Owned], user: Any) -> Q:
    shared = model.shared_with.through._default_manager.filter(user=user.pk)
    return Q(owner=user.pk) | Q(pk__in=shared.values(str(model._meta.model_name)))


def visible(model: type[Row], user: Any) -> QuerySet[Row]:
    """The rows of an owned model that `user` may see."""
    return seen_by(user, model._default_manager.all())


def changeable(model: type[Row], user: Any) -> QuerySet[Row]:
    """The rows of an owned model that are `user`'s own or shared with them."""
    return changeable_by(user, model._default_manager.all())


def seen_by(user: Any, rows: QuerySet[Any], path: str = "") -> QuerySet[Any]:
    """Of `rows`, which belong to an owned row by `path`, those that `user` may see."""
    root = root_of(rows.model, path)
    if user.has_perm(root.sees_all):
        return rows
    if path:
        return under(rows, path, visible(root, user))
    return rows.filter(_belongs_to(root, user) | root.also_seen_by(user))


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


def changeable_by(user: Any, rows: QuerySet[Any], path: str = "") -> QuerySet[Any]:
    """Of `rows`, those whose owned row `user` may change."""
    if _is_superuser(user):
        return rows
    root = root_of(rows.model, path)
    if path:
        return under(rows, path, changeable(root, user))
    return rows.filter(_belongs_to(root, user))


def may_see(user: Any, row: Owned) -> bool:
    """Whether `user` may see this owned row."""
    if row.owner_id is not None and row.owner_id == user.pk:
        return True
    return visible(type(row), user).filter(pk=row.pk).exists()


def may_change(user: Any, row: Owned) -> bool:
    """Whether `user` may change this owned row: it is theirs or shared with them."""
    return may_share(user, row) or (
        changeable(type(row), user).filter(pk=row.pk).exists()
    )


def may_share(user: Any, row: Owned) -> bool:
    """Whether `user` may say who else sees this owned row, and delete it: its owner."""
    own = row.owner_id is not None and row.owner_id == user.pk
    return own or _is_superuser(user)


def _is_superuser(user: Any) -> bool:
    return bool(user.is_active and user.is_superuser)
