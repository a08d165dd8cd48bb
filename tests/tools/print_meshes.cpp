// print_meshes: writes the meshes of layouts, for a test that compares with PyTorch's.
//
// Each line of standard input is "WORLD_SIZE dp_replicate dp_shard cp tp pp ep etp". For each, rank and
// mesh dimension, standard output gets a line "dimension rank coordinate ranks...".

#include <cstdint>
#include <exception>
#include <iostream>

#include "titan/mesh/parallel_dims.h"

int main() {
  using titan::mesh::MeshDim;
  try {
    std::int64_t world_size = 0;
    titan::mesh::Degrees d;
    while (std::cin >> world_size >> d.dp_replicate >> d.dp_shard >> d.cp >> d.tp >> d.pp >> d.ep >>
           d.etp) {
      const titan::mesh::ParallelDims dims(d, world_size);
      for (std::size_t i = 0; i < titan::mesh::kMeshDimNames.size(); ++i) {
        const auto dim = static_cast<MeshDim>(i);
        for (std::int64_t rank = 0; rank < world_size; ++rank) {
          std::cout << to_string(dim) << ' ' << rank << ' ' << dims.coordinate(dim, rank);
          for (const std::int64_t other : dims.ranks(dim, rank)) std::cout << ' ' << other;
          std::cout << '\n';
        }
      }
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
