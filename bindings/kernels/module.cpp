// The Python module pyfl.kernels._core: checks arguments, drops the GIL, fixes the rounding mode, calls the active clone.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "arrays.h"
#include "dispatch.h"
#include "floating_environment.h"

namespace py = pybind11;

namespace pyfl {
namespace {

using F32 = Vector<const float>;
using I32 = Vector<const std::int32_t>;

// Runs a kernel without the GIL. The arrays stay alive: the caller's frame holds them.
template <typename Kernel>
auto run(Kernel kernel) {
    const py::gil_scoped_release released;
    const DefaultFloatingEnvironment environment;
    return kernel(active());
}

py::tuple exponents(const py::object &x_, const py::object &bounds_) {
    const auto x = vector<const float>(x_, "x");
    const Pieces parts = pieces(vector<const std::int64_t>(bounds_, "bounds"), x.size);
    py::array_t<std::int32_t> out(static_cast<py::ssize_t>(parts.count));
    std::int32_t *result = out.mutable_data();
    const bool finite = run([&](const Table &table) { return table.exponents(result, x.data, parts); });
    return py::make_tuple(out, finite);
}

void quantise(const py::object &out_, const py::object &update_, const py::object &bounds_,
              const py::object &multipliers_, const py::object &clips_) {
    const auto out = vector<std::int32_t>(out_, "out");
    const auto update = vector<const float>(update_, "update");
    same_size(out, update);
    same_or_apart(out, update);
    const Pieces parts = pieces(vector<const std::int64_t>(bounds_, "bounds"), out.size);
    const auto multipliers = vector<const float>(multipliers_, "multipliers");
    const auto clips = vector<const float>(clips_, "clips");
    one_per_piece(multipliers, parts);
    one_per_piece(clips, parts);
    run([&](const Table &table) { table.quantise(out.data, update.data, parts, multipliers.data, clips.data); });
}

void add(const py::object &acc_, const py::object &x_) {
    const auto acc = vector<std::int32_t>(acc_, "acc");
    const auto x = vector<const std::int32_t>(x_, "x");
    same_size(acc, x);
    same_or_apart(acc, x);
    run([&](const Table &table) { table.add(acc.data, x.data, acc.size); });
}

std::int64_t add_bounded(const py::object &acc_, const py::object &x_, const py::object &bounds_,
                         const py::object &limits_) {
    const auto acc = vector<std::int32_t>(acc_, "acc");
    const auto x = vector<const std::int32_t>(x_, "x");
    same_size(acc, x);
    same_or_apart(acc, x);
    const Pieces parts = pieces(vector<const std::int64_t>(bounds_, "bounds"), acc.size);
    const auto limits = vector<const std::uint32_t>(limits_, "limits");
    one_per_piece(limits, parts);
    return run([&](const Table &table) {
        const std::int64_t count = table.beyond(x.data, parts, limits.data);
        if (count == 0) table.add(acc.data, x.data, acc.size);
        return count;
    });
}

void dequantise(const py::object &out_, const py::object &total_, const py::object &bounds_,
                const py::object &inverse_scales_, float ratio) {
    const auto out = vector<float>(out_, "out");
    const auto total = vector<const std::int32_t>(total_, "total");
    same_size(out, total);
    same_or_apart(out, total);
    const Pieces parts = pieces(vector<const std::int64_t>(bounds_, "bounds"), out.size);
    const auto inverse_scales = vector<const float>(inverse_scales_, "inverse_scales");
    one_per_piece(inverse_scales, parts);
    run([&](const Table &table) { table.dequantise(out.data, total.data, parts, inverse_scales.data, ratio); });
}

void step_plain(const py::object &out_, const py::object &base_, const py::object &delta_, float lr) {
    const auto out = vector<float>(out_, "out");
    const auto base = vector<const float>(base_, "base");
    const auto delta = vector<const float>(delta_, "delta");
    for (const F32 &input : {base, delta}) {
        same_size(out, input);
        same_or_apart(out, input);
    }
    run([&](const Table &table) { table.step_plain(out.data, base.data, delta.data, lr, out.size); });
}

// Outputs are written at each index after every input of that index was read; two outputs may not share memory.
void apart(const Vector<float> &a, const Vector<float> &b) {
    same_size(a, b);
    same_or_apart(a, b);
    if (a.data == b.data && a.size != 0) {
        throw py::value_error(std::string(a.name) + " and " + b.name + " are both written and must not be the same memory");
    }
}

void step_momentum(const py::object &out_, const py::object &new_m_, const py::object &base_, const py::object &delta_,
                   const py::object &m_, float beta, float lr) {
    const auto out = vector<float>(out_, "out");
    const auto new_m = vector<float>(new_m_, "new_m");
    const auto base = vector<const float>(base_, "base");
    const auto delta = vector<const float>(delta_, "delta");
    const auto m = vector<const float>(m_, "m");
    apart(out, new_m);
    for (const F32 &input : {base, delta, m}) {
        same_size(out, input);
        same_or_apart(out, input);
        same_or_apart(new_m, input);
    }
    run([&](const Table &table) {
        table.step_momentum(out.data, new_m.data, base.data, delta.data, m.data, beta, lr, out.size);
    });
}

void step_adam(const py::object &out_, const py::object &new_m_, const py::object &new_v_, const py::object &base_,
               const py::object &delta_, const py::object &m_, const py::object &v_, float beta1, float one_minus_beta1,
               float beta2, float one_minus_beta2, float lr, float tau) {
    const auto out = vector<float>(out_, "out");
    const auto new_m = vector<float>(new_m_, "new_m");
    const auto new_v = vector<float>(new_v_, "new_v");
    const auto base = vector<const float>(base_, "base");
    const auto delta = vector<const float>(delta_, "delta");
    const auto m = vector<const float>(m_, "m");
    const auto v = vector<const float>(v_, "v");
    apart(out, new_m);
    apart(out, new_v);
    apart(new_m, new_v);
    for (const F32 &input : {base, delta, m, v}) {
        same_size(out, input);
        same_or_apart(out, input);
        same_or_apart(new_m, input);
        same_or_apart(new_v, input);
    }
    const AdamScalars scalars{beta1, one_minus_beta1, beta2, one_minus_beta2, lr, tau};
    run([&](const Table &table) {
        table.step_adam(out.data, new_m.data, new_v.data, base.data, delta.data, m.data, v.data, scalars, out.size);
    });
}

py::tuple clones() {
    const auto tables = runnable();
    py::tuple names(tables.size());
    for (std::size_t i = 0; i < tables.size(); i++) names[i] = py::str(tables[i]->name);
    return names;
}

void use_clone(const std::string &name) {
    if (use(name)) return;
    throw py::value_error(py::str("no clone {!r} here; this machine can run {}")
                              .format(name, py::str(", ").attr("join")(clones()))
                              .cast<std::string>());
}

}  // namespace
}  // namespace pyfl

PYBIND11_MODULE(_core, m) {
    using namespace pyfl;  // NOLINT: names of this file
    using py::arg;
    m.doc() = "pyfl's arithmetic; see pyfl.kernels.";
    m.attr("ZERO_EXPONENT") = kZeroExponent;
    m.attr("LARGEST_PRODUCT") = kLargestProduct;
    m.def("exponents", &exponents, arg("x"), arg("bounds"));
    m.def("quantise", &quantise, arg("out"), arg("update"), arg("bounds"), arg("multipliers"), arg("clips"));
    m.def("add", &add, arg("acc"), arg("x"));
    m.def("add_bounded", &add_bounded, arg("acc"), arg("x"), arg("bounds"), arg("limits"));
    m.def("dequantise", &dequantise, arg("out"), arg("total"), arg("bounds"), arg("inverse_scales"), arg("ratio"));
    m.def("step_plain", &step_plain, arg("out"), arg("base"), arg("delta"), arg("lr"));
    m.def("step_momentum", &step_momentum, arg("out"), arg("new_m"), arg("base"), arg("delta"), arg("m"), arg("beta"),
          arg("lr"));
    m.def("step_adam", &step_adam, arg("out"), arg("new_m"), arg("new_v"), arg("base"), arg("delta"), arg("m"),
          arg("v"), arg("beta1"), arg("one_minus_beta1"), arg("beta2"), arg("one_minus_beta2"), arg("lr"), arg("tau"));
    m.def("clones", &clones);
    m.def("use_clone", &use_clone, arg("name"));
    m.def("active_clone", [] { return std::string(active().name); });
}
