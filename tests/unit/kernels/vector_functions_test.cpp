// MKL's vector functions know their processor before there are threads.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace titan::kernels {
namespace {

/// What MKL remembers of the processor, -1 before the first call; null where LibTorch has no MKL, or one that looks
/// different. Its function begins with "mov remembered(%rip), %eax".
const volatile std::int32_t* remembered_processor() {
  constexpr std::array<unsigned char, 2> kLoad = {0x8b, 0x05};
  const auto* code = static_cast<const char*>(::dlsym(RTLD_DEFAULT, "mkl_vml_serv_cpu_detect"));
  if (code == nullptr || std::memcmp(code, kLoad.data(), kLoad.size()) != 0) return nullptr;
  std::int32_t distance = 0;
  std::memcpy(&distance, code + kLoad.size(), sizeof(distance));
  const char* behind = code + kLoad.size() + sizeof(distance);
  return reinterpret_cast<const volatile std::int32_t*>(behind + distance);
}

/// Threads that were to ask at the same time would compute with half of the digits, on a busy machine in one run of fifty.
TEST(VectorFunctions, HaveBeenCalledWhenTheProgramStarts) {
  const volatile std::int32_t* processor = remembered_processor();
  if (processor == nullptr) GTEST_SKIP() << "not the MKL that is known";
  EXPECT_NE(*processor, -1);
}

}  // namespace
}  // namespace titan::kernels
