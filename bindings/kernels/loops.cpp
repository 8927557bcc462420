// The arithmetic itself, compiled once per clone: PYFL_CLONE names the table, PYFL_CLONE_NAME is what people see.
//
// One translation unit per instruction set instead of target_clones: its ifunc resolver is missing in some
// linkers (zig's among them) and hides the clones from the tests, which compare every one bit for bit.
// No header with inline functions may be included here: the linker keeps one copy of such a function for the
// whole module, and it might be the one with instructions that this machine lacks.
//
// Bit-identical results need: -ffp-contract=off (with contraction 3 % of values differed between clones), no
// fast-math, and only + - * / sqrt, each rounded to float32. In-place use (out is delta, the same memory seen as
// int32 and float32) needs -fno-strict-aliasing and PYFL_SAME_INDEX: a value depends on its own index alone, so
// that the compiler may vectorise without an overlap check that would send in-place calls to a scalar loop.
#include "table.h"

#if defined(__clang__)
#define PYFL_SAME_INDEX _Pragma("clang loop vectorize(assume_safety) interleave(enable)")
#else
#define PYFL_SAME_INDEX _Pragma("GCC ivdep")
#endif

namespace pyfl {
namespace {

using i32 = std::int32_t;
using u32 = std::uint32_t;
using i64 = std::int64_t;
using usize = std::size_t;

constexpr i32 kMagnitude = 0x7FFFFFFF;
constexpr i32 kInfinity = 0x7F800000;

// frexp's exponent of a float given as the bits of its magnitude: 2^(e-1) <= |x| < 2^e.
i32 frexp_exponent(i32 magnitude) {
    if (magnitude == 0) return kZeroExponent;
    const i32 field = magnitude >> 23;
    if (field != 0) return field - 126;
    return (32 - __builtin_clz(static_cast<u32>(magnitude))) - 149;  // subnormal: magnitude * 2^-149
}

// Non-negative floats order as their bits do, and NaN and infinity come last: an integer maximum finds all at once.
bool exponents(i32 *out, const float *x, Pieces pieces) {
    const i32 *bits = reinterpret_cast<const i32 *>(x);
    bool finite = true;
    for (usize t = 0; t < pieces.count; t++) {
        const i64 end = pieces.bounds[t + 1];
        i32 largest = 0;
        for (i64 i = pieces.bounds[t]; i < end; i++) {
            const i32 magnitude = bits[i] & kMagnitude;
            largest = magnitude > largest ? magnitude : largest;
        }
        out[t] = frexp_exponent(largest);
        finite &= largest < kInfinity;
    }
    return finite;
}

// A NaN in the second place comes through both, as in minps and maxps.
inline float lower(float a, float b) { return a < b ? a : b; }
inline float higher(float a, float b) { return a > b ? a : b; }

// rint for |v| < 2^31, in operations that every clone vectorises (plain SSE2 has no rounding instruction, and lrintf
// is left scalar: 3 GB/s instead of 6 to 28). At 2^23 a float32 has no fraction left, so adding and taking away 2^23
// rounds to an integer, half to even, as module.cpp holds the rounding mode there.
inline float round_half_even(float v) {
    constexpr float kNoFraction = 8388608.0F;  // 2^23
    const float shift = __builtin_copysignf(kNoFraction, v);
    const float rounded = (v + shift) - shift;
    return __builtin_fabsf(v) < kNoFraction ? rounded : v;
}

void quantise(i32 *out, const float *update, Pieces pieces, const float *multipliers, const float *clips) {
    for (usize t = 0; t < pieces.count; t++) {
        const float multiplier = multipliers[t];
        const float high = clips[t];
        const float low = -clips[t];
        const i64 end = pieces.bounds[t + 1];
        PYFL_SAME_INDEX
        for (i64 i = pieces.bounds[t]; i < end; i++) {
            float v = lower(high, update[i]);
            v = higher(low, v) * multiplier;
            v = higher(-kLargestProduct, lower(kLargestProduct, v));
            const float rounded = round_half_even(v);
            out[i] = static_cast<i32>(rounded == rounded ? rounded : 0.0F);
        }
    }
}

void add(i32 *acc, const i32 *x, usize n) {
    PYFL_SAME_INDEX
    for (usize i = 0; i < n; i++) acc[i] = static_cast<i32>(static_cast<u32>(acc[i]) + static_cast<u32>(x[i]));
}

i64 beyond(const i32 *x, Pieces pieces, const u32 *limits) {
    i64 count = 0;
    for (usize t = 0; t < pieces.count; t++) {
        const u32 limit = limits[t];
        const i64 end = pieces.bounds[t + 1];
        for (i64 block = pieces.bounds[t]; block < end;) {  // blocks, so that the inner count is a fast 32-bit one
            const i64 stop = end - block > 65536 ? block + 65536 : end;
            u32 found = 0;
            for (; block < stop; block++) {
                const u32 raw = static_cast<u32>(x[block]);
                const u32 magnitude = x[block] < 0 ? 0U - raw : raw;
                found += magnitude > limit ? 1U : 0U;
            }
            count += found;
        }
    }
    return count;
}

void dequantise(float *out, const i32 *total, Pieces pieces, const float *inverse_scales, float ratio) {
    for (usize t = 0; t < pieces.count; t++) {
        const float inverse_scale = inverse_scales[t];
        const i64 end = pieces.bounds[t + 1];
        PYFL_SAME_INDEX
        for (i64 i = pieces.bounds[t]; i < end; i++) {
            out[i] = static_cast<float>(total[i]) * inverse_scale * ratio;
        }
    }
}

void step_plain(float *out, const float *base, const float *delta, float lr, usize n) {
    PYFL_SAME_INDEX
    for (usize i = 0; i < n; i++) out[i] = base[i] + lr * delta[i];
}

void step_momentum(float *out, float *new_m, const float *base, const float *delta, const float *m, float beta,
                   float lr, usize n) {
    PYFL_SAME_INDEX
    for (usize i = 0; i < n; i++) {
        const float moment = beta * m[i] + delta[i];
        const float value = base[i] + lr * moment;
        new_m[i] = moment;
        out[i] = value;
    }
}

void step_adam(float *out, float *new_m, float *new_v, const float *base, const float *delta, const float *m,
               const float *v, AdamScalars s, usize n) {
    PYFL_SAME_INDEX
    for (usize i = 0; i < n; i++) {
        const float d = delta[i];
        const float first = s.beta1 * m[i] + s.one_minus_beta1 * d;
        const float second = s.beta2 * v[i] + s.one_minus_beta2 * (d * d);
        const float value = base[i] + s.lr * first / (__builtin_sqrtf(second) + s.tau);
        new_m[i] = first;
        new_v[i] = second;
        out[i] = value;
    }
}

}  // namespace

extern const Table PYFL_CLONE;
const Table PYFL_CLONE = {PYFL_CLONE_NAME, exponents, quantise,  add,      beyond,
                          dequantise,      step_plain, step_momentum, step_adam};

}  // namespace pyfl
