"""cmake/Cuda.cmake finds the NVIDIA parts of a torch wheel, however NVIDIA has laid them out. The wheels are pretended."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = """cmake_minimum_required(VERSION 3.22)
project(wheel LANGUAGES CXX)
add_library(titan_torch_cuda INTERFACE)
set(TITAN_TORCH_ROOT "{site}/torch")
set(TITAN_TORCH_CUDA_MAJOR {major})
include("{root}/cmake/Cuda.cmake")
message(STATUS "have ${{TITAN_HAVE_CUDA}}")
if(NOT TITAN_HAVE_CUDA)
  return()
endif()
get_target_property(includes titan_cuda_toolkit INTERFACE_INCLUDE_DIRECTORIES)
get_target_property(cudart titan_cudart_library IMPORTED_LOCATION)
message(STATUS "includes ${{includes}}")
message(STATUS "cudart ${{cudart}}")
"""


class CudaCmake(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def configure(self, major, *files):
        site = self.folder / "site"
        for file in ("torch/version.py", *files):
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).touch()
        (self.folder / "CMakeLists.txt").write_text(PROJECT.format(site=site, major=major, root=ROOT), encoding="utf-8")
        empty = {"CMAKE_PREFIX_PATH": "", "CUDA_PATH": "", "CUDAToolkit_ROOT": "/nowhere", "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["cmake", "-S", self.folder, "-B", self.folder / "build", "-DTITAN_CUDA=AUTO",
                               "-DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON"], capture_output=True, text=True,
                              check=True, env={**os.environ, **empty})
        return done.stdout.replace(str(site) + "/", "").replace(str(ROOT) + "/", ""), done.stderr

    def test_one_folder_of_everything_for_cuda_13(self):
        said, _ = self.configure(13, "nvidia/cu13/lib/libcudart.so.13", "nvidia/nccl/lib/libnccl.so.2",
                                 "triton/backends/nvidia/include/crt/host_defines.h")
        self.assertIn("have ON", said)
        self.assertIn("includes nvidia/cu13/include;nvidia/nccl/include;triton/backends/nvidia/include;src/cuda/host_only\n", said)
        self.assertIn("cudart nvidia/cu13/lib/libcudart.so.13", said)

    def test_a_folder_for_each_library_for_cuda_12(self):
        said, _ = self.configure(12, "nvidia/cuda_runtime/lib/libcudart.so.12", "nvidia/cuda_runtime/include/crt/host_defines.h",
                                 "nvidia/nccl/lib/libnccl.so.2", "nvidia/nccl/include/nccl.h", "nvidia/cublas/include/cublas_v2.h")
        self.assertIn("have ON", said)
        self.assertIn("includes nvidia/cuda_runtime/include;nvidia/nccl/include;nvidia/cublas/include;src/cuda/host_only\n", said)
        self.assertIn("cudart nvidia/cuda_runtime/lib/libcudart.so.12", said)

    def test_a_wheel_without_its_parts_is_told(self):
        said, warned = self.configure(13, "nvidia/nccl/lib/libnccl.so.2")
        self.assertIn("have OFF", said)
        self.assertIn("this build refuses GPUs", " ".join(warned.split()))


if __name__ == "__main__":
    unittest.main()
