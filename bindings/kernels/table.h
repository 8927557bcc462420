// What a kernel is: one table of plain loops, of which every clone (x86-64-v4, x86-64-v3, default) fills one.
//
// No call in here allocates, throws or checks its arguments: module.cpp has done that.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyfl {

// The exponent of an all-zero or empty piece.
constexpr std::int32_t kZeroExponent = INT32_MIN;

// The largest float32 below 2^31: products are held inside +- this before they become int32.
constexpr float kLargestProduct = 2147483520.0F;

// A run of the flat vector cut into pieces of tensors: piece t is [bounds[t], bounds[t + 1]).
struct Pieces {
    const std::int64_t *bounds;
    std::size_t count;
};

struct AdamScalars {
    float beta1, one_minus_beta1, beta2, one_minus_beta2, lr, tau;
};

struct Table {
    const char *name;
    // frexp's exponent of max |x| by piece; false if any value is NaN or infinite.
    bool (*exponents)(std::int32_t *out, const float *x, Pieces pieces);
    void (*quantise)(std::int32_t *out, const float *update, Pieces pieces, const float *multipliers,
                     const float *clips);
    void (*add)(std::int32_t *acc, const std::int32_t *x, std::size_t n);
    // How many values have |x| > limits[piece].
    std::int64_t (*beyond)(const std::int32_t *x, Pieces pieces, const std::uint32_t *limits);
    void (*dequantise)(float *out, const std::int32_t *total, Pieces pieces, const float *inverse_scales, float ratio);
    void (*step_plain)(float *out, const float *base, const float *delta, float lr, std::size_t n);
    void (*step_momentum)(float *out, float *new_m, const float *base, const float *delta, const float *m, float beta,
                          float lr, std::size_t n);
    void (*step_adam)(float *out, float *new_m, float *new_v, const float *base, const float *delta, const float *m,
                      const float *v, AdamScalars s, std::size_t n);
};

}  // namespace pyfl
