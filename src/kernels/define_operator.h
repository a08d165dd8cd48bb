#pragma once

#include <torch/library.h>

#include <string>

namespace titan::kernels {

/// `name(arguments) -> results` with a kernel for the CPU and one for shapes.
template <class Kernel>
void define_operator(torch::Library& library, const std::string& schema, Kernel* on_cpu,
                     Kernel* on_meta) {
  const std::string name = schema.substr(0, schema.find('('));
  library.def(schema.c_str());
  library.impl(name.c_str(), torch::dispatch(c10::DispatchKey::CPU, on_cpu));
  library.impl(name.c_str(), torch::dispatch(c10::DispatchKey::Meta, on_meta));
  library.impl(name.c_str(),
               torch::dispatch(c10::DispatchKey::Autograd, torch::CppFunction::makeFallthrough()));
}

/// The same with one kernel for all devices, made of LibTorch's operators.
template <class Kernel>
void define_operator(torch::Library& library, const std::string& schema, Kernel* on_all) {
  const std::string name = schema.substr(0, schema.find('('));
  library.def(schema.c_str());
  library.impl(name.c_str(), torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, on_all));
  library.impl(name.c_str(),
               torch::dispatch(c10::DispatchKey::Autograd, torch::CppFunction::makeFallthrough()));
}

}  // namespace titan::kernels
