// What a device's tensors are: memory, copies, views.
#include <ATen/EmptyTensor.h>
#include <ATen/NativeFunctions.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/library.h>

#include <cstring>
#include <optional>
#include <utility>

#include "support/rehearsal/queued.h"

namespace titan::test::rehearsal {

namespace {

constexpr at::DeviceType kType = at::DeviceType::PrivateUse1;
const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

at::Device device_or_current(std::optional<at::Device> wanted) {
  if (wanted && wanted->has_index()) return *wanted;
  return device(current_stream(at::Device(kType)).device);
}

at::Tensor empty(at::IntArrayRef sizes, std::optional<at::ScalarType> type,
                 std::optional<at::Layout>, std::optional<at::Device> where, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
  const c10::DeviceGuard guard(device_or_current(where));
  return at::detail::empty_generic(sizes, c10::GetAllocator(kType), kKeys,
                                   type.value_or(at::kFloat), format);
}

at::Tensor empty_strided(at::IntArrayRef sizes, at::IntArrayRef strides,
                         std::optional<at::ScalarType> type, std::optional<at::Layout>,
                         std::optional<at::Device> where, std::optional<bool>) {
  return empty_on(device_or_current(where), sizes, strides, type.value_or(at::kFloat));
}

void copy_on_device(const at::Tensor& from, const at::Tensor& to) {
  Machine& machine = Machine::instance();
  const StreamId source = current_stream(from.device());
  const StreamId destination = current_stream(to.device());
  machine.order(source, machine.now(destination));
  enqueue(from.device(), [from = elements_of(from), to = elements_of(to)] { to.copy_(from); });
  machine.order(destination, machine.now(source));
}

void check_not_captured(at::Device device) {
  TORCH_CHECK(Machine::instance().capture_pool(current_stream(device)) == 0,
              "in a capture elements of the host were copied");
}

void copy_from_host(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  check_not_captured(to.device());
  // What waits for nothing is read when its turn comes, unless the memory can move.
  const bool is_read_now = !non_blocking || !from.is_pinned();
  enqueue(to.device(),
          [from = is_read_now ? from.clone() : from, to = elements_of(to)] { to.copy_(from); });
  if (!non_blocking) synchronize(to.device());
}

void copy_to_host(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  check_not_captured(from.device());
  enqueue(from.device(), [from = elements_of(from), to] { to.copy_(from); });
  if (!non_blocking || !to.is_pinned()) synchronize(from.device());
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  if (from.numel() == 0) return to;
  if (is_ours(from) && is_ours(to)) {
    copy_on_device(from, to);
  } else if (is_ours(to)) {
    copy_from_host(from, to, non_blocking);
  } else {
    copy_to_host(from, to, non_blocking);
  }
  return to;
}

/// As resize_ does: more memory where that is needed, and the elements stay.
const at::Tensor& resize(const at::Tensor& tensor, at::IntArrayRef sizes,
                         std::optional<at::MemoryFormat>) {
  if (tensor.sizes() == sizes) return tensor;
  tensor.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  auto* storage = tensor.storage().unsafeGetStorageImpl();
  const std::size_t old_bytes = storage->nbytes();
  const std::size_t bytes = at::detail::computeStorageNbytesContiguous(
      sizes, tensor.itemsize(), static_cast<std::size_t>(tensor.storage_offset()));
  if (bytes <= old_bytes) return tensor;
  const c10::DeviceGuard guard(tensor.device());
  c10::DataPtr fresh = c10::GetAllocator(kType)->allocate(bytes);
  enqueue(tensor.device(), [to = fresh.get(), from = storage->mutable_data(), old_bytes] {
    if (old_bytes > 0) std::memcpy(to, from, old_bytes);
  });
  storage->set_data_ptr_noswap(std::move(fresh));
  storage->set_nbytes(bytes);
  return tensor;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  to.resize_(from.sizes());
  return copy_from(from, to, false);
}

at::Scalar local_scalar(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.options().device(at::kCPU)).copy_(tensor).item();
}

at::Tensor& set_storage(at::Tensor& tensor, at::Storage storage, std::int64_t offset,
                        at::IntArrayRef sizes, at::IntArrayRef strides) {
  c10::TensorImpl* impl = tensor.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(storage));
  impl->set_sizes_and_strides(sizes, strides);
  impl->set_storage_offset(offset);
  return tensor;
}

void record_stream(at::Tensor& tensor, c10::Stream stream) {
  const c10::impl::VirtualGuardImpl guard(kType);
  guard.recordDataPtrOnStream(tensor.storage().data_ptr(), stream);
}

at::Tensor view(const at::Tensor& tensor, at::IntArrayRef sizes) {
  return at::native::view(tensor, sizes);
}

at::Tensor as_strided(const at::Tensor& tensor, at::IntArrayRef sizes, at::IntArrayRef strides,
                      std::optional<std::int64_t> offset) {
  return at::native::as_strided_tensorimpl(tensor, sizes, strides, offset);
}

TORCH_LIBRARY_IMPL(aten, Conjugate, m) {
  m.impl("_copy_from", torch::CppFunction::makeFallthrough());
}
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("resize_", resize);
  m.impl("_local_scalar_dense", local_scalar);
  m.impl("set_.source_Storage_storage_offset", set_storage);
  m.impl("record_stream", record_stream);
  m.impl("view", view);
  m.impl("as_strided", as_strided);
  m.impl("view_as_real", at::native::view_as_real);
  m.impl("view_as_complex", at::native::view_as_complex);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("unfold", at::native::unfold);
}

}  // namespace

at::Tensor elements_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  // Not of the tensor: its memory may be another's by the time.
  char* start = static_cast<char*>(tensor.storage().mutable_data());
  const auto options = at::TensorOptions().dtype(tensor.dtype());
  if (start == nullptr) return at::empty_strided(tensor.sizes(), tensor.strides(), options);
  at::Tensor alias = at::from_blob(start + tensor.storage_offset() * tensor.itemsize(),
                                   tensor.sizes(), tensor.strides(), options);
  if (tensor.is_conj()) alias = alias._conj();
  if (tensor.is_neg()) alias = alias._neg_view();
  return alias;
}

at::Tensor empty_on(at::Device where, at::IntArrayRef sizes, at::IntArrayRef strides,
                    at::ScalarType type) {
  const c10::DeviceGuard guard(where);
  return at::detail::empty_strided_generic(sizes, strides, c10::GetAllocator(kType), kKeys, type);
}

}  // namespace titan::test::rehearsal
