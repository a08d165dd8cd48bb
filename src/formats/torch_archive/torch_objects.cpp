#include "titan/base/errors.h"
#include "titan/formats/tensor_dtype.h"
#include "titan/formats/torch_archive/torch_archive_writer.h"

#include <algorithm>

namespace titan::formats {
namespace {

// What `torch.save` pickles with unless told otherwise.
constexpr int kProtocol = 2;

const TensorDtype& known_dtype(std::string_view name) {
  const TensorDtype* dtype = find_dtype(name);
  TITAN_CHECK(dtype != nullptr, "no tensor of dtype ", name, " can be saved");
  return *dtype;
}

std::int64_t element_count(const std::vector<std::int64_t>& sizes) {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes) {
    TITAN_CHECK(size >= 0 && !__builtin_mul_overflow(count, size, &count),
                "no size of a tensor: ", size);
  }
  return count;
}

PickleValue integers(const std::vector<std::int64_t>& values) {
  std::vector<PickleValue> items;
  for (const std::int64_t value : values) {
    items.push_back(PickleValue::integer(value));
  }
  return PickleValue::tuple(std::move(items));
}

}  // namespace

std::vector<std::int64_t> contiguous_strides(const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> strides(sizes.size(), 1);
  for (std::size_t i = sizes.size(); i-- > 1;) {
    strides[i - 1] = strides[i] * std::max<std::int64_t>(sizes[i], 1);
  }
  return strides;
}

PickleValue tensor_object(std::string_view dtype_name, const std::vector<std::int64_t>& sizes,
                          const std::string& storage) {
  using Value = PickleValue;
  const TensorDtype& dtype = known_dtype(dtype_name);
  const bool typed = !dtype.storage.empty();
  const std::int64_t count = element_count(sizes);
  const Value id = Value::tuple({Value::text("storage"),
                                 typed ? Value::global("torch", std::string(dtype.storage))
                                       : Value::global("torch.storage", "UntypedStorage"),
                                 Value::text(storage), Value::text("cpu"),
                                 Value::integer(typed ? count : count * dtype.bytes)});
  const Value no_hooks = Value::object(
      {.type = Value::global("collections", "OrderedDict"), .args = Value::tuple({})});
  std::vector<Value> args = {Value::persistent_id(id), Value::integer(0),
                             integers(sizes),          integers(contiguous_strides(sizes)),
                             Value::boolean(false),    no_hooks};
  if (!typed) {
    args.push_back(Value::global("torch", std::string(dtype.name)));
  }
  return Value::object(
      {.type = Value::global("torch._utils", typed ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3"),
       .args = Value::tuple(std::move(args))});
}

TorchArchiveWriter tensor_archive(std::string_view dtype, const std::vector<std::int64_t>& sizes) {
  const std::int64_t bytes = element_count(sizes) * known_dtype(dtype).bytes;
  return TorchArchiveWriter(write_pickle(tensor_object(dtype, sizes, "0"), kProtocol),
                            {static_cast<std::uint64_t>(bytes)});
}

std::string object_archive(const PickleValue& value) {
  return TorchArchiveWriter(write_pickle(value, kProtocol), {}).begin();
}

}  // namespace titan::formats
