#include "titan/formats/torch_archive/torch_archive.h"

#include <algorithm>
#include <utility>

#include "formats/torch_archive/file_range.h"
#include "formats/torch_archive/zip_directory.h"
#include "titan/base/errors.h"
#include "titan/formats/torch_archive/crc32.h"
#include "titan/formats/torch_archive/torch_archive_writer.h"

namespace titan::formats {
namespace {

using Integers = std::vector<std::int64_t>;

std::optional<Integers> integers_of(const PickleValue& value) {
  const auto* tuple = value.get_if<PickleTuple>();
  if (tuple == nullptr) {
    return std::nullopt;
  }
  Integers result;
  for (const PickleValue& item : tuple->items) {
    const auto* integer = item.get_if<std::int64_t>();
    if (integer == nullptr || *integer < 0) {
      return std::nullopt;
    }
    result.push_back(*integer);
  }
  return result;
}

/// Elements of the storage that the view needs, from its start; nothing when no storage is as big.
std::optional<std::int64_t> elements_needed(const StoredTensor& tensor) {
  std::int64_t count = 1;
  std::int64_t last = tensor.first;
  for (std::size_t i = 0; i < tensor.sizes.size(); ++i) {
    std::int64_t reach = 0;
    const std::int64_t steps = std::max<std::int64_t>(tensor.sizes[i] - 1, 0);
    if (__builtin_mul_overflow(count, std::max<std::int64_t>(tensor.sizes[i], 1), &count) ||
        __builtin_mul_overflow(steps, tensor.strides[i], &reach) ||
        __builtin_add_overflow(last, reach, &last)) {
      return std::nullopt;
    }
  }
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(count, tensor.dtype.bytes, &bytes) ||
      __builtin_add_overflow(last, 1, &last) ||
      __builtin_mul_overflow(last, tensor.dtype.bytes, &bytes)) {
    return std::nullopt;
  }
  return tensor.element_count() == 0 ? 0 : last;
}

}  // namespace

std::int64_t StoredTensor::element_count() const {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) {
    count *= size;
  }
  return count;
}

bool StoredTensor::is_contiguous() const {
  std::int64_t next = 1;
  for (std::size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] > 1 && strides[i] != next) {
      return element_count() == 0;
    }
    next *= sizes[i];
  }
  return true;
}

struct TorchArchive::Inside {
  Inside(const base::ReadableFile& file, std::uint64_t offset, std::uint64_t length)
      : start(offset), range(file, offset, length), zip(range) {}

  [[noreturn]] void fail(const std::string& why) const { range.fail(pickle_start, why); }

  void read_object(const PickleLimits& limits) {
    if (const ZipRecord* record = zip.find("data.pkl")) {
      pickle_start = zip.locate("data.pkl", *record);
    }
    const std::string pickle = zip.read("data.pkl");
    if (zip.find("byteorder") != nullptr && zip.read("byteorder") != "little") {
      range.fail(0, "written by a machine that stores the highest byte first");
    }
    try {
      object = read_pickle(pickle, limits);
    } catch (const RunError& error) {
      fail(concat("data.pkl: ", error.what()));
    }
  }

  void find_storage(const PickleValue& value, StoredTensor& tensor, bool typed) const;

  std::uint64_t start;
  FileRange range;
  ZipDirectory zip;
  std::uint64_t pickle_start = 0;
  PickleValue object;
};

TorchArchive::TorchArchive(const base::ReadableFile& file, std::uint64_t offset,
                           std::uint64_t length, const PickleLimits& limits)
    : inside_(std::make_unique<Inside>(file, offset, length)) {
  inside_->read_object(limits);
}

TorchArchive::~TorchArchive() = default;

const PickleValue& TorchArchive::object() const { return inside_->object; }

/// The persistent id ("storage", class, key, device, number of elements).
void TorchArchive::Inside::find_storage(const PickleValue& value, StoredTensor& tensor,
                                        bool typed) const {
  const auto* reference = value.get_if<PicklePersistentId>();
  const auto* parts = reference != nullptr ? reference->id.get_if<PickleTuple>() : nullptr;
  if (parts == nullptr || parts->items.size() != 5) {
    fail("a tensor without a storage");
  }
  const auto* word = parts->items[0].get_if<std::string>();
  const auto* type = parts->items[1].get_if<PickleGlobal>();
  const auto* key = parts->items[2].get_if<std::string>();
  const auto* count = parts->items[4].get_if<std::int64_t>();
  if (word == nullptr || *word != "storage" || type == nullptr || key == nullptr ||
      count == nullptr || *count < 0) {
    fail("a storage that is not described as torch.save does");
  }
  std::int64_t element_bytes = 1;
  if (typed) {
    const TensorDtype* dtype =
        type->module == "torch" ? find_dtype_of_storage(type->name) : nullptr;
    if (dtype == nullptr) {
      fail(concat("a storage of ", type->module, ".", type->name, ", which is not read"));
    }
    tensor.dtype = *dtype;
    element_bytes = dtype->bytes;
  }
  const std::string name = "data/" + *key;
  const ZipRecord* record = zip.find(name);
  if (record == nullptr) {
    fail(concat("no record '", name, "', which is a tensor's storage"));
  }
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(*count, element_bytes, &bytes) ||
      static_cast<std::uint64_t>(bytes) != record->size) {
    fail(concat("'", name, "' has ", record->size, " bytes, but a storage of ", *count,
                " elements of ", element_bytes, " bytes is said to be in it"));
  }
  tensor.storage = *key;
  tensor.storage_start = start + zip.locate(name, *record);
  tensor.storage_bytes = record->size;
  tensor.storage_crc = record->crc;
}

std::optional<StoredTensor> TorchArchive::tensor(const PickleValue& value) const {
  const auto* object = value.get_if<PickleObject>();
  const bool typed = object != nullptr && object->is("torch._utils", "_rebuild_tensor_v2");
  const bool untyped = object != nullptr && object->is("torch._utils", "_rebuild_tensor_v3");
  if (!typed && !untyped) {
    return std::nullopt;
  }
  const std::vector<PickleValue>& args = object->arguments();
  if (args.size() < (typed ? 6U : 7U)) {
    inside_->fail("a tensor with too few parts");
  }
  StoredTensor tensor;
  if (untyped) {
    const auto* dtype = args[6].get_if<PickleGlobal>();
    const TensorDtype* known =
        dtype != nullptr && dtype->module == "torch" ? find_dtype(dtype->name) : nullptr;
    if (known == nullptr) {
      inside_->fail(concat("a tensor of ", args[6].kind(), ", which is no known dtype"));
    }
    tensor.dtype = *known;
  }
  inside_->find_storage(args[0], tensor, typed);
  const auto* first = args[1].get_if<std::int64_t>();
  std::optional<Integers> sizes = integers_of(args[2]);
  std::optional<Integers> strides = integers_of(args[3]);
  if (first == nullptr || *first < 0 || !sizes || !strides || sizes->size() != strides->size()) {
    inside_->fail("a tensor whose sizes or strides are no numbers");
  }
  tensor.first = *first;
  tensor.sizes = std::move(*sizes);
  tensor.strides = std::move(*strides);
  const std::optional<std::int64_t> needed = elements_needed(tensor);
  if (!needed || static_cast<std::uint64_t>(*needed * tensor.dtype.bytes) > tensor.storage_bytes ||
      static_cast<std::uint64_t>(tensor.first * tensor.dtype.bytes) > tensor.storage_bytes) {
    inside_->fail(concat("a tensor reaches beyond its storage '", tensor.storage, "' of ",
                         tensor.storage_bytes, " bytes"));
  }
  return tensor;
}

void TorchArchive::check_storage(const StoredTensor& tensor) const {
  constexpr std::uint64_t kPiece = 4 << 20;
  std::string piece(std::min(kPiece, tensor.storage_bytes), '\0');
  std::uint32_t crc = 0;
  const std::uint64_t begin = tensor.storage_start - inside_->start;
  for (std::uint64_t done = 0; done < tensor.storage_bytes; done += piece.size()) {
    piece.resize(std::min(kPiece, tensor.storage_bytes - done));
    inside_->range.read_into(begin + done, piece);
    crc = crc32(piece, crc);
  }
  if (crc != tensor.storage_crc) {
    inside_->range.fail(begin, concat("storage '", tensor.storage, "' (", tensor.storage_bytes,
                                      " bytes) is damaged: its checksum is wrong"));
  }
}

}  // namespace titan::formats
