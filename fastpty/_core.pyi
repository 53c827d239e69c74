"""The native kernels, csrc/bindings.cpp. Addresses are plain integers; 0 is the null pointer."""

from typing import Literal, TypedDict

class CudaBuild(TypedDict):
    nvcc: str
    archs: list[str]  # sm_80, ..: machine code; compute_90: PTX, for every newer GPU

class BuildInfo(TypedDict):
    version: str
    compiler: str
    cxx_standard: int
    flags: str
    simd_variants: list[str]
    cuda: CudaBuild | None
    cuda_note: str

class CudaDevice(TypedDict):
    name: str
    capability: int  # 80, 86, 90, ..
    multiprocessors: int
    shared_bytes: int  # that one block can have
    cache_bytes: int
    memory_bytes: int

def build_info() -> BuildInfo: ...
def cpu_features() -> dict[str, bool]: ...
def simd() -> str: ...
def set_simd(name: str | None) -> None: ...
def available_simd() -> list[str]: ...
def set_num_threads(threads: int) -> None: ...
def get_num_threads() -> int: ...
def slice_transmit_forward(
    *,
    dtype: Literal["complex64", "complex128"],
    positions: int,
    wave_modes: int,
    object_modes: int,
    window: tuple[int, int],
    extent: tuple[int, int],
    object_strides: tuple[int, int],
    wave_has_object_axis: bool,
    wave: int,
    object: int,
    corner: int,
    out: int,
) -> None: ...
def slice_transmit_backward(
    *,
    dtype: Literal["complex64", "complex128"],
    positions: int,
    wave_modes: int,
    object_modes: int,
    window: tuple[int, int],
    extent: tuple[int, int],
    object_strides: tuple[int, int],
    wave_has_object_axis: bool,
    wave: int,
    object: int,
    corner: int,
    grad_out: int,
    grad_wave: int,
    grad_object: int,
) -> None: ...

ADAM_TILE: int

def step_overlaps(
    *,
    positions: int,
    modes: int,
    object_modes: int,
    slices: int,
    window: tuple[int, int],
    extent: tuple[int, int],
    corner: int,
    weight: int,
    object: int,
    direction: int,
    power: int,
    product: int,
    lit: int,
    entrance: int,
    asked: int,
    out: int,
) -> None: ...
def adam_catch_up(
    *,
    planes: int,
    extent: tuple[int, int],
    value: int,
    first: int,
    second: int,
    arrears: int,
    state: int,
    beta1: float,
    beta2: float,
    eps: float,
    positions: int,
    window: tuple[int, int],
    reach: tuple[int, int],
    corner: int,
) -> None: ...
def adam_step(
    *,
    planes: int,
    extent: tuple[int, int],
    value: int,
    first: int,
    second: int,
    arrears: int,
    state: int,
    beta1: float,
    beta2: float,
    eps: float,
    gradient: int,
    rate: float,
    step: float,
) -> None: ...
def adam_settle(
    *,
    planes: int,
    extent: tuple[int, int],
    value: int,
    first: int,
    second: int,
    arrears: int,
    state: int,
    beta1: float,
    beta2: float,
    eps: float,
) -> None: ...
def cuda_devices() -> list[CudaDevice]: ...
def cuda_kernel(
    *, window: tuple[int, int], capability: int, shared_bytes: int
) -> Literal["on_chip", "split", "cluster", "none"]: ...
def has_fft(length: int) -> bool: ...
def multislice_saved_floats(
    *, wave_modes: int, object_modes: int, slices: int, window: tuple[int, int]
) -> int: ...

class MultisliceIntensity:
    def __init__(
        self,
        *,
        positions: int,
        wave_modes: int,
        object_modes: int,
        slices: int,
        window: tuple[int, int],
        extent: tuple[int, int],
        transfers: int,
        tilts: int,
        spectrum: int,
        amplitude: int,
        phase: int,
        object: int,
        corner: int,
        shift: int,
        transfer: int,
        tilt_y: int,
        tilt_x: int,
        occupancy: int,
    ) -> None: ...
    def forward(self, *, intensity: int, saved: int, saved_positions: int) -> None: ...
    def backward(
        self,
        *,
        grad_intensity: int,
        grad_object: int,
        grad_amplitude: int,
        grad_phase: int,
        grad_spectrum: int,
        grad_shift: int,
        grad_occupancy: int,
        moments: int,
        chi: int,
        saved: int,
        saved_positions: int,
        power: int = 0,
        product: int = 0,
        entrance: int = 0,
        asked: int = 0,
        wave_step: float = 0.0,
        wave_share: float = 0.0,
    ) -> None: ...

# Only where it was built with CUDA; addresses in the device's memory.
class CudaMultislice:
    def __init__(
        self,
        *,
        positions: int,
        wave_modes: int,
        object_modes: int,
        slices: int,
        window: tuple[int, int],
        extent: tuple[int, int],
        thicknesses: int,
        tilts: int,
        wavenumber: tuple[float, float],
        spectrum: int,
        object: int,
        amplitude: int,
        phase: int,
        corner: int,
        shift: int,
        occupancy: int,
        thickness: int,
        tilt: int,
        chi: int,
        errors: int,
        deterministic: bool,
        device: int,
    ) -> None: ...
    def memory(self, *, moments: bool, saved_positions: int) -> dict[str, int]: ...
    def forward(
        self,
        *,
        intensity: int,
        saved: int,
        saved_positions: int,
        moments: bool,
        scratch: int,
        stream: int,
    ) -> None: ...
    def backward(
        self,
        *,
        grad_intensity: int,
        grad_object: int,
        grad_amplitude: int,
        grad_phase: int,
        grad_spectrum: int,
        grad_shift: int,
        grad_occupancy: int,
        grad_moments: int,
        saved: int,
        saved_positions: int,
        moments: bool,
        scratch: int,
        stream: int,
    ) -> None: ...
