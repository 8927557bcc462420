// Which clone runs: the best that this machine has, unless a test asks for another.
#pragma once

#include <string>
#include <vector>

#include "table.h"

namespace pyfl {

// The clone in use. Any thread may call.
const Table &active();

// The clones of this build that this machine can run, best first.
std::vector<const Table *> runnable();

// Uses the named clone from now on, in every thread. False if there is none of that name here.
bool use(const std::string &name);

}  // namespace pyfl
