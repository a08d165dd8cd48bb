#pragma once

#include <string_view>

namespace titan::formats::dcp_classes {

// Names in the pickle of `.metadata`.
constexpr std::string_view kMetadataModule = "torch.distributed.checkpoint.metadata";
constexpr std::string_view kMetadata = "Metadata";
constexpr std::string_view kTensorStorage = "TensorStorageMetadata";
constexpr std::string_view kBytesStorage = "BytesStorageMetadata";
constexpr std::string_view kTensorProperties = "TensorProperties";
constexpr std::string_view kMemoryFormat = "_MEM_FORMAT_ENCODING";
constexpr std::string_view kChunk = "ChunkStorageMetadata";
constexpr std::string_view kIndex = "MetadataIndex";
constexpr std::string_view kStorageMeta = "StorageMeta";

constexpr std::string_view kFileSystemModule = "torch.distributed.checkpoint.filesystem";
constexpr std::string_view kStorageInfo = "_StorageInfo";

constexpr std::string_view kTorch = "torch";
constexpr std::string_view kSize = "Size";
constexpr std::string_view kSerialization = "torch.serialization";
constexpr std::string_view kLayout = "_get_layout";
constexpr std::string_view kStrided = "torch.strided";

/// The version of the format, as PyTorch 2.11 calls it.
constexpr std::string_view kVersion = "1.0.0";

}  // namespace titan::formats::dcp_classes
