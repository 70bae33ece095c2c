"""Which pictures of a study may be published, as far as the lab knows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from generation.models import Render, SourceImage
from survey.models import Stimulus, Study

# Licences under which a picture made from it may be published.
OPEN_LICENCE = re.compile(
    r"(cc0|cc[ -]by\b(?![^\n]*\bnd\b)|public domain|creative commons zero"
    r"|creative commons attribution\b(?![^\n]*no ?deriv))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class LicensedSource:
    """Where a stimulus comes from, as far as rights go."""

    role: str
    title: str
    credit: str
    licence: str
    consent: str

    @classmethod
    def of(cls, role: str, image: SourceImage) -> LicensedSource:
        """The source of this role, as its source image describes it."""
        return cls(role, image.title, image.credit, image.licence, image.consent)

    @property
    def objection(self) -> str:
        """Why a picture made from it may not be published; empty if it may."""
        if self.consent == SourceImage.Consent.UNKNOWN:
            return f"the consent of the people in {self.title!r} is not known"
        if not OPEN_LICENCE.match(self.licence.strip()):
            stated = repr(self.licence) if self.licence else "no licence"
            return f"{self.title!r} has {stated}, which does not allow it"
        return ""


def with_sources(study: Study) -> list[Stimulus]:
    """The study's stimuli with what `sources` looks at, in their order."""
    chosen = study.stimuli.select_related(
        "reference", "render__content", "render__style"
    )
    return list(chosen.order_by("pk"))


def sources(stimulus: Stimulus) -> list[LicensedSource]:
    """The content and the style image of a stimulus, and the picture it was started
    from, where the lab knows them."""
    render = stimulus.render
    if render is not None:
        return [
            LicensedSource.of("content", render.content),
            LicensedSource.of("style", render.style),
            *_starts(render),
        ]
    if stimulus.is_reference:
        rendering = stimulus.renderings.filter(render__isnull=False).first()
        if rendering is not None and rendering.render is not None:
            return [LicensedSource.of("content", rendering.render.content)]
    return []


def _starts(render: Render) -> list[LicensedSource]:
    """The picture that a start `picture:SHA256` names: all with these pixels, for
    nobody knows which was meant; one of unknown rights if none is left."""
    if not render.start.startswith("picture:"):
        return []
    pixels = render.start.removeprefix("picture:")
    images = SourceImage.objects.filter(pixel_sha256=pixels).order_by("pk")
    return [LicensedSource.of("start", image) for image in images] or [
        LicensedSource(
            role="start",
            title=f"{render.start}, no longer in the lab",
            credit="",
            licence="",
            consent=SourceImage.Consent.UNKNOWN,
        )
    ]


def objections(stimulus: Stimulus) -> list[str]:
    """Why the picture of a stimulus may not be published, as far as the lab knows."""
    known = sources(stimulus)
    if not known:
        return ["where it comes from is not known to the lab"]
    return [source.objection for source in known if source.objection]


def left_out(study: Study) -> list[tuple[Stimulus, str]]:
    """The stimuli whose picture may not be published, each with the reasons."""
    found = ((it, "; ".join(objections(it))) for it in with_sources(study))
    return [(stimulus, why) for stimulus, why in found if why]
