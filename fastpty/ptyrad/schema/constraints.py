"""``constraint_params``: what is applied at the end of an iteration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fastpty.ptyrad.schema.base import NonNegative, Params, Share, Whole

__all__ = ["ConstraintParams", "Schedule"]

Percent = Annotated[float, Field(ge=0, le=100)]


class Schedule(Params):
    """When it acts: from ``start_iter`` (null: never) until before ``end_iter``."""

    start_iter: Whole | None = None
    step: Whole | None = 1
    end_iter: Whole | None = None


class _On(Schedule):
    start_iter: Whole | None = 1


class _OnObject(Schedule):
    obj_type: Literal["amplitude", "phase", "both"] = "both"


class ProbeMaskK(Schedule):
    """Mask in reciprocal space."""

    radius: NonNegative = 0.22
    width: NonNegative = 0.05
    power_thresh: Share = 0.95


class ProbeMaskR(Schedule):
    """Mask in real space."""

    radius: NonNegative = 0.95
    order: Annotated[int, Field(ge=0)] = 6
    power_thresh: Share = 0.95
    z_range: Annotated[list[float], Field(min_length=2, max_length=2)] = Field([-500, 500])
    z_steps: Whole = 101


class ObjRblur(_OnObject):
    """Blur in the plane."""

    start_iter: Whole | None = 1
    kernel_size: Whole = 5
    std: NonNegative = 0.4


class ObjZblur(_OnObject):
    """Blur along the beam."""

    start_iter: Whole | None = 1
    kernel_size: Whole = 5
    std: NonNegative = 1.0


class KrFilter(_OnObject):
    """Low-pass filter."""

    radius: NonNegative = 0.15
    width: NonNegative = 0.05


class KzFilter(_OnObject):
    """Arctangent filter."""

    beta: NonNegative = 1.0
    alpha: NonNegative = 1.0


class KrThresh(_OnObject):
    """Largest cosine coefficients."""

    thresh: Annotated[float, Field(gt=0, le=1)] = 0.05


class ComplexRatio(_OnObject):
    """Absorption from phase."""

    alpha1: float = 1.0
    alpha2: float = 0.0


class MirroredAmp(Schedule):
    """Amplitude from phase."""

    relax: Share = 0.1
    scale: NonNegative = 0.03
    power: NonNegative = 4.0


class ObjZRecenter(Schedule):
    """Object in the middle."""

    thresh: Percent | None = 95
    scale: Share | None = 1
    max_shift: NonNegative | None = 10


class ObjaThresh(Schedule):
    """Bounds of the amplitude."""

    relax: Share = 0.0
    thresh: Annotated[list[float], Field(min_length=2, max_length=2)] = Field([0.96, 1.04])


class ObjpPostiv(Schedule):
    """Positive phase."""

    relax: Share = 0.0


class PosRecenter(_On):
    """Mean displacement."""

    relax: Share = 0.0


class TiltSmooth(Schedule):
    """Smooth tilts."""

    std: NonNegative = 2.0


class ConstraintParams(Params):
    """In the order of their action."""

    ortho_pmode: _On = Field(default_factory=_On)
    probe_mask_k: ProbeMaskK = Field(default_factory=ProbeMaskK)
    probe_mask_r: ProbeMaskR = Field(default_factory=ProbeMaskR)
    fix_probe_int: _On = Field(default_factory=_On)
    obj_rblur: ObjRblur = Field(default_factory=ObjRblur)
    obj_zblur: ObjZblur = Field(default_factory=ObjZblur)
    kr_filter: KrFilter = Field(default_factory=KrFilter)
    kz_filter: KzFilter = Field(default_factory=KzFilter)
    kr_thresh: KrThresh = Field(default_factory=KrThresh)
    complex_ratio: ComplexRatio = Field(default_factory=ComplexRatio)
    mirrored_amp: MirroredAmp = Field(default_factory=MirroredAmp)
    obj_z_recenter: ObjZRecenter = Field(default_factory=ObjZRecenter)
    obja_thresh: ObjaThresh = Field(default_factory=ObjaThresh)
    objp_postiv: ObjpPostiv = Field(default_factory=ObjpPostiv)
    pos_recenter: PosRecenter = Field(default_factory=PosRecenter)
    tilt_smooth: TiltSmooth = Field(default_factory=TiltSmooth)
