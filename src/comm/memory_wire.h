#pragma once

#include <chrono>
#include <memory>

#include "comm/wire.h"

namespace titan::comm {

/// Between processes of one machine, through memory that they share: who sends copies into memory of his, who receives copies
/// out of it when he waits. No thread, no system call but to wait and to end a wait. Messages that are under way are kept there,
/// so a send is done at once; their memory is used again when they have been received. What lies in such memory already is sent as it
/// is, and who receives into a tensor without memory reads it where it lies (`memory`).
///
/// The members find one another's memory over `group`, which all call it with. Null on all of them where one cannot see that of
/// another (other containers, other users).
std::shared_ptr<Wire> make_memory_wire(ProcessGroup& group, std::chrono::milliseconds timeout);

}  // namespace titan::comm
