#pragma once

#include <cstdint>
#include <string>

namespace titan::formats {

// Numbers of the zip format (PKWARE's APPNOTE 6.3.10), as PyTorch uses it.
constexpr std::uint32_t kLocalHeaderSignature = 0x04034b50;
constexpr std::uint32_t kDescriptorSignature = 0x08074b50;
constexpr std::uint32_t kCentralSignature = 0x02014b50;
constexpr std::uint32_t kEndSignature = 0x06054b50;
constexpr std::uint32_t kEnd64Signature = 0x06064b50;
constexpr std::uint32_t kLocator64Signature = 0x07064b50;

constexpr std::uint64_t kLocalHeaderSize = 30;
constexpr std::uint64_t kCentralHeaderSize = 46;
constexpr std::uint64_t kEndSize = 22;
constexpr std::uint64_t kLocator64Size = 20;
constexpr std::uint64_t kEnd64Size = 56;

constexpr std::uint64_t kMax16 = 0xffff;      // where 64-bit fields of their own hold
constexpr std::uint64_t kMax32 = 0xffffffff;  // the real value
constexpr std::uint16_t kZip64Extra = 1;
constexpr std::uint16_t kEncrypted = 0x0001;
constexpr std::uint16_t kHasDescriptor = 0x0008;
constexpr std::uint16_t kUtf8Names = 0x0800;

/// The 64-bit values of what does not fit the 32-bit fields of a record; empty when all do.
std::string zip64_extra(std::uint64_t size, std::uint64_t stored_size, std::uint64_t offset);

}  // namespace titan::formats
