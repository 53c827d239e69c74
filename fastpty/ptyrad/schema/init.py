"""``init_params``: the experiment, its data, and where object, probe and positions come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from fastpty.ptyrad.schema.base import Flip, NonNegative, Params, Positive, Share, Whole

__all__ = ["FilePathWithKey", "InitParams", "TiltParams"]

Pair = Annotated[list[int], Field(min_length=2, max_length=2)]
Where = Literal["on_the_fly", "precompute"]


class FilePathWithKey(Params):
    """A file of an array. PtyRAD lets other keys pass here, and ignores them."""

    model_config = ConfigDict(extra="allow")

    path: str
    key: str | None = None
    shape: list[int] | None = None
    offset: int | None = None
    gap: int | None = None
    selection: Any = None
    zarr_kwargs: dict[str, Any] | None = None


class _WithValue(Params):
    """A mode, which may need a value."""

    value: float | None = None

    def _needs_value(self, mode: str, *modes: str) -> None:
        if mode in modes and self.value is None:
            raise ValueError(f"value is needed with mode: {mode}")


class MeasCalibration(_WithValue):
    """The detector's scale."""

    mode: Literal["dx", "dk", "kMax", "da", "angleMax", "n_alpha", "RBF", "fitRBF"] = "fitRBF"
    value: Positive | None = None

    @model_validator(mode="after")
    def _complete(self) -> MeasCalibration:
        self._needs_value(self.mode, "dx", "dk", "kMax", "da", "angleMax", "n_alpha", "RBF")
        return self


class ObjOmodeInitOccu(Params):
    """Weights of the object modes."""

    occu_type: Literal["uniform", "custom"] = "uniform"
    init_occu: list[float] | None = None

    @model_validator(mode="after")
    def _complete(self) -> ObjOmodeInitOccu:
        if self.occu_type == "custom" and not self.init_occu:
            raise ValueError("init_occu is needed with occu_type: custom")
        return self


class MeasPad(Params):
    """Padding of the patterns."""

    mode: Where | None = "on_the_fly"
    padding_type: Literal["constant", "edge", "linear_ramp", "exp", "power"] = "power"
    target_Npix: int = 256
    value: float | None = 0
    threshold: float | None = 70


class MeasResample(Params):
    """Resampling of the patterns."""

    mode: Where | None = "on_the_fly"
    scale_factors: Annotated[list[float], Field(min_length=2, max_length=2)] = Field([2, 2])


class MeasRemoveNegValues(_WithValue):
    """What happens to negative values."""

    mode: Literal["subtract_min", "subtract_value", "clip_neg", "clip_value"] = "clip_neg"
    force: bool = False

    @model_validator(mode="after")
    def _complete(self) -> MeasRemoveNegValues:
        self._needs_value(self.mode, "subtract_value", "clip_value")
        return self


class MeasNormalization(_WithValue):
    """Scale of the patterns."""

    mode: Literal["max_at_one", "mean_at_one", "sum_to_one", "divide_const"] = "max_at_one"

    @model_validator(mode="after")
    def _complete(self) -> MeasNormalization:
        self._needs_value(self.mode, "divide_const")
        return self


class MeasAddPoissonNoise(Params):
    """Noise that is added."""

    unit: Literal["total_e_per_pattern", "e_per_Ang2"]
    value: Positive


class MeasExport(Params):
    """A copy of the prepared patterns."""

    file_dir: str | None = None
    file_name: str = "ptyrad_init_meas"
    file_format: Literal["hdf5", "tif", "npy", "mat"] = "hdf5"
    output_shape: list[int] | None = None
    append_shape: bool = True


class ProbeNormalization(_WithValue):
    """Intensity of the probe."""

    mode: Literal["mean_total_ints", "max_total_ints", "target_intensity"] = "mean_total_ints"

    @model_validator(mode="after")
    def _complete(self) -> ProbeNormalization:
        self._needs_value(self.mode, "target_intensity")
        return self


class ObjZPad(Params):
    """Slices that are added to the object."""

    pad_layers: Annotated[
        list[Annotated[int, Field(ge=0)] | None], Field(min_length=2, max_length=2)
    ] = Field([0, 0])
    pad_types: Annotated[
        list[Literal["vacuum", "mean", "edge"]], Field(min_length=2, max_length=2)
    ] = Field(["vacuum", "vacuum"])


class ObjZResample(Params):
    """Other slices of the same object."""

    mode: Literal[
        "scale_Nlayer", "scale_slice_thickness", "target_Nlayer", "target_slice_thickness"
    ]
    value: Positive

    @model_validator(mode="after")
    def _whole(self) -> ObjZResample:
        if self.mode == "target_Nlayer" and not (self.value >= 1 and self.value.is_integer()):
            raise ValueError(
                f"value must be a whole number with mode: {self.mode}; found {self.value:g}"
            )
        return self


class TiltParams(Params):
    """Tilts to begin with, mrad."""

    tilt_type: Literal["all", "each"] = "all"
    init_tilts: Annotated[
        list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(min_length=1)
    ] = Field([[0, 0]])


class InitParams(Params):
    """The experiment and the start of the reconstruction."""

    random_seed: int | None = None
    probe_illum_type: Literal["electron", "xray"] = "electron"
    probe_kv: Positive | None = None
    probe_conv_angle: Positive | None = None
    probe_aberrations: dict[str, float] = Field({})
    beam_kev: float | None = None
    probe_dRn: float | None = None
    probe_Rn: float | None = None
    probe_D_H: float | None = None
    probe_D_FZP: float | None = None
    probe_Ls: float | None = None
    meas_Npix: Whole
    pos_N_scans: Whole | None = None
    pos_N_scan_slow: Whole
    pos_N_scan_fast: Whole
    pos_scan_step_size: Positive
    meas_calibration: MeasCalibration = Field(default_factory=MeasCalibration)
    probe_pmode_max: Whole = 4
    probe_pmode_init_pows: Annotated[list[Share], Field(min_length=1)] = Field([0.02])
    obj_omode_max: Whole = 1
    obj_omode_init_occu: ObjOmodeInitOccu = Field(default_factory=ObjOmodeInitOccu)
    obj_Nlayer: Whole
    obj_slice_thickness: Positive
    simu_Npix: Whole | None = None
    simu_match_mode: Literal["crop", "resample"] | None = None
    meas_permute: list[int] | None = None
    meas_reshape: Annotated[list[int], Field(min_length=3, max_length=3)] | None = None
    meas_flipT: Flip | None = None
    meas_crop: Annotated[list[Pair | None], Field(min_length=4, max_length=4)] | None = None
    meas_pad: MeasPad | None = None
    meas_resample: MeasResample | None = None
    meas_add_source_size: Positive | None = None
    meas_add_detector_blur: Positive | None = None
    meas_remove_neg_values: MeasRemoveNegValues = Field(default_factory=MeasRemoveNegValues)
    meas_normalization: MeasNormalization = Field(default_factory=MeasNormalization)
    meas_add_poisson_noise: MeasAddPoissonNoise | None = None
    meas_export: bool | MeasExport | None = None
    probe_permute: list[int] | None = None
    probe_z_shift: float | None = None
    probe_normalization: ProbeNormalization = Field(default_factory=ProbeNormalization)
    pos_scan_flipT: Flip | None = None
    pos_scan_affine: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    pos_scan_rand_std: NonNegative | None = 0.15
    obj_z_crop: Pair | None = None
    obj_z_pad: ObjZPad | None = None
    obj_z_resample: ObjZResample | None = None
    meas_source: Literal[
        "file", "tif", "tiff", "mat", "h5", "hdf5", "zarr", "npy", "raw", "custom"
    ] = "file"
    meas_params: FilePathWithKey
    probe_source: Literal["simu", "PtyRAD", "PtyShv", "py4DSTEM", "custom"] = "simu"
    probe_params: str | None = None
    pos_source: Literal["simu", "PtyRAD", "PtyShv", "py4DSTEM", "foldslice_hdf5", "custom"] = "simu"
    pos_params: str | None = None
    obj_source: Literal["simu", "PtyRAD", "PtyShv", "py4DSTEM", "custom"] = "simu"
    obj_params: Annotated[list[int], Field(min_length=4, max_length=4)] | str | None = None
    tilt_source: Literal["simu", "PtyRAD", "file", "custom"] = "simu"
    tilt_params: TiltParams | FilePathWithKey | str = Field(default_factory=TiltParams)

    @field_validator("obj_z_crop")
    @classmethod
    def _ascending(cls, value: list[int] | None) -> list[int] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(f"must be [start, stop] with start < stop; found {value}")
        return value

    @model_validator(mode="after")
    def _positions_counted(self) -> InitParams:
        raster = self.pos_N_scan_slow * self.pos_N_scan_fast
        if self.pos_N_scans is None:
            self.pos_N_scans = raster
        if self.pos_N_scans != raster:
            raise ValueError(
                f"pos_N_scans = {self.pos_N_scans} must be pos_N_scan_slow x pos_N_scan_fast = "
                f"{self.pos_N_scan_slow} x {self.pos_N_scan_fast} = {raster}"
            )
        return self

    @model_validator(mode="after")
    def _beam_given(self) -> InitParams:
        if self.probe_illum_type == "electron":
            for name in ("probe_kv", "probe_conv_angle"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name} is required for probe_illum_type: electron")
        return self

    @model_validator(mode="after")
    def _mode_powers(self) -> InitParams:
        powers = self.probe_pmode_init_pows
        if len(powers) > 1 and len(powers) != self.probe_pmode_max:
            raise ValueError(
                f"probe_pmode_init_pows must hold 1 value or one for each of the "
                f"{self.probe_pmode_max} modes of probe_pmode_max; found {len(powers)}"
            )
        if len(powers) > 1 and abs(sum(powers) - 1) > 1e-5:
            raise ValueError(f"probe_pmode_init_pows must sum to 1; found {sum(powers):g}")
        return self

    @model_validator(mode="after")
    def _sources_have_files(self) -> InitParams:
        for name in ("probe", "pos", "obj", "tilt"):
            source = getattr(self, f"{name}_source")
            given = getattr(self, f"{name}_params")
            if source not in ("simu", "custom", "file") and not isinstance(given, str):
                raise ValueError(f"{name}_params must be a path with {name}_source: {source}")
            if source == "simu" and isinstance(given, str):
                raise ValueError(
                    f"{name}_params is a path, which has no meaning with {name}_source: simu"
                )
        if self.tilt_source == "file" and not isinstance(self.tilt_params, FilePathWithKey):
            raise ValueError("tilt_params must be {path, key} with tilt_source: file")
        return self
