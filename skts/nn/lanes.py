"""Vectors of lanes inside numba's compiled functions: one processor register, written as one value.

LLVM vectorises a plain loop only where it can show that no two arrays overlap, which it cannot for numba's arguments.
With a type for the register itself the code says what is meant: ``fma(a, h, x)`` is one instruction on 16 numbers in
float32, 8 in float64 (512 bits; narrower machines take it in parts).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

__all__ = ["exp", "fma", "inverse", "lanes_of", "load", "mul", "store", "total", "zero"]

_BITS = 512


def lanes_of(dtype: torch.dtype) -> int:
    """Numbers in one vector."""
    return _BITS // 8 // dtype.itemsize


class Lanes(types.Type):
    """A vector of float32 or float64."""

    def __init__(self, scalar: types.Float) -> None:
        self.scalar, self.count = scalar, _BITS // scalar.bitwidth
        super().__init__(name=f"Lanes({scalar} x {self.count})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Lanes) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(dmm.lookup(fe_type.scalar).get_value_type(), fe_type.count))


@intrinsic
def load(typing: Any, array: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
    """The lanes from ``array[index]`` on; the last axis is contiguous."""
    result = Lanes(array.dtype)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], signature.args[1], args[1])
        vector = context.get_value_type(result)
        return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=array.dtype.bitwidth // 8, typ=vector)

    return result(array, index), emit


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    """Write the lanes from ``array[index]`` on."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], signature.args[1], args[1])
        builder.store(args[2], builder.bitcast(pointer, args[2].type.as_pointer()), align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, value), emit


@intrinsic
def zero(typing: Any, array: Any) -> tuple[Any, Callable[..., Any]]:
    """Lanes of zeros in the precision of ``array``."""
    result = Lanes(array.dtype)

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(result), None)

    return result(array), emit


@intrinsic
def mul(typing: Any, a: Any, b: Any) -> tuple[Any, Callable[..., Any]]:
    """Product; ``b`` may be a number."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fmul(*_spread(context, builder, signature, args))

    return a(a, b), emit


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> tuple[Any, Callable[..., Any]]:
    """``a * b + c``; ``b`` and ``c`` may be numbers."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _fma(builder, *_spread(context, builder, signature, args))

    return a(a, b, c), emit


@intrinsic
def inverse(typing: Any, a: Any) -> tuple[Any, Callable[..., Any]]:
    """``1 / a``."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fdiv(ir.Constant(args[0].type, [1.0] * args[0].type.count), args[0])

    return a(a), emit


@intrinsic
def total(typing: Any, a: Any) -> tuple[Any, Callable[..., Any]]:
    """Sum over the lanes."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar = args[0].type.element
        reduce = _llvm(builder, "llvm.vector.reduce.fadd", args[0].type, scalar, [scalar, args[0].type])
        return builder.call(reduce, [ir.Constant(scalar, -0.0), args[0]], fastmath=("reassoc",))

    return a.scalar(a), emit


@intrinsic
def exp(typing: Any, a: Any) -> tuple[Any, Callable[..., Any]]:
    """The exponential: ``2^n p(f)`` with ``n + f = a / ln 2``, |f| <= 1/2 and a polynomial p, to one unit or two."""

    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (x,) = args
        precision = _PRECISIONS[signature.args[0].scalar.bitwidth]
        whole = ir.VectorType(ir.IntType(signature.args[0].scalar.bitwidth), x.type.count)

        def number(value: float) -> Any:
            return ir.Constant(x.type, [value] * x.type.count)

        def integer(value: int) -> Any:
            return ir.Constant(whole, [value] * x.type.count)

        # Adding 1.5 * 2^mantissa leaves no place for a fraction: the sum's lowest bits are n.
        shift = number(1.5 * 2.0**precision.mantissa)
        shifted = _fma(builder, x, number(1 / math.log(2)), shift)
        f = _fma(builder, x, number(1 / math.log(2)), builder.fneg(builder.fsub(shifted, shift)))
        p = number(precision.polynomial[-1])
        for coefficient in precision.polynomial[-2::-1]:
            p = _fma(builder, p, f, number(coefficient))
        bits = builder.shl(builder.bitcast(shifted, whole), integer(precision.mantissa))
        power = builder.bitcast(builder.add(bits, integer(precision.bias << precision.mantissa)), x.type)
        y = builder.fmul(p, power)
        # Outside the range of n the bits are nonsense: there the answer is zero or infinity. NaN stays NaN.
        y = builder.select(builder.fcmp_ordered("<", x, number(precision.lowest)), number(0.0), y)
        return builder.select(builder.fcmp_ordered(">", x, number(-precision.lowest)), number(math.inf), y)

    return a(a), emit


class _Precision:
    """Layout of a floating-point format, and the polynomial of 2^f that is as exact as it."""

    def __init__(self, mantissa: int, exponent: int, degree: int) -> None:
        self.mantissa, self.bias = mantissa, 2 ** (exponent - 1) - 1
        self.lowest = -(self.bias - 1) * math.log(2)
        # Of (2^f - 1) / f, so that exp(0) is 1. Interpolation at Chebyshev's points comes close to the best polynomial
        # of a degree; an even number of them leaves f = 0 out.
        angles = (torch.arange(degree, dtype=torch.float64) + 0.5) * (math.pi / degree)
        points = 0.5 * torch.cos(angles)
        values = torch.expm1(points * math.log(2)) / points
        self.polynomial: list[float] = [1.0, *torch.linalg.solve(torch.linalg.vander(points), values).tolist()]


_PRECISIONS = {32: _Precision(23, 8, degree=6), 64: _Precision(52, 11, degree=12)}


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.call(_llvm(builder, "llvm.fmuladd", a.type, a.type, [a.type] * 3), [a, b, c])


def _spread(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """The arguments as lanes like the first: a number goes into each."""
    kind, vector = signature.args[0], args[0].type
    places = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
    found = []
    for given, value in zip(signature.args, args, strict=True):
        if not isinstance(given, Lanes):
            number = context.cast(builder, value, given, kind.scalar)
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
            value = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), places)
        found.append(value)
    return found


def _llvm(builder: Any, name: str, vector: Any, result: Any, args: list[Any]) -> Any:
    letter = "f32" if isinstance(vector.element, ir.FloatType) else "f64"
    full = f"{name}.v{vector.count}{letter}"
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, args), full)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index_type: Any, index: Any) -> Any:
    places = cgutils.unpack_tuple(builder, index, len(index_type))
    places = [context.cast(builder, p, kind, types.intp) for p, kind in zip(places, index_type, strict=True)]
    struct = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, struct, places, wraparound=False)
