// Arguments: numpy arrays checked for dtype, shape, memory and overlap, with errors that say what was expected.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>

#include "table.h"

namespace pyfl {

namespace py = pybind11;

inline std::string describe(const py::handle &value) {
    if (!py::isinstance<py::array>(value)) return std::string(Py_TYPE(value.ptr())->tp_name);
    return py::str("{} array of shape {}").format(value.attr("dtype"), value.attr("shape")).cast<std::string>();
}

// A C-contiguous 1-D array of T, borrowed for the length of a call.
template <typename T>
struct Vector {
    T *data = nullptr;
    std::size_t size = 0;
    const char *name = "";
};

template <typename T>
Vector<T> vector(const py::handle &value, const char *name) {
    using Plain = std::remove_const_t<T>;
    const auto expected = [&] {
        return std::string(name) + " must be a C-contiguous 1-D numpy array of " +
               py::str(py::dtype::of<Plain>()).template cast<std::string>();
    };
    if (!py::isinstance<py::array>(value)) throw py::type_error(expected() + ", got " + describe(value));
    const auto array = py::reinterpret_borrow<py::array>(value);
    if (!py::dtype::of<Plain>().equal(array.dtype())) throw py::type_error(expected() + ", got " + describe(value));
    if (array.ndim() != 1) throw py::value_error(expected() + ", got " + describe(value));
    if (array.shape(0) > 1 && array.strides(0) != static_cast<py::ssize_t>(sizeof(T))) {
        throw py::value_error(expected() + ", got one with gaps or reversed; pass numpy.ascontiguousarray of it");
    }
    if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0) {
        throw py::value_error(expected() + ", got one that does not start at a multiple of " +
                              std::to_string(alignof(T)) + " bytes; pass a copy");
    }
    Vector<T> result;
    result.size = static_cast<std::size_t>(array.shape(0));
    result.name = name;
    if constexpr (std::is_const_v<T>) {
        result.data = static_cast<T *>(array.data());
    } else {
        if (!array.writeable()) throw py::value_error(std::string(name) + " is read-only and would be written to");
        result.data = static_cast<T *>(const_cast<void *>(array.data()));
    }
    return result;
}

template <typename T, typename U>
void same_size(const Vector<T> &a, const Vector<U> &b) {
    if (a.size == b.size) return;
    throw py::value_error(std::string(b.name) + " must be as long as " + a.name + " (" + std::to_string(a.size) +
                          " values), got " + std::to_string(b.size));
}

// Two arrays may be the same memory or apart; shifted against each other they would read what was just written.
template <typename T, typename U>
void same_or_apart(const Vector<T> &a, const Vector<U> &b) {
    const auto a0 = reinterpret_cast<std::uintptr_t>(a.data);
    const auto b0 = reinterpret_cast<std::uintptr_t>(b.data);
    if (a0 == b0 || a0 + a.size * sizeof(T) <= b0 || b0 + b.size * sizeof(U) <= a0) return;
    throw py::value_error(std::string(a.name) + " and " + b.name +
                          " overlap in part; they must be the same memory or not overlap");
}

// bounds: int64[T + 1], from 0 to n, never falling.
inline Pieces pieces(const Vector<const std::int64_t> &bounds, std::size_t n) {
    if (bounds.size == 0) throw py::value_error("bounds must have one more value than there are pieces, got none");
    if (bounds.data[0] != 0 || bounds.data[bounds.size - 1] != static_cast<std::int64_t>(n)) {
        throw py::value_error("bounds must start at 0 and end at the number of values (" + std::to_string(n) +
                              "), got " + std::to_string(bounds.data[0]) + " to " +
                              std::to_string(bounds.data[bounds.size - 1]));
    }
    for (std::size_t t = 1; t < bounds.size; t++) {
        if (bounds.data[t] < bounds.data[t - 1]) {
            throw py::value_error("bounds must not fall, but bounds[" + std::to_string(t) + "] = " +
                                  std::to_string(bounds.data[t]) + " after " + std::to_string(bounds.data[t - 1]));
        }
    }
    return {bounds.data, bounds.size - 1};
}

template <typename T>
void one_per_piece(const Vector<T> &values, Pieces pieces) {
    if (values.size == pieces.count) return;
    throw py::value_error(std::string(values.name) + " must have one value for each of the " +
                          std::to_string(pieces.count) + " pieces, got " + std::to_string(values.size));
}

}  // namespace pyfl
