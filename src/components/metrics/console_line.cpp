#include "components/metrics/console_line.h"

#include <iomanip>
#include <sstream>

#include "titan/tools/number_text.h"

namespace titan::components {
namespace {

using tools::fixed;
using tools::with_thousands;

std::string memory_text(const protocols::MemoryPeak& memory) {
  return "memory: " + fixed(memory.max_reserved_gib, 2, 5) + "GiB(" +
         fixed(memory.max_reserved_pct, 2) + "%)  ";
}

}  // namespace

std::string console_line(const StepReport& report, const tools::Colors& colors) {
  const protocols::StepMetrics& step = report.step;
  const std::string mfu = report.mfu ? fixed(*report.mfu, 2) + "%" : "n/a";
  std::ostringstream line;
  line << colors.red << "step: " << std::setw(2) << step.step << "  ";
  line << colors.green << "loss: " << fixed(step.loss, 5, 8) << "  ";
  line << colors.orange << "grad_norm: " << fixed(step.grad_norm, 4, 7) << "  ";
  line << colors.turquoise << memory_text(report.memory);
  line << colors.blue << "tps: " << with_thousands(report.tps, 0) << "  ";
  line << colors.cyan << "tflops: " << with_thousands(report.tflops, 2) << "  ";
  line << colors.magenta << "mfu: " << mfu << colors.reset;
  return line.str();
}

std::string console_line(const ValidationReport& report, const tools::Colors& colors) {
  std::ostringstream line;
  line << colors.yellow << "validate step: " << std::setw(2) << report.validation.step << "  ";
  line << colors.green << "loss: " << fixed(report.validation.loss, 4, 7) << "  ";
  line << colors.turquoise << memory_text(report.memory);
  line << colors.blue << "tps: " << with_thousands(report.tps, 0) << colors.reset;
  return line.str();
}

}  // namespace titan::components
