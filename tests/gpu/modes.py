"""The rules of CUDA for the pretended GPU: what moves tensors, and what every operation may mix.

`Functions` catches what moves tensors or gives their memory to numpy. `Operations` sees every
operation below autograd, the backward pass included.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")
WAITS = set(
    "_local_scalar_dense nonzero masked_select _unique _unique2 unique_dim unique_consecutive "
    "unique_dim_consecutive bincount histc equal is_nonzero coalesce _coalesce _to_sparse "
    "linalg_cholesky _linalg_eigh _linalg_svd linalg_eig linalg_lstsq linalg_matrix_rank".split()
)
LOOSE = set(
    "index_add index_add_ index_reduce_ scatter_add scatter_add_ put_ histc kthvalue "
    "sparse_coo_tensor convolution_backward grid_sampler_2d_backward upsample_bilinear2d_backward "
    "reflection_pad2d_backward replication_pad2d_backward max_pool3d_with_indices_backward "
    "adaptive_avg_pool2d_backward nll_loss2d_forward".split()
)
FREE = set(
    "empty empty_like empty_strided new_empty new_empty_strided detach alias lift_fresh _indices "
    "_values _unsafe_view _reshape_alias set_ resize_ is_coalesced _dimI _dimV _nnz record_stream "
    "_local_scalar_dense".split()
)
MIXES = set("fill_ masked_fill masked_fill_ index_fill index_fill_ where copy_ lerp".split())
INDEXES = set("index index_put index_put_ _index_put_impl_".split())
MADE = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}


def storages_of(tensor: Tensor) -> list[Any]:
    """What holds the numbers of a tensor, of any layout; nothing holds those of a meta tensor."""
    parts = {
        torch.strided: lambda: [tensor],
        torch.sparse_coo: lambda: [tensor._indices(), tensor._values()],
        torch.sparse_csr: lambda: [tensor.crow_indices(), tensor.col_indices(), tensor.values()],
        torch.sparse_csc: lambda: [tensor.ccol_indices(), tensor.row_indices(), tensor.values()],
    }.get(tensor.layout, list)()
    return [] if tensor.is_meta else [part.untyped_storage() for part in parts]


class Generator(torch._C.Generator):
    """A generator that says it is on a device; its numbers are the CPU's. gpu: of a subclass."""

    gpu: Any

    def __new__(cls, device: Any = "cpu") -> Generator:
        made = super().__new__(cls, "cpu")
        made.where = CUDA if torch.device(device).type == "cuda" else CPU
        return made

    device = property(lambda self: self.where)  # type: ignore[assignment]

    def get_state(self) -> Tensor:
        """Not while a graph is captured, no more than the others."""
        self.gpu.check_not_capturing()
        return super().get_state()

    def set_state(self, state: Tensor) -> Generator:
        self.gpu.check_not_capturing()
        return super().set_state(state)

    def manual_seed(self, seed: int) -> Generator:
        self.gpu.check_not_capturing()
        return super().manual_seed(seed)


class Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gpu: Any, tensor: Tensor, to: bool, wait: bool, how: Any) -> Tensor:
        ctx.gpu, ctx.to, ctx.dtype = gpu, to, tensor.dtype
        return gpu.move(tensor.detach(), to, wait, **how)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return None, ctx.gpu.move(grad, not ctx.to, dtype=ctx.dtype), None, None, None


class Functions(TorchFunctionMode):
    """What moves tensors, or hands their memory to others."""

    def __init__(self, gpu: Any) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        gpu, kwargs = self.gpu, dict(kwargs or {})
        here = bool(args) and isinstance(args[0], Tensor) and gpu.has(args[0])
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return self._to(func, args, kwargs)
        if func in (Tensor.numpy, Tensor.__array__) and here:
            raise TypeError(
                "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the "
                "tensor to host memory first."
            )
        if func is Tensor.pin_memory:
            if here:
                raise RuntimeError("cannot pin 'torch.cuda.FloatTensor': only dense CPU tensors")
            out = args[0].clone()
            gpu.pinned |= {s._cdata: StorageWeakRef(s) for s in storages_of(out)}
            return out
        if func is Tensor.is_pinned:
            return all(storage._cdata in gpu.pinned for storage in storages_of(args[0]))
        if func is Tensor.tolist and here:
            gpu.record("download", "tolist")
        if func is Tensor.__deepcopy__ and here:
            return gpu.put(func(*args, **kwargs))
        if func is Tensor.backward:
            return self._backward(*args, **kwargs)
        if func in MADE:
            return self._make(func, args, kwargs)
        self._check_generator(args, kwargs)
        with gpu.telling("named", kwargs.get("device") is not None):
            return func(*args, **kwargs)

    def _backward(self, tensor: Tensor, gradient: Any = None, *args: Any, **kwargs: Any) -> None:
        with self:  # for what is written in Python in the backward pass
            torch.autograd.backward(tensor, gradient, *args, **kwargs)

    def _check_generator(self, args: Any, kwargs: Any) -> None:
        given = [*args, *kwargs.values()]
        generator = next((a for a in given if isinstance(a, torch._C.Generator)), None)
        if generator is None:
            return
        self.gpu.check_draws(generator)
        tensor = next((a for a in given if isinstance(a, Tensor)), None)
        device = CPU if tensor is None else self.gpu.device(tensor)
        kind = torch.device(kwargs.get("device") or device).type
        if kind in ("cpu", "cuda") and kind != generator.device.type:
            raise RuntimeError(
                f"Expected a '{kind}' device type for generator but found '{generator.device.type}'"
            )

    def _make(self, func: Any, args: Any, kwargs: Any) -> Any:
        """From numbers and arrays: made by the host, and sent to the GPU from there."""
        gpu, device = self.gpu, kwargs.pop("device", None)
        source = args[0] if args else next(iter(kwargs.values()))
        if device is None and isinstance(source, Tensor):
            device = gpu.device(source)
        where = None if device is None else torch.device(device).type
        if where not in ("cpu", "cuda"):
            return func(*args, **kwargs | ({} if device is None else {"device": device}))
        given = isinstance(source, Tensor) and func is not Tensor.new_tensor
        from_gpu = given and gpu.has(source)
        with gpu.telling("side", where == "cuda"):
            out = func(*args, **kwargs)
            if from_gpu == (where == "cuda"):
                return out
            out = out.clone()  # as_tensor and asarray share memory
        gpu.record("upload" if where == "cuda" else "download", func.__name__, out.nbytes)
        return gpu.put(out, where == "cuda")

    def _to(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        tensor, *rest = args
        place = {Tensor.cpu: CPU, Tensor.cuda: CUDA}.get(func)
        flags = [a for a in rest if isinstance(a, bool)] + [False, False]
        other = kwargs.pop("other", next((a for a in rest if isinstance(a, Tensor)), None))
        places = (a for a in rest if isinstance(a, str | torch.device) or type(a) is int)
        dtype = kwargs.pop("dtype", next((a for a in rest if isinstance(a, torch.dtype)), None))
        device = kwargs.pop("device", None) or place or next(places, None)
        wait = not kwargs.pop("non_blocking", flags[0])
        if other is not None:
            device, dtype = self.gpu.device(other), other.dtype
        copy, options = kwargs.pop("copy", flags[1]), {k: v for k, v in kwargs.items() if v}
        options |= {} if dtype is None else {"dtype": dtype}
        where = None if device is None else torch.device(device).type
        if where in (None, self.gpu.device(tensor).type):
            return Tensor.to(tensor, copy=copy, **options)
        if where not in ("cpu", "cuda"):
            return Tensor.to(tensor, device, copy=copy, **options)
        return self.gpu.move(tensor, where == "cuda", wait, **options)


class Operations(TorchDispatchMode):
    """Every operation, below autograd: labels its results, and refuses what CUDA would."""

    def __init__(self, gpu: Any) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        gpu, kwargs = self.gpu, dict(kwargs or {})
        name = func._schema.name.partition("::")[2]
        tensors = [t for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)]
        here, told = [gpu.has(t) for t in tensors], gpu.told("side")
        side = any(here)
        device = kwargs.get("device")
        if device is not None and device.type != "meta":
            kwargs["device"] = CPU
            # torch's C++ names the device of a tensor too, which is the CPU for it.
            if device.type == "cuda" or gpu.told("named"):
                side = device.type == "cuda"
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False
        if told is not None:
            side = told
        elif side or any(here):
            gpu.operations.add(f"{name}.{func._overloadname}".removesuffix(".default"))
            if not all(here):
                self._refuse(func, name, args, tensors, here)
            self._count(func, name, args, kwargs, tensors, here)
        if side and torch.Tag.nondeterministic_seeded in func.tags and "generator" not in kwargs:
            gpu.check_draws(torch.default_generator)
        capturing = gpu.capturing if told is None and (side or any(here)) else None
        if capturing is not None:
            capturing.before(func, args)
        out = func(*args, **kwargs)
        if capturing is not None:
            capturing.after(func, args, kwargs, out)
        if side and name != "copy_":  # its target stays where it is
            before = {storage._cdata for t in tensors for storage in storages_of(t)}
            for made in tree_iter(out):
                if isinstance(made, Tensor) and any(
                    s._cdata not in before for s in storages_of(made)
                ):
                    gpu.put(made)
                    if made.dtype == torch.float64 and name not in FREE and told is None:
                        gpu.record("float64", name)
        return out

    def _refuse(self, func: Any, name: str, args: Any, tensors: Any, here: Any) -> None:
        """Raises for CPU tensors among GPU tensors, where CUDA does."""
        others = [t for t, on in zip(tensors, here, strict=True) if not on]
        if name == "copy_":
            return
        if name in INDEXES and here[0]:
            indices = [index for index in tree_iter(args[1]) if isinstance(index, Tensor)]
            rest = [t for t in others if not any(t is i for i in indices)]
            for _ in range(len(others) - len(rest)):
                self.gpu.record("upload", f"{name} by a CPU index")
            others = rest
        scalars = torch.Tag.pointwise in func.tags or name in MIXES or name in INDEXES
        written = args[0] if name.endswith("_") and args else None
        if any(t.dim() or t is written or not scalars for t in others):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"cuda:0 and cpu! (in aten::{name})"
            )

    def _count(
        self, func: Any, name: str, args: Any, kwargs: Any, tensors: list[Tensor], here: list[bool]
    ) -> None:
        gpu = self.gpu
        if name == "copy_" and here[0] != here[1]:
            kind = gpu.kind_of_copy(tensors[1], here[0], not (args[2:] and args[2]))
            gpu.record(kind, name, tensors[0].nbytes)
            return
        masks = list(tree_iter(args[1])) if name in INDEXES else []
        masked = any(isinstance(t, Tensor) and t.dtype in (torch.bool, torch.uint8) for t in masks)
        if masked and name != "index" and args[2].numel() == 1 and len(masks) == 1:
            masked = False  # CUDA makes a masked_fill of it
        unsized = name == "repeat_interleave" and kwargs.get("output_size") is None
        if name in WAITS or masked or unsized:
            gpu.record("sync", f"{name} by a mask" if masked else name)
        summed = name in ("cumsum", "cumsum_", "cumprod") and tensors[0].is_floating_point()
        scattered = name == "scatter_reduce" and args[4] in ("sum", "mean")
        if name in LOOSE or summed or scattered or (name == "bincount" and len(tensors) > 1):
            gpu.record("nondeterministic", name)
        if not func.is_view and name not in FREE:
            gpu.record("launch", name)
