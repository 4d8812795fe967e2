"""Kernels for the CPU in C: LayerNorm with SiLU, gates of the recurrence, categorical samples, the whole posterior scan.

`kernels.c` is compiled once per machine with the C compiler that is found, kept in the user's cache folder, and called through ctypes.
Without a compiler, on other devices or in other precisions PyTorch's own operations are used; both agree up to rounding.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import torch

from sensei.io import atomic
from sensei.world_model.products import by_card, by_hand, product

SOURCE = Path(__file__).with_suffix(".c")
# No flag that lets the compiler assume finite numbers: a NaN has to stay one.
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
LANES = 16
NARROW = (8, 16)  # channels for which our convolutions of pictures are faster than the library's
BINS = 256  # the most bins of a two-hot regression
CLASSES = 64  # the most that a draw has to choose from
GRAIN = 2**15  # elements below which a second thread costs more than it saves
log = logging.getLogger("sensei.world_model")


def applies(*tensors: torch.Tensor) -> bool:
    """Whether the kernels can be used on these tensors, all of one update's kind."""
    return by_hand(*tensors) and library() is not None


def card(*tensors: torch.Tensor) -> ModuleType | None:
    """The kernels for a graphics card, where they can be used on these tensors."""
    return triton_library() if by_card(*tensors) else None


@functools.cache
def triton_library() -> ModuleType | None:
    """`triton_kernels`; None where Triton cannot be had, which is logged once."""
    try:
        from sensei.world_model import triton_kernels

        triton_kernels.one_hot(torch.zeros(1, dtype=torch.int64, device="cuda"), 2)  # needs a C compiler too
    except Exception as error:  # Triton and what it calls have errors of their own
        log.warning("updates on the card use PyTorch's own operations, several times as slow: Triton does not work: %s", str(error)[-500:])
        return None
    return triton_kernels


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where they cannot be had, which is logged once."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    try:
        if compiler is None:
            raise FileNotFoundError("no C compiler (cc, gcc, clang) on the PATH")
        return ctypes.CDLL(str(build(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        found = getattr(error, "stderr", None) or str(error)
        log.warning("updates use PyTorch's own operations, up to twice as slow: kernels.c cannot be compiled: %s", found.strip()[-500:])
        return None


def build(compiler: str) -> Path:
    """Compile `kernels.c` unless the cache has it for this source, compiler and processor; safe for processes that do it at once."""
    key = hashlib.sha256(repr((SOURCE.read_bytes(), FLAGS, compiler, _processor())).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sensei"
    path = folder / f"kernels-{key}.so"
    if not path.exists():
        with atomic(path) as temporary:
            parts = temporary.with_suffix(".o")
            try:
                _run(compiler, *FLAGS, "-fopenmp", "-c", str(SOURCE), "-o", str(parts))
                # Not linked with -fopenmp: the threads are to be those of PyTorch, whose OpenMP is loaded already.
                _run(compiler, "-shared", str(parts), "-o", str(temporary), "-lm")
            finally:
                parts.unlink(missing_ok=True)
    return path


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))}))


def _threads(elements: int) -> int:
    return torch.get_num_threads() if elements >= GRAIN else 1


def _call(name: str, *arguments: torch.Tensor | int | float | None) -> None:
    """Call a function of the library: tensors (or None) are its pointers, int its long, float its double."""
    getattr(library(), name)(*(KINDS[type(a)](a) for a in arguments))


KINDS = {
    torch.Tensor: lambda tensor: ctypes.c_void_p(tensor.data_ptr()),
    torch.nn.Parameter: lambda tensor: ctypes.c_void_p(tensor.data_ptr()),
    type(None): lambda _: None,
    int: ctypes.c_long,
    float: ctypes.c_double,
}


def norm_silu(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor | None:
    """SiLU(LayerNorm(x)) over the last axis: float [..., width], [width], [width] -> [..., width]; None where the kernel does not apply.

    With weight and bias [heads, width] x is [heads, rows, width].
    """
    if triton := card(x):
        return triton.norm_silu(x, weight, bias)
    width = x.shape[-1]
    if not (width == LANES // 2 or width % LANES == 0) or x.numel() == 0 or not applies(x, weight, bias):
        return None
    if weight.dim() == 1:
        return _NormSiLU.apply(x.reshape(1, -1, width), weight.view(1, -1), bias.view(1, -1)).view(x.shape)
    return _NormSiLU.apply(x, weight, bias)


class _NormSiLU(torch.autograd.Function):
    """[heads, rows, width], [heads, width], [heads, width] -> [heads, rows, width]; statistics are measured again going back."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        # Rows of 8 are taken two at a time and must touch.
        if x.stride(-1) != 1 or (x.shape[-1] < LANES and not x.is_contiguous()):
            x = x.contiguous()
        y = torch.empty(x.shape)
        ctx.layout = (*x.shape, x.stride(0), x.stride(1), _threads(x.numel()))
        ctx.save_for_backward(x, weight, bias)
        _call("norm_silu", x, weight, bias, y, *ctx.layout)
        return y

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight, bias = ctx.saved_tensors
        heads, _, width, *_, threads = ctx.layout
        given = torch.empty_strided(x.shape, x.stride())
        sums = torch.zeros(threads, 2, heads, width)
        _call("norm_silu_back", x, weight, bias, gradient.contiguous(), given, sums, *ctx.layout)
        return given, *(sums[0] if threads == 1 else sums.sum(0)).unbind(0)


def interleave(x: torch.Tensor, channels: int) -> torch.Tensor | None:
    """Four channel groups as the four pixels of a place, the border left out; None where the kernel does not apply.

    float [N, 4 channels, H + 1, W + 1] -> [N, channels, 2 H, 2 W], both in channels-last memory.
    """
    if not applies(x) or not x.is_contiguous(memory_format=torch.channels_last):
        return None
    rows, _, height, width = x.shape
    y = torch.empty(rows, 2 * height - 2, 2 * width - 2, channels)
    _call("interleave", x, y, rows, height - 1, width - 1, channels, _threads(y.numel()))
    return y.permute(0, 3, 1, 2)


def recur(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, deter: torch.Tensor) -> torch.Tensor | None:
    """The GRU's next memory from the joint projection of its gates: float [rows, 3 deter], [3 deter], [3 deter], [rows, deter]."""
    if triton := card(x, deter):
        return triton.recur(x, weight, bias, deter)
    if deter.shape[-1] % LANES or not applies(x, weight, deter):
        return None
    return _Recur.apply(x.contiguous(), weight, bias, deter.contiguous())


class _Recur(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, deter: torch.Tensor) -> torch.Tensor:
        following = torch.empty_like(deter)
        ctx.layout = (*deter.shape, _threads(x.numel()))
        ctx.save_for_backward(x, weight, bias, deter)
        _call("recur", x, weight, bias, deter, following, *ctx.layout)
        return following

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight, bias, deter = ctx.saved_tensors
        threads = ctx.layout[-1]
        of_x, of_deter, sums = torch.empty_like(x), torch.empty_like(deter), torch.zeros(threads, 2, len(weight))
        _call("recur_back", x, weight, bias, deter, gradient.contiguous(), of_x, of_deter, sums, *ctx.layout)
        return of_x, *(sums[0] if threads == 1 else sums.sum(0)).unbind(0), of_deter


def draw(logits: torch.Tensor, uniform_mix: float, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
    """`distributions.draw`, on a CPU where no gradient is wanted: float [..., classes], [...] -> int64 [...], float [..., classes]."""
    if triton := card(logits):
        return triton.draw(logits, uniform_mix, uniform)
    classes = logits.shape[-1]
    if classes > CLASSES or (torch.is_grad_enabled() and logits.requires_grad) or not applies(logits, uniform):
        return None
    index, probabilities = torch.empty(uniform.shape, dtype=torch.int64), torch.empty(logits.shape)
    layout = uniform.numel(), classes, float(uniform_mix), _threads(logits.numel())
    _call("draw", logits.contiguous(), uniform.contiguous(), probabilities, None, index, *layout)
    return index, probabilities


def two_hot_mean(logits: torch.Tensor, values: torch.Tensor) -> torch.Tensor | None:
    """Mean of values float [bins] under the softmax of logits float [..., bins], where no gradient is wanted -> [...]."""
    bins = logits.shape[-1]
    if bins > BINS or (torch.is_grad_enabled() and logits.requires_grad) or not applies(logits, values):
        return None
    logits, mean = logits.contiguous(), torch.empty(logits.shape[:-1])
    values = torch.nn.functional.pad(values, (0, BINS - bins))
    _call("two_hot_mean", logits, values, mean, mean.numel(), bins, _threads(logits.numel()))
    return mean


def two_hot_loss(logits: torch.Tensor, below: torch.Tensor, share: torch.Tensor) -> torch.Tensor | None:
    """Cross-entropy with a target of mass 1 - share on bin `below` and share on the next: float [..., bins], int64 [...], float [...]."""
    if logits.shape[-1] > BINS or below.requires_grad or share.requires_grad or not applies(logits, share):
        return None
    return _TwoHotLoss.apply(logits.contiguous(), below.contiguous(), share.contiguous())


class _TwoHotLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: torch.Tensor, below: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        loss, scale = torch.empty_like(share), torch.empty_like(share)
        ctx.layout = share.numel(), logits.shape[-1], _threads(logits.numel())
        ctx.save_for_backward(logits, below, share, scale)
        _call("two_hot_loss", logits, below, share, loss, scale, *ctx.layout)
        return loss

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        logits, *saved = ctx.saved_tensors
        of_logits = torch.empty_like(logits)
        _call("two_hot_back", logits, *saved, gradient.contiguous(), of_logits, *ctx.layout)
        return of_logits, None, None


SCAN = (
    "time batch units deter stoch classes threads",
    "mix",
    (
        "embedded acted keep uniform start start_projection from_stoch input_weight input_bias gates gate_weight gate_bias from_deter "
        "hidden_weight hidden_bias output output_bias input joint opened memory seen hidden probabilities onehot index"
    ),
)
BACK = (
    "from_stoch gates from_deter output memory onehot probabilities "
    "of_logits of_seen of_opened of_input input_sums gate_sums hidden_sums start start_projection"
)


class _ScanArguments(ctypes.Structure):
    _fields_ = [
        (name, kind) for names, kind in zip(SCAN, (ctypes.c_long, ctypes.c_double, ctypes.c_void_p), strict=True) for name in names.split()
    ]


class _BackArguments(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in BACK.split()]


def scan(classes: int, uniform_mix: float, keep: torch.Tensor, uniform: torch.Tensor, *leaves: torch.Tensor):
    """The posterior scan of `RSSM.observe`, gradient included; None where the kernel does not apply.

    Args:
        keep: float [batch, time], 0 where state and action are forgotten.
        uniform: float [batch, time, stoch].
        leaves: embedded, acted [batch, time, units]; start [deter], start_projection [units]; then from_stoch, weight and bias of the input
            norm, gates, weight and bias of the gates' norm, from_deter, weight and bias of the hidden norm, output and its bias.

    Returns:
        memory [batch, time, deter], one-hot states with straight-through gradient [batch, time, stoch * classes], classes int64
        [batch, time, stoch], probabilities [batch, time, stoch, classes].
    """
    if triton := card(uniform, *leaves):
        return triton.scan(classes, uniform_mix, keep, uniform, *leaves)
    embedded, start = leaves[0], leaves[2]
    widths = embedded.shape[-1], len(start), uniform.shape[-1] * classes
    if any(width % LANES for width in widths) or classes > CLASSES or not applies(uniform, *leaves):
        return None
    turned = [part.transpose(0, 1).contiguous() for part in (keep, uniform, *leaves[:2])]
    memory, onehot, index, probabilities = _Scan.apply(classes, uniform_mix, *turned, *leaves[2:])
    return *(part.transpose(0, 1) for part in (memory, onehot, index)), probabilities.transpose(0, 1).unflatten(-1, (-1, classes))


class _Scan(torch.autograd.Function):
    """Time runs along the first axis; gradients of the matrices are made after the loop, for all steps at once."""

    @staticmethod
    def forward(ctx, classes: int, mix: float, keep: torch.Tensor, uniform: torch.Tensor, *leaves: torch.Tensor):
        time, batch, stoch = uniform.shape
        units, deter, flat = leaves[0].shape[-1], len(leaves[2]), stoch * classes
        widths = units, units + deter, 3 * deter, deter, units, units, flat, flat
        made = [torch.empty(time, batch, width) for width in widths]
        made.append(torch.empty(time, batch, stoch, dtype=torch.int64))
        given = [leaf.contiguous() for leaf in leaves]
        tensors = given[0], given[1], keep, uniform, *given[2:], *made
        ctx.numbers = time, batch, units, deter, stoch, classes, torch.get_num_threads(), mix
        library().scan(ctypes.byref(_ScanArguments(*ctx.numbers, *(tensor.data_ptr() for tensor in tensors))))
        ctx.save_for_backward(*tensors)
        ctx.mark_non_differentiable(made[8])
        return made[3], made[7], made[8], made[6]

    @staticmethod
    def backward(ctx, of_memory: torch.Tensor, of_onehot: torch.Tensor, _, of_probabilities: torch.Tensor):
        tensors = ctx.saved_tensors
        saved = dict(zip(SCAN[2].split(), tensors, strict=True))
        time, batch, units, deter, stoch, classes, *_ = ctx.numbers
        turned = [saved[name].t().contiguous() for name in ("from_stoch", "gates", "from_deter", "output")]
        incoming = [gradient.contiguous() for gradient in (of_memory, of_onehot, of_probabilities)]
        of_logits, of_seen, of_opened, of_input = (torch.empty(time, batch, width) for width in (stoch * classes, units, 3 * deter, units))
        sums = [torch.zeros(2, width) for width in (units, 3 * deter, units)]
        start, start_projection = torch.zeros(deter), torch.zeros(units)
        given = *turned, *incoming, of_logits, of_seen, of_opened, of_input, *sums, start, start_projection
        arguments = _ScanArguments(*ctx.numbers, *(tensor.data_ptr() for tensor in tensors))
        library().scan_back(ctypes.byref(arguments), ctypes.byref(_BackArguments(*(tensor.data_ptr() for tensor in given))))

        def of_matrix(inputs: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
            return product(inputs.flatten(0, 1).t(), gradient.flatten(0, 1))

        before = saved["onehot"][:-1] * saved["keep"][1:].unsqueeze(-1)
        matrices = {
            "from_stoch": of_matrix(before, of_input[1:]),
            "gates": of_matrix(saved["joint"], of_opened),
            "from_deter": of_matrix(saved["memory"], of_seen),
            "output": of_matrix(saved["hidden"], of_logits),
        }
        inner, gate, hidden = (part.unbind(0) for part in sums)
        of_weights = matrices["from_stoch"], *inner, matrices["gates"], *gate, matrices["from_deter"], *hidden
        of_output = matrices["output"], of_logits.sum((0, 1))
        return None, None, None, None, of_seen, of_input, start, start_projection, *of_weights, *of_output


def pictures(x: torch.Tensor, channels: int, half: int) -> bool:
    """Whether the three functions below serve maps of [half, half, channels] and their pictures of twice the side."""
    return channels in NARROW and half % 4 == 0 and 8 <= half <= 64 and applies(x)


def picture_down(picture: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Convolution of kernel 4, stride 2, padding 1: float [N, 3, 2 H, 2 H], [channels, 3, 4, 4] -> [N, channels, H, H], channels-last."""
    rows, channels, half = len(picture), len(weight), picture.shape[-1] // 2
    map = torch.empty(rows, half, half, channels)
    layout = rows, half, channels, _threads(map.numel())
    _call("picture_down", _last(picture), weight.permute(2, 3, 1, 0).contiguous(), map, *layout)
    return map.permute(0, 3, 1, 2)


def picture_up(map: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Its transpose: float [N, channels, H, H], [channels, 3, 4, 4], [3] -> [N, 3, 2 H, 2 H], channels-last."""
    rows, channels, half = map.shape[:3]
    picture = torch.empty(rows, 2 * half, 2 * half, 3)
    # Row 2 i + s - 1 of the picture gets row i - 1 + p of the map by kernel row 2 (1 - p) + s; columns alike.
    parts = weight.reshape(channels, 3, 2, 2, 2, 2).flip((2, 4)).permute(2, 4, 0, 3, 5, 1).reshape(2, 2, channels, 2, 6)
    start = torch.zeros(16) if bias is None else torch.nn.functional.pad(bias.repeat(4).view(2, 6), (0, 2))
    layout = rows, half, channels, _threads(picture.numel())
    _call("picture_up", _last(map), torch.nn.functional.pad(parts, (0, 2)).contiguous(), start, picture, *layout)
    return picture.permute(0, 3, 1, 2)


def picture_weight(picture: torch.Tensor, map: torch.Tensor) -> torch.Tensor:
    """Gradient of the weight of either: float [N, 3, 2 H, 2 H], [N, channels, H, H] -> [channels, 3, 4, 4]."""
    rows, channels, half = map.shape[:3]
    threads = _threads(map.numel())
    sums = torch.zeros(threads, 4, channels, 16)
    _call("picture_weight", _last(picture), _last(map), sums, rows, half, channels, threads)
    return sums.sum(0)[..., :12].reshape(4, channels, 4, 3).permute(1, 3, 0, 2)


def _last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def picture_error(predicted: torch.Tensor, image: torch.Tensor) -> torch.Tensor | None:
    """Squared error summed over each picture: float [N, H, W, 3] against `centred` uint8 [N, H, W, 3] -> [N]."""
    if triton := card(predicted):
        return triton.picture_error(predicted, image)
    if predicted[0].numel() % LANES or image.dtype != torch.uint8 or not applies(predicted):
        return None
    return _PictureError.apply(predicted.contiguous(), image.contiguous())


class _PictureError(torch.autograd.Function):
    @staticmethod
    def forward(ctx, predicted: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        error = torch.empty(len(predicted))
        ctx.layout = len(predicted), predicted[0].numel(), _threads(predicted.numel())
        ctx.save_for_backward(predicted, image)
        _call("picture_error", predicted, image, error, *ctx.layout)
        return error

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        predicted, image = ctx.saved_tensors
        of_predicted = torch.empty_like(predicted)
        _call("picture_error_back", predicted, image, gradient.contiguous(), of_predicted, *ctx.layout)
        return of_predicted, None
