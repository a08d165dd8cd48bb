#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>

namespace titan::watch {

/// The calling thread's number in the kernel.
pid_t this_thread();

/// The functions that a thread of this process is in, innermost first, a line each; says why where
/// the thread does not answer in time. Interrupts the thread by a signal. Any thread.
std::string stack_of(pid_t thread, std::chrono::milliseconds patience);

/// The same of all other threads of this process, each under its name: the engine of autograd runs backward in
/// threads of its own. Ends after `patience` and says how many are missing. Any thread.
std::string stacks_of_others(pid_t thread, std::chrono::milliseconds patience);

}  // namespace titan::watch
