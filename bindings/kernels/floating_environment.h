// Round to nearest, subnormals kept, for as long as a kernel runs.
//
// Another library in the process may have set flush-to-zero or another rounding mode on this thread (anything
// linked with -ffast-math does at load time). Peers would then disagree in the last bit and a digest would not match.
#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace pyfl {

class DefaultFloatingEnvironment {
  public:
    DefaultFloatingEnvironment() : saved_(get()) { set(kDefault); }
    ~DefaultFloatingEnvironment() { set(saved_); }
    DefaultFloatingEnvironment(const DefaultFloatingEnvironment &) = delete;
    DefaultFloatingEnvironment &operator=(const DefaultFloatingEnvironment &) = delete;

  private:
#if defined(__SSE2__)
    using Register = unsigned;
    static constexpr Register kDefault = 0x1F80;  // all exceptions masked
    static Register get() { return _mm_getcsr(); }
    static void set(Register value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
    using Register = std::uint64_t;
    static constexpr Register kDefault = 0;
    static Register get() {
        Register value;
        __asm__ volatile("mrs %0, fpcr" : "=r"(value));
        return value;
    }
    static void set(Register value) { __asm__ volatile("msr fpcr, %0" : : "r"(value)); }
#else
#error "pyfl's kernels know x86-64 and aarch64: say here how this processor keeps its rounding mode"
#endif
    Register saved_;
};

}  // namespace pyfl
