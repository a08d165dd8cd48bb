#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "formats/safetensors/safetensors_words.h"
#include "titan/base/errors.h"
#include "titan/base/file_kind.h"
#include "titan/base/file_system.h"
#include "titan/base/little_endian.h"
#include "titan/formats/safetensors/safetensors.h"

namespace titan::formats {
namespace {

/// What the header of a safetensors file says. `start` of a tensor counts from the end of the header.
struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;  // by where they lie
  std::map<std::string, std::string> metadata;
};

constexpr std::size_t kMaxDimensions = 64;
constexpr std::uint64_t kLengthBytes = 8;  // what comes before the header

/// Bytes of a tensor; nothing when no file is as big.
std::optional<std::uint64_t> byte_count(const TensorDtype& dtype,
                                        const std::vector<std::int64_t>& sizes) {
  // An empty tensor may have sizes whose product without the zero does not fit.
  if (std::count(sizes.begin(), sizes.end(), 0) > 0) return 0;
  std::int64_t count = dtype.bytes;
  for (const std::int64_t size : sizes) {
    if (__builtin_mul_overflow(count, size, &count)) return std::nullopt;
  }
  return static_cast<std::uint64_t>(count);
}

/// Takes the header as the parser meets it: nothing is kept that is not asked for, and no name is seen
/// twice without being noticed.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderHandler(const std::string& path) : path_(path) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool start_object(std::size_t) override {
    if (place_ == Place::kTop && !has_begun_) {
      has_begun_ = true;
    } else if (place_ == Place::kNames) {
      begin_entry();
    } else {
      fail("an object where none belongs");
    }
    place_ = place_ == Place::kTop     ? Place::kNames
             : name_ == "__metadata__" ? Place::kMetadata
                                       : Place::kTensor;
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) end_tensor();
    place_ = place_ == Place::kNames ? Place::kTop : Place::kNames;
    return true;
  }

  bool key(std::string& key) override {
    if (place_ == Place::kNames) {
      name_ = key;
      if (!names_.insert(key).second) fail("the name is there twice");
    } else {
      field_ = key;
      if (!fields_.insert(key).second) fail(concat("'", key, "' is there twice"));
    }
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::kMetadata) {
      header_.metadata[field_] = value;
    } else if (place_ == Place::kTensor && !in_list_ && field_ == "dtype") {
      const TensorDtype* dtype = dtype_of_safetensors_word(value);
      if (dtype == nullptr) fail(concat("elements of type '", value, "', which is not read"));
      tensor_.dtype = *dtype;
    } else {
      fail("a text where none belongs");
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::kTensor || in_list_ || (field_ != "shape" && field_ != "data_offsets")) {
      fail("a list where none belongs");
    }
    in_list_ = true;
    return true;
  }

  bool end_array() override {
    in_list_ = false;
    return true;
  }

  bool number_unsigned(std::uint64_t value) override {
    if (!in_list_) fail("a number where none belongs");
    std::vector<std::int64_t>& list = field_ == "shape" ? tensor_.sizes : offsets_;
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail(concat(field_, " holds ", value, ", which is too large"));
    }
    if (list.size() == (field_ == "shape" ? kMaxDimensions : 2)) {
      fail(concat(field_, " is too long"));
    }
    list.push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool number_integer(std::int64_t) override { fail(concat(field_, " holds a negative number")); }
  bool number_float(double, const std::string&) override {
    fail(concat(field_, " holds a number that is not whole"));
  }
  bool null() override { fail("null where it does not belong"); }
  bool boolean(bool) override { fail("a boolean where none belongs"); }
  bool binary(nlohmann::json::binary_t&) override { fail("bytes where none belong"); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::json::exception&) override {
    throw RunError(concat("'", path_, "', byte ",
                          kLengthBytes + std::max<std::size_t>(position, 1) - 1,
                          ": no JSON. Is this a whole safetensors file?"));
  }

 private:
  enum class Place { kTop, kNames, kMetadata, kTensor };

  [[noreturn]] void fail(const std::string& why) const {
    throw RunError(concat("'", path_, "', header", place_ == Place::kTop ? "" : ", '" + name_ + "'",
                          ": ", why));
  }

  void begin_entry() {
    fields_.clear();
    offsets_.clear();
    tensor_ = {};
    tensor_.name = name_;
  }

  void end_tensor() {
    for (const char* field : {"dtype", "shape", "data_offsets"}) {
      if (fields_.count(field) == 0) fail(concat("no '", field, "'"));
    }
    if (fields_.size() != 3) fail("more than dtype, shape and data_offsets");
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1]) {
      fail("data_offsets are not a begin and an end");
    }
    const std::optional<std::uint64_t> bytes = byte_count(tensor_.dtype, tensor_.sizes);
    const auto length = static_cast<std::uint64_t>(offsets_[1] - offsets_[0]);
    if (!bytes || *bytes != length) {
      fail(concat(length, " bytes, but its shape and type ask for ",
                  bytes ? std::to_string(*bytes) : "more than any file has"));
    }
    tensor_.start = static_cast<std::uint64_t>(offsets_[0]);
    header_.tensors.push_back(std::move(tensor_));
  }

  const std::string& path_;
  SafetensorsHeader header_;
  Place place_ = Place::kTop;
  bool has_begun_ = false;
  bool in_list_ = false;
  std::string name_;
  std::string field_;
  std::unordered_set<std::string> names_;
  std::set<std::string> fields_;
  std::vector<std::int64_t> offsets_;
  SafetensorsTensor tensor_;
};

/// The tensors, which are in order, must fill the bytes from the first to the last.
void check_layout(const std::vector<SafetensorsTensor>& tensors, std::uint64_t data_start,
                  std::uint64_t data_bytes, const std::string& path) {
  const auto where = [&](std::uint64_t byte) {
    return concat("'", path, "', byte ", data_start + byte, ": ");
  };
  std::uint64_t end = 0;
  const SafetensorsTensor* previous = nullptr;
  for (const SafetensorsTensor& tensor : tensors) {
    if (tensor.start > end) {
      throw RunError(concat(where(end), tensor.start - end, " bytes before tensor '", tensor.name,
                            "' belong to none"));
    }
    if (tensor.start < end) {
      throw RunError(concat(where(tensor.start), "tensor '", tensor.name, "' overlaps '",
                            previous->name, "'"));
    }
    end += tensor.bytes();
    if (end > data_bytes) {
      throw RunError(concat(where(data_bytes), "the file ends within tensor '", tensor.name,
                            "': it should have ", end - data_bytes,
                            " bytes more. It was cut off, or is still being written"));
    }
    previous = &tensor;
  }
  if (end < data_bytes) {
    throw RunError(
        concat(where(end), data_bytes - end, " bytes behind the last tensor belong to none"));
  }
}

/// Reads the JSON `text`, which is followed by `data_bytes` bytes of tensors, and checks that they are
/// all of the tensors and nothing else. `path` is for messages, which count bytes from the start of the
/// file. Throws RunError.
SafetensorsHeader read_safetensors_header(const std::string& text, std::uint64_t data_bytes,
                                          const std::string& path) {
  HeaderHandler handler(path);
  nlohmann::json::sax_parse(text, &handler);
  SafetensorsHeader header = handler.take();
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
              return std::pair(a.start, a.bytes()) < std::pair(b.start, b.bytes());
            });
  check_layout(header.tensors, kLengthBytes + text.size(), data_bytes, path);
  return header;
}

/// The format's own limit.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

std::uint64_t read_header_length(const base::ReadableFile& file) {
  if (file.size() < 8) {
    base::refuse_other_kind(file, "zip");
    throw RunError(concat("'", file.path(), "' is no safetensors file: it has ", file.size(),
                          " bytes, and at least 8 are needed"));
  }
  char bytes[8];
  base::read_exactly(file, 0, bytes);
  const std::uint64_t length = base::get_little({bytes, 8});
  // Only a length that cannot be says that the bytes are another kind's: any may begin a good one.
  if (length > kMaxHeaderBytes) {
    base::refuse_other_kind(file, "zip");
    throw RunError(concat("'", file.path(), "', byte 0: a header of ", length,
                          " bytes; the format allows ", kMaxHeaderBytes,
                          ". Is this a safetensors file?"));
  }
  if (length > file.size() - 8) {
    base::refuse_other_kind(file, "zip");
    throw RunError(concat("'", file.path(), "', byte 0: a header of ", length,
                          " bytes, but the file has ", file.size(), " in all. It was cut off"));
  }
  return length;
}

}  // namespace

std::uint64_t SafetensorsTensor::bytes() const {
  const std::optional<std::uint64_t> bytes = byte_count(dtype, sizes);
  TITAN_CHECK(bytes, "a tensor larger than any file: '", name, "'");
  return *bytes;
}

SafetensorsFile::SafetensorsFile(base::FileSystem& files, const std::string& path)
    : file_(files.open_for_reading(path)) {
  std::string text(read_header_length(*file_), '\0');
  base::read_exactly(*file_, 8, text);
  const std::uint64_t data_start = 8 + text.size();
  SafetensorsHeader header = read_safetensors_header(text, file_->size() - data_start, path);
  for (SafetensorsTensor& tensor : header.tensors) tensor.start += data_start;
  tensors_ = std::move(header.tensors);
  metadata_ = std::move(header.metadata);
}

SafetensorsFile::~SafetensorsFile() = default;

const std::string& SafetensorsFile::path() const { return file_->path(); }

}  // namespace titan::formats
