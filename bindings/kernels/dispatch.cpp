// The dispatch table, resolved once from what the processor and the operating system say.
#include "dispatch.h"

#include <atomic>

#if defined(PYFL_X86_CLONES)
#include <cpuid.h>
#endif

namespace pyfl {

extern const Table clone_default;
#if defined(PYFL_X86_CLONES)
extern const Table clone_v3;
extern const Table clone_v4;
#endif

namespace {

#if defined(PYFL_X86_CLONES)
struct Level {
    bool v3 = false;
    bool v4 = false;
};

// cpuid by hand: __builtin_cpu_supports needs a symbol of libgcc that other run-times lack.
Level level() {
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    const auto has = [](unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; };

    if (__get_cpuid(1, &a, &b, &c, &d) == 0) return {};
    constexpr unsigned kFma = 1U << 12, kMovbe = 1U << 22, kOsxsave = 1U << 27, kAvx = 1U << 28, kF16c = 1U << 29;
    if (!has(c, kFma | kMovbe | kOsxsave | kAvx | kF16c)) return {};

    unsigned xcr0 = 0;
    unsigned xcr0_high = 0;
    __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(xcr0_high) : "c"(0));
    constexpr unsigned kYmm = 0x6, kZmm = 0xE6;  // the register state that the operating system saves
    if (!has(xcr0, kYmm)) return {};

    if (__get_cpuid(0x80000001, &a, &b, &c, &d) == 0 || !has(c, 1U << 5)) return {};  // lzcnt
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return {};
    constexpr unsigned kBmi1 = 1U << 3, kAvx2 = 1U << 5, kBmi2 = 1U << 8;
    if (!has(b, kBmi1 | kAvx2 | kBmi2)) return {};

    constexpr unsigned kF = 1U << 16, kDq = 1U << 17, kCd = 1U << 28, kBw = 1U << 30, kVl = 1U << 31;
    return {true, has(b, kF | kDq | kCd | kBw | kVl) && has(xcr0, kZmm)};
}
#endif

std::vector<const Table *> find_runnable() {
    std::vector<const Table *> found;
#if defined(PYFL_X86_CLONES)
    const Level have = level();
    if (have.v4) found.push_back(&clone_v4);
    if (have.v3) found.push_back(&clone_v3);
#endif
    found.push_back(&clone_default);
    return found;
}

std::atomic<const Table *> &slot() {
    static std::atomic<const Table *> chosen{find_runnable().front()};
    return chosen;
}

}  // namespace

const Table &active() { return *slot().load(std::memory_order_relaxed); }

std::vector<const Table *> runnable() { return find_runnable(); }

bool use(const std::string &name) {
    for (const Table *table : find_runnable()) {
        if (name == table->name) {
            slot().store(table, std::memory_order_relaxed);
            return true;
        }
    }
    return false;
}

}  // namespace pyfl
